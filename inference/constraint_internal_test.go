package inference

import (
	"context"
	"errors"
	"testing"

	sdkmetric "go.opentelemetry.io/otel/sdk/metric"

	"github.com/sluiceml/sluice/inference/grammar"
)

// TestConstraintsKeepApart: constraints whose texts are the same in a row are not taken for each other.
func TestConstraintsKeepApart(t *testing.T) {
	g, err := newGrammars(sdkmetric.NewMeterProvider(), "toy", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i, c := range []grammar.Constraint{
		{Kind: grammar.KindChoice, Choices: []string{"a", "b"}},
		{Kind: grammar.KindChoice, Choices: []string{"a\x00b"}},
		{Kind: grammar.KindChoice, Choices: []string{"ab"}},
		{Kind: grammar.KindChoice, Choices: []string{"\x01b"}},
		{Kind: grammar.KindChoice, Text: "a", Choices: []string{"b"}},
		{Kind: grammar.KindChoice, Text: "ab"},
		{Kind: grammar.KindRegex, Text: "ab"},
	} {
		if _, mine := g.entry(&Constraint{Constraint: c}); !mine {
			t.Errorf("constraint %d has the grammar of another", i)
		}
		if _, mine := g.entry(&Constraint{Constraint: c, Field: "elsewhere"}); mine {
			t.Errorf("constraint %d is compiled twice", i)
		}
	}
}

// toyGrammars are those of a vocabulary of bytes.
func toyGrammars(t *testing.T) *grammars {
	t.Helper()
	g, err := newGrammars(sdkmetric.NewMeterProvider(), "toy", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	var tokens [][]byte
	for b := range 256 {
		tokens = append(tokens, []byte{byte(b)})
	}
	v := grammar.NewVocabulary(tokens, nil)
	g.vocabulary = func() *grammar.Vocabulary { return v }
	return g
}

// TestConstraintCompilingStops: compiling ends with the request that it is for, and the next one begins anew.
func TestConstraintCompilingStops(t *testing.T) {
	g := toyGrammars(t)
	v := g.vocabulary()
	gone := errors.New("gone")
	ctx, cancel := context.WithCancelCause(t.Context())
	g.vocabulary = func() *grammar.Vocabulary { // its turn has come
		cancel(gone)
		return v
	}
	c := &Constraint{Kind: grammar.KindRegex, Text: `(a|b)*a(a|b){9}`}
	if _, err := g.get(ctx, c); !errors.Is(err, gone) {
		t.Errorf("%v, want the cause of the context", err)
	}
	if got, err := g.get(t.Context(), c); got == nil || err != nil {
		t.Errorf("the next request: %v, %v", got, err)
	}
}

// TestConstraintsAreDropped: the ones used the longest ago, while all are too much; neither one that is being compiled nor
// the one that a request has just got, wherever it is in the list.
func TestConstraintsAreDropped(t *testing.T) {
	g := toyGrammars(t)
	of := func(text string) *Constraint {
		return &Constraint{Kind: grammar.KindRegex, Text: text}
	}
	get := func(text string) *grammar.Grammar {
		got, err := g.get(t.Context(), of(text))
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	slow, mine := g.entry(of("slow")) // was asked for first, and comes last
	if !mine {
		t.Fatal("slow is known")
	}
	size := get("aa").Size()
	get("bb")
	get("cc")
	g.limit = 5 * size / 2
	slow.grammar, slow.err = grammar.Compile(nil, of("slow").Constraint, g.vocabulary())
	g.settle(slow)
	for text, kept := range map[string]bool{"slow": true, "aa": false, "bb": false, "cc": true} {
		if g.byText[constraintKey(of(text))] != nil != kept {
			t.Errorf("%s: kept is not %t", text, kept)
		}
	}
	g.limit = 0
	get("cc") // and what has grown is seen when it is used
	if g.recent.Len() != 1 || len(g.byText) != 1 {
		t.Errorf("%d are kept, want 1", g.recent.Len())
	}
}

// TestConstraintsAreCountedAsTheyGrow: what a constraint learns after its request got it counts without anyone asking for
// it again.
func TestConstraintsAreCountedAsTheyGrow(t *testing.T) {
	g := toyGrammars(t)
	get := func(text string) *grammar.Grammar {
		got, err := g.get(t.Context(), &Constraint{Kind: grammar.KindRegex, Text: text})
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	learn := func(of *grammar.Grammar) {
		m, err := of.NewMatcher()
		if err == nil {
			err = m.Mask(make([]uint64, of.MaskWords()))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	once := get("[a-z]{9}x")
	before := g.bytes.Load()
	learn(once)
	after := g.bytes.Load()
	if after <= before || after < int64(once.Size()) {
		t.Fatalf("%d bytes, %d when it was compiled; it takes %d", after, before, once.Size())
	}
	g.limit = int(after)
	other := get("b") // which is too much
	if g.recent.Len() != 1 || g.bytes.Load() < int64(other.Size()) || g.bytes.Load() >= before {
		t.Errorf("%d are kept, %d bytes; the one that was asked for takes %d", g.recent.Len(), g.bytes.Load(), other.Size())
	}
	kept := g.bytes.Load()
	learn(get("[a-z]{9}y"))
	g.limit = 0
	get("b")
	learn(once) // its request goes on, and is no matter of those that are kept
	if got := g.bytes.Load(); got != kept {
		t.Errorf("%d bytes are counted, want %d", got, kept)
	}
}

// TestWarm: what constraints share is prepared in turns, and no more of it once the model ends.
func TestWarm(t *testing.T) {
	g := toyGrammars(t)
	v, asked := g.vocabulary(), 0
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	g.vocabulary = func() *grammar.Vocabulary {
		if asked++; asked == 2 {
			cancel()
		}
		return v
	}
	g.warm(ctx)
	if asked != 2 || len(g.turns) != 0 {
		t.Errorf("%d steps were taken, %d turns are held", asked, len(g.turns))
	}
	asked = 2
	g.warm(t.Context())
	if asked != 2+grammar.Warmups {
		t.Errorf("%d steps of %d", asked-2, grammar.Warmups)
	}
}
