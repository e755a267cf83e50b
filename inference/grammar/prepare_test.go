package grammar

import (
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
)

// TestPrepare: masks are the same before, while and after a grammar is prepared, and then nothing is left to find in its
// terminals.
func TestPrepare(t *testing.T) {
	t.Parallel()
	v := wordVocabulary(3_000)
	c := Constraint{Kind: KindJSONSchema, Text: `{"type": "object", "properties": {"id": {"type": "string", "pattern": "^([a-f]{2}-){5}x$"},
		"size": {"type": "integer", "minimum": -20, "maximum": 4711}}, "required": ["id"]}`}
	plain, prepared := mustCompile(t, c, v), mustCompile(t, c, v)
	var group sync.WaitGroup
	for range 2 {
		group.Go(func() {
			for prepared.Prepare() {
			}
		})
	}
	for seed := range uint64(4) {
		group.Go(func() {
			random := rand.New(rand.NewPCG(seed, 1)) //nolint:gosec // to be repeated
			a, err1 := plain.NewMatcher()
			b, err2 := prepared.NewMatcher()
			if err1 != nil || err2 != nil {
				t.Error(err1, err2)
				return
			}
			want, got := make([]uint64, plain.MaskWords()), make([]uint64, plain.MaskWords())
			for range 40 {
				err1, err2 = a.Mask(want), b.Mask(got)
				if err1 != nil || err2 != nil || !slices.Equal(got, want) {
					t.Errorf("masks differ: %v, %v", err1, err2)
					return
				}
				id := uint32(random.IntN(256)) //nolint:gosec // a byte of those allowed, or none
				for range 4_000 {
					if want[id>>6]>>(id&63)&1 != 0 {
						break
					}
					id = (id + 1) % 3_000
				}
				ok, _ := a.Accept(id)
				if same, _ := b.Accept(id); !ok || same != ok {
					return // it has come to its end
				}
			}
		})
	}
	group.Wait()
	if prepared.Prepare() {
		t.Error("there is more to prepare")
	}
	for _, d := range prepared.own {
		for s := range d.locals {
			if d.locals[s].Load() == nil {
				t.Fatalf("state %d of %d was not prepared", s, len(d.locals))
			}
		}
	}
}

// TestPreparePanics: a panic leaves no lock behind, so that the outputs which the grammar constrains go on.
func TestPreparePanics(t *testing.T) {
	t.Parallel()
	g := mustCompile(t, Constraint{Kind: KindRegex, Text: `[a-f]{2}x`}, toyVocabulary())
	g.locals, g.own = maxKnown, append(g.own, nil) // nothing can be forgotten of it
	func() {
		defer func() {
			if recover() == nil {
				t.Error("it does not panic")
			}
		}()
		g.Prepare()
	}()
	for name, lock := range map[string]*sync.Mutex{"mu": &g.mu, "mu of tally": &g.tally.mu, "mu of toPrepare": &g.toPrepare.mu} {
		if !lock.TryLock() {
			t.Errorf("%s is held", name)
		}
	}
}
