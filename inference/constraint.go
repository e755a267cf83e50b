package inference

import (
	"container/list"
	"context"
	"encoding/binary"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/sluiceml/sluice/inference/grammar"
	"github.com/sluiceml/sluice/inference/semconv"
	"github.com/sluiceml/sluice/tokenizer"
)

// Constraint is what an output must conform to.
type Constraint struct {
	grammar.Constraint

	Field string // of the request, for errors
}

// maxGrammarBytes bounds the compiled constraints that a model keeps for requests to come, with all that they have learnt:
// one of a few patterns over a large vocabulary takes some megabytes.
const maxGrammarBytes = 256 << 20

// grammars compiles the constraints of one model and keeps what was compiled, the latest used. It is safe for concurrent
// use; a constraint that several requests bring at once is compiled once.
type grammars struct {
	tokens  *tokenizer.Tokenizer
	ends    []uint32
	turns   turns // of compiling, apart from those of encoding: no prompt waits for a constraint
	compile metric.Float64Histogram
	lookups metric.Int64Counter
	hit     metric.MeasurementOption
	miss    metric.MeasurementOption
	model   metric.MeasurementOption

	vocabulary func() *grammar.Vocabulary
	slice      func(*grammar.Grammar) (more bool) // of preparing: Grammar.Prepare
	onPanic    func(recovered any, stack []byte)  // Config.OnPanic
	limit      int                                // maxGrammarBytes
	bytes      atomic.Int64                       // that the kept entries take now
	wake       chan struct{}                      // has room for one: something was put into unprepared

	mu         sync.Mutex
	byText     map[string]*list.Element // guarded by mu
	recent     *list.List               // of *compiled, the latest used first; guarded by mu
	unprepared *list.List               // of *compiled, those of recent that are to be prepared, likewise; guarded by mu
}

// compiled is a constraint that is being compiled or has been.
type compiled struct {
	key     string
	ready   chan struct{} // closed when grammar and err are set
	grammar *grammar.Grammar
	err     error

	// Guarded by mu of grammars:
	kept     bool          // grammar is set, and counted in bytes: the entry was not dropped
	prepared bool          // nothing of grammar is left to prepare
	waits    *list.Element // in unprepared; nil: it is not there
}

// keyBytes is about how many bytes an entry takes beside its grammar.
func (c *compiled) keyBytes() int64 { return 2 * int64(len(c.key)) }

func newGrammars(provider metric.MeterProvider, model string, tokens *tokenizer.Tokenizer, ends []uint32) (*grammars, error) {
	meter := provider.Meter("github.com/sluiceml/sluice/inference", metric.WithSchemaURL(semconv.SchemaURL))
	compile, err1 := meter.Float64Histogram(semconv.MetricConstraintCompileDuration, metric.WithUnit("s"),
		metric.WithDescription("Time to compile a constraint."),
		metric.WithExplicitBucketBoundaries(semconv.ConstraintCompileBuckets()...))
	lookups, err2 := meter.Int64Counter(semconv.MetricConstraintLookups, metric.WithUnit("{request}"),
		metric.WithDescription("Requests with a constraint, by whether it had been compiled before."))
	attributes := func(result string) metric.MeasurementOption {
		return metric.WithAttributeSet(attribute.NewSet(semconv.Model.String(model), semconv.CacheResult.String(result)))
	}
	g := &grammars{
		tokens: tokens, ends: ends, limit: maxGrammarBytes, turns: make(turns, 1), compile: compile, lookups: lookups,
		hit: attributes(semconv.CacheHit), miss: attributes(semconv.CacheMiss),
		model:  metric.WithAttributeSet(attribute.NewSet(semconv.Model.String(model))),
		byText: map[string]*list.Element{}, recent: list.New(), unprepared: list.New(), wake: make(chan struct{}, 1),
		slice: (*grammar.Grammar).Prepare, onPanic: func(any, []byte) {},
	}
	g.vocabulary = sync.OnceValue(g.readVocabulary)
	for _, result := range []metric.MeasurementOption{g.hit, g.miss} {
		lookups.Add(context.Background(), 0, result)
	}
	return g, errors.Join(err1, err2)
}

// readVocabulary takes the tokens' bytes from the tokenizer; special tokens have none.
func (g *grammars) readVocabulary() *grammar.Vocabulary {
	texts := make([][]byte, g.tokens.Size())
	for id := range texts {
		if !g.tokens.IsSpecial(uint32(id)) {
			texts[id] = g.tokens.Bytes(uint32(id))
		}
	}
	return grammar.NewVocabulary(texts, g.ends)
}

