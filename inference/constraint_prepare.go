package inference

import (
	"context"
	"errors"
	"runtime/debug"
	"time"

	"github.com/sluiceml/sluice/inference/grammar"
)

// warm reads the vocabulary and prepares what constraints share, step by step, so that the first requests find it done. A
// request that comes while it does waits for one step at most, most of which it would have to take itself.
func (g *grammars) warm(ctx context.Context) {
	for step := range grammar.Warmups {
		err := g.inTurn(ctx, func() error {
			return g.vocabulary().Warm(func() error { return context.Cause(ctx) }, step)
		})
		if err != nil {
			return // the model ends, or the first request will see what it is
		}
	}
}

// prepare prepares what is compiled, until the model ends: the first tokens of a constraint come sooner if nobody waits for what
// later ones need, and those find it done. The constraint that was asked for last comes first; one that is dropped is left
// at once, and nothing here holds it. Each slice of a few milliseconds has a turn of its own, so that other constraints are
// soon compiled, and a pause behind it as long as it took: however many constraints come, no more than half a processor is
// taken from the decoding.
func (g *grammars) prepare(ctx context.Context) {
	for ctx.Err() == nil {
		entry := g.toPrepare()
		if entry == nil {
			select {
			case <-g.wake:
				continue
			case <-ctx.Done():
				return
			}
		}
		select {
		case <-time.After(g.prepareSlice(ctx, entry)):
		case <-ctx.Done():
		}
	}
}

// toPrepare is the entry to prepare next; nil if there is none.
func (g *grammars) toPrepare() *compiled {
	g.mu.Lock()
	defer g.mu.Unlock()
	at := g.unprepared.Front()
	if at == nil {
		return nil
	}
	return at.Value.(*compiled) //nolint:errcheck // the list holds nothing else
}

// prepareSlice prepares an entry for some milliseconds and says how long that took. An entry with which that panics is dropped.
func (g *grammars) prepareSlice(ctx context.Context, entry *compiled) (took time.Duration) {
	var more bool
	err := g.inTurn(ctx, func() error {
		began := time.Now()
		defer func() { took = time.Since(began) }()
		more = g.slice(entry.grammar)
		return nil
	})
	if err != nil && !errors.Is(err, errPanicked) {
		return 0 // the model ends
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case !entry.kept: // it was dropped meanwhile
	case err != nil:
		g.drop(g.byText[entry.key])
	case !more:
		entry.prepared = true
		g.leave(entry)
	}
	g.trim(entry)
	return took
}

// errPanicked says that work ended with a panic, of which onPanic has been told.
var errPanicked = errors.New("it panicked")

// inTurn does some work in a turn of compiling. The error is the cause of ctx if that ends before the turn comes, that of
// the work, or errPanicked: no request waits for what is done here, and so nobody else would keep a panic from ending the
// process.
func (g *grammars) inTurn(ctx context.Context, work func() error) (err error) {
	if err := g.turns.take(ctx); err != nil {
		return err
	}
	defer g.turns.give()
	defer func() {
		if p := recover(); p != nil {
			err = errPanicked
			g.onPanic(p, debug.Stack())
		}
	}()
	return work()
}
