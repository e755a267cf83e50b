package engine_test

import (
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluiceml/sluice/inference/engine"
	"github.com/sluiceml/sluice/inference/inferencetest"
)

// releases is a toy that notes whose memory went back.
type releases struct {
	*inferencetest.Toy

	mu    sync.Mutex
	slots []int
}

func (r *releases) ReleaseSlot(slot int) {
	r.mu.Lock()
	r.slots = append(r.slots, slot)
	r.mu.Unlock()
	r.Toy.ReleaseSlot(slot)
}

func (r *releases) released() []int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.slots)
}

// TestIdleSlotsKeepMemory: a request that comes seconds after the last one finds the memory that this one had, and an
// engine that stays idle gives it back.
func TestIdleSlotsKeepMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		session := &releases{Toy: inferencetest.NewToy(inferencetest.ToyConfig{})}
		h := startOn(t, session, engine.Config{})
		for range 3 {
			read(t, submit(t, h.Engine, greedy(3, 1, 2)))
			elapse(9 * time.Second)
			synctest.Wait()
			if got := session.released(); len(got) > 0 {
				t.Fatalf("after nine seconds the memory of slots %v has gone back", got)
			}
		}
		elapse(2 * time.Second)
		synctest.Wait()
		if got := session.released(); !slices.Equal(got, []int{0}) {
			t.Errorf("after eleven seconds the memory of slots %v has gone back, want that of slot 0", got)
		}
	})
}
