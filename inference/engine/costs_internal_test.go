package engine

import (
	"math"
	"testing"
	"time"

	"github.com/sluiceml/sluice/inference/runner"
)

// seen shows costs a number of equal steps.
func seen(c *costs, steps, rows, prompted int, took time.Duration) {
	step := runner.Step{Decode: make([]runner.DecodeRow, rows)}
	if prompted > 0 {
		step.Chunks = []runner.Chunk{{Tokens: make([]uint32, prompted)}}
	}
	for range steps {
		c.see(step, took)
	}
}

// near demands a time in milliseconds, give or take a hundredth.
func near(t *testing.T, what string, seconds, milliseconds float64) {
	t.Helper()
	if got := seconds * 1e3; math.Abs(got-milliseconds) > milliseconds/100 {
		t.Errorf("%s: %.3f ms, want %g", what, got, milliseconds)
	}
}

// TestCostsOfNewRows: the first step of so many rows differs from its estimate, which says nothing of those that were measured
// nor of delays.
func TestCostsOfNewRows(t *testing.T) {
	c := newCosts(runner.Limits{Slots: 32})
	seen(&c, 8, 8, 0, 10*time.Millisecond)
	seen(&c, stale, 8, 10, 14*time.Millisecond)
	seen(&c, 1, 16, 0, 18*time.Millisecond) // the estimate is 11
	near(t, "8 rows", c.of(8), 10)
	near(t, "16 rows", c.of(16), 18)
	if _, _, delay := c.around(8); delay != 1 {
		t.Errorf("steps are said to be delayed %.2f times", delay)
	}
}

// TestCostsOfLonePrompts: a chunk that runs alone reads the weights as a row does, which is no part of what its tokens cost
// beside one.
func TestCostsOfLonePrompts(t *testing.T) {
	const weights, token = 5 * time.Millisecond, 400 * time.Microsecond
	c := newCosts(runner.Limits{Slots: 32})
	seen(&c, 1, 0, 128, weights+128*token)
	near(t, "the first", c.chunk, 0.439)
	seen(&c, 50, 0, 32, weights+32*token) // 0.556 each
	near(t, "short ones, while a row's time is not known", c.chunk, 0.439)
	seen(&c, 8, 1, 0, weights)
	seen(&c, 50, 0, 32, weights+32*token)
	near(t, "short ones", c.chunk, 0.4)
	seen(&c, 50, 0, 4, weights+4*token/2)
	near(t, "what takes little longer than a row", c.chunk, 0.4)
	seen(&c, 50, 0, 128, weights+128*2*token)
	near(t, "dearer ones", c.chunk, 0.8)
}

// TestCostsOfHeldSteps: where chunks keep coming, one step in many runs without. If it was held up, that is not taken for
// what rows cost, and neither for what tokens of chunks do not; if the next one takes as long, it is.
func TestCostsOfHeldSteps(t *testing.T) {
	c := newCosts(runner.Limits{Slots: 32})
	seen(&c, 1, 0, 128, 128*400*time.Microsecond)
	seen(&c, 8, 7, 0, 9*time.Millisecond)
	seen(&c, 8, 8, 0, 10*time.Millisecond)
	beside := func() { seen(&c, stale, 8, 10, 14*time.Millisecond) }
	beside()
	near(t, "a token", c.chunk, 0.4)
	seen(&c, 1, 8, 0, 20*time.Millisecond)
	near(t, "rows after one that was held up", c.of(8), 10)
	beside()
	near(t, "a token after it", c.chunk, 0.4)
	seen(&c, 1, 8, 0, 20*time.Millisecond)
	near(t, "rows after another one", c.of(8), 15)
	near(t, "other rows with them", c.of(7), 13.5)

	beside()
	seen(&c, 1, 8, 0, 12*time.Millisecond)
	near(t, "rows after one that is shorter", c.of(8), 13.5)
}
