package inference

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"weak"

	"github.com/sluiceml/sluice/inference/grammar"
)

// numbered is a constraint like many others.
func numbered(i int) *Constraint {
	return &Constraint{Kind: grammar.KindRegex, Text: fmt.Sprintf("[a-f]{2}%d", i)}
}

func mustGet(t *testing.T, g *grammars, c *Constraint) *grammar.Grammar {
	t.Helper()
	got, err := g.get(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// preparing prepares what is compiled until all is done, and says which grammar each slice was of; more is whether there is
// more of it.
func preparing(t *testing.T, g *grammars, more func(*grammar.Grammar) bool) (slices []*grammar.Grammar) {
	t.Helper()
	g.slice = func(of *grammar.Grammar) bool {
		slices = append(slices, of)
		return more(of)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var group sync.WaitGroup
	group.Go(func() { g.prepare(ctx) })
	time.Sleep(time.Minute) //nolint:forbidigo // of the bubble's clock
	synctest.Wait()
	cancel()
	group.Wait()
	if len(g.turns) != 0 {
		t.Error("a turn is held")
	}
	return slices
}

// TestDroppedConstraintsAreFreed: nothing but the requests that use it holds a constraint that was dropped, before anything
// is prepared.
func TestDroppedConstraintsAreFreed(t *testing.T) {
	g := toyGrammars(t)
	g.limit = 1
	var compiled []weak.Pointer[grammar.Grammar]
	for i := range 70 {
		compiled = append(compiled, weak.Make(mustGet(t, g, numbered(i))))
	}
	runtime.GC()
	reachable := 0
	for _, c := range compiled {
		if c.Value() != nil {
			reachable++
		}
	}
	if reachable != 1 || g.unprepared.Len() != 1 {
		t.Errorf("%d are reachable, %d are to be prepared; want the last one", reachable, g.unprepared.Len())
	}
	runtime.KeepAlive(g)
}

// TestPrepareDropped: what is dropped is not prepared, from that time on.
func TestPrepareDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := toyGrammars(t)
		g.limit = 1
		var last *grammar.Grammar
		for i := range 70 {
			last = mustGet(t, g, numbered(i))
		}
		slices := preparing(t, g, func(*grammar.Grammar) bool { return false })
		if len(slices) != 1 || slices[0] != last {
			t.Errorf("%d slices, want one of the constraint that is left", len(slices))
		}
		mustGet(t, g, numbered(70))
		slices = preparing(t, g, func(*grammar.Grammar) bool {
			g.mu.Lock()
			defer g.mu.Unlock()
			g.drop(g.recent.Front())
			return true
		})
		if len(slices) != 1 {
			t.Errorf("%d slices of a constraint that is dropped in the first one", len(slices))
		}
	})
}

// TestPrepareOrder: the constraint that was asked for last comes first, a cancelled request asks for nothing, and what is
// prepared is not prepared again.
func TestPrepareOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := toyGrammars(t)
		a, b := mustGet(t, g, numbered(1)), mustGet(t, g, numbered(2))
		mustGet(t, g, numbered(1))
		entry, mine := g.entry(numbered(3))
		if !mine {
			t.Fatal("it is known")
		}
		g.fill(t.Context(), entry, numbered(3))
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		g.use(gone, entry)
		none := func(*grammar.Grammar) bool { return false }
		if slices := preparing(t, g, none); len(slices) != 2 || slices[0] != a || slices[1] != b {
			t.Errorf("%d slices, want one of each that a request waits for, the latest first", len(slices))
		}
		mustGet(t, g, numbered(2))
		c := mustGet(t, g, numbered(3))
		if slices := preparing(t, g, none); len(slices) != 1 || slices[0] != c {
			t.Errorf("%d slices, want one of the constraint that is not prepared yet", len(slices))
		}
	})
}

// TestPreparePauses: behind each slice as long as it took, whatever comes next.
func TestPreparePauses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := toyGrammars(t)
		mustGet(t, g, numbered(1))
		mustGet(t, g, numbered(2))
		const took = 4 * time.Millisecond
		var began []time.Time
		preparing(t, g, func(*grammar.Grammar) bool {
			began = append(began, time.Now())
			time.Sleep(took) //nolint:forbidigo // of the bubble's clock
			return len(began)%3 != 0
		})
		if len(began) != 6 {
			t.Fatalf("%d slices, want 6", len(began))
		}
		for i := 1; i < len(began); i++ {
			if between := began[i].Sub(began[i-1]); between != 2*took {
				t.Errorf("slice %d begins %s behind the one before", i, between)
			}
		}
	})
}

// TestPreparePanics: a constraint with which preparing panics is dropped, which is told, and the others are prepared.
func TestPreparePanics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := toyGrammars(t)
		good, bad := mustGet(t, g, numbered(1)), mustGet(t, g, numbered(2))
		var told []any
		g.onPanic = func(recovered any, stack []byte) {
			if told = append(told, recovered); len(stack) == 0 {
				t.Error("no stack")
			}
		}
		slices := preparing(t, g, func(of *grammar.Grammar) bool {
			if of == bad {
				panic("oh")
			}
			return false
		})
		if len(slices) != 2 || slices[0] != bad || slices[1] != good || len(told) != 1 || told[0] != "oh" {
			t.Errorf("%d slices, told of %v", len(slices), told)
		}
		if mustGet(t, g, numbered(1)) != good || mustGet(t, g, numbered(2)) == bad {
			t.Error("want the one dropped and the other kept")
		}
	})
}