// get is the grammar of a constraint; nil if there is none. The error is an *InvalidError, or the cause of ctx: compiling
// ends with the request that it is for, and one that waits for the same begins anew.
func (g *grammars) get(ctx context.Context, c *Constraint) (*grammar.Grammar, error) {
	if c == nil {
		return nil, nil //nolint:nilnil // no constraint is none
	}
	for {
		entry, mine := g.entry(c)
		if mine {
			g.lookups.Add(ctx, 1, g.miss)
			g.fill(ctx, entry, c)
		}
		select {
		case <-entry.ready:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
		if entry.err == nil {
			if !mine {
				g.lookups.Add(ctx, 1, g.hit)
			}
			g.use(ctx, entry)
		}
		e, invalid := errors.AsType[*grammar.Error](entry.err)
		switch {
		case invalid:
			return nil, &InvalidError{Violations: []Violation{{Field: c.Field, Description: e.Reason, Quote: e.Where}}}
		case mine || entry.err == nil:
			return entry.grammar, entry.err
		}
		// The request that was to compile it ended before that was done.
	}
}

// entry is the entry of a constraint, and whether the caller has to fill it.
func (g *grammars) entry(c *Constraint) (entry *compiled, mine bool) {
	key := constraintKey(c)
	g.mu.Lock()
	defer g.mu.Unlock()
	if at := g.byText[key]; at != nil {
		g.recent.MoveToFront(at)
		return at.Value.(*compiled), false //nolint:errcheck // the list holds nothing else
	}
	entry = &compiled{key: key, ready: make(chan struct{})}
	g.byText[key] = g.recent.PushFront(entry)
	return entry, true
}

// constraintKey names what a constraint asks for: its kind and its texts, each behind its length, since a text may hold any
// character.
func constraintKey(c *Constraint) string {
	key := binary.AppendUvarint(nil, uint64(c.Kind)) //nolint:gosec // the kinds are small and positive
	for _, text := range append([]string{c.Text}, c.Choices...) {
		key = append(binary.AppendUvarint(key, uint64(len(text))), text...)
	}
	return string(key)
}

// fill compiles an entry's constraint, one after another. An entry that failed is not kept.
func (g *grammars) fill(ctx context.Context, entry *compiled, c *Constraint) {
	defer g.settle(entry)
	if entry.err = g.turns.take(ctx); entry.err != nil {
		return
	}
	defer g.turns.give()
	began := time.Now()
	entry.err = errors.New("compiling the constraint panicked") // unless it comes to an end
	entry.grammar, entry.err = grammar.Compile(func() error { return context.Cause(ctx) }, c.Constraint, g.vocabulary())
	g.compile.Record(ctx, time.Since(began).Seconds(), g.model)
}

// settle makes an entry known to those that wait for it, and drops what is too much.
func (g *grammars) settle(entry *compiled) {
	defer close(entry.ready)
	g.mu.Lock()
	defer g.mu.Unlock()
	if entry.err != nil {
		g.drop(g.byText[entry.key])
		return
	}
	entry.kept = true
	g.bytes.Add(entry.keyBytes())
	entry.grammar.CountIn(&g.bytes)
	g.trim(entry)
}

// use is told that a request has got an entry. It will be prepared next, unless the request has ended by then; and what is
// too much is dropped, since what is compiled grows while it is used.
func (g *grammars) use(ctx context.Context, entry *compiled) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.trim(entry)
	switch {
	case !entry.kept || entry.prepared || ctx.Err() != nil:
	case entry.waits != nil:
		g.unprepared.MoveToFront(entry.waits)
	default:
		entry.waits = g.unprepared.PushFront(entry)
		select {
		case g.wake <- struct{}{}:
		default:
		}
	}
}

// trim drops the entries that were used the longest ago, all but one and those that are being compiled, while all take too
// much. The caller holds mu.
func (g *grammars) trim(but *compiled) {
	for at := g.recent.Back(); at != nil && g.bytes.Load() > int64(g.limit); {
		before := at.Prev()
		if entry := at.Value.(*compiled); entry.kept && entry != but { //nolint:errcheck // the list holds nothing else
			g.drop(at)
		}
		at = before
	}
}

// drop forgets an entry, which is then reachable for the requests only that use it. The caller holds mu.
func (g *grammars) drop(at *list.Element) {
	entry := g.recent.Remove(at).(*compiled) //nolint:errcheck // the list holds nothing else
	delete(g.byText, entry.key)
	g.leave(entry)
	if entry.kept {
		entry.kept = false
		entry.grammar.CountIn(nil)
		g.bytes.Add(-entry.keyBytes())
	}
}

// leave takes an entry out of those that are to be prepared. The caller holds mu.
func (g *grammars) leave(entry *compiled) {
	if entry.waits != nil {
		g.unprepared.Remove(entry.waits)
		entry.waits = nil
	}
}
