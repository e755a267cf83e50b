package speculate_test

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/sluiceml/sluice/inference/speculate"
)

// TestChoose: what pays depends on how likely guesses are and on what a token costs.
func TestChoose(t *testing.T) {
	t.Parallel()
	line := func(base, perToken float64) []float64 {
		cost := make([]float64, 33)
		for i := range cost {
			cost[i] = base + perToken*float64(i)
		}
		return cost
	}
	draft := func(tokens int, rate float64) speculate.Draft { return speculate.Draft{Tokens: tokens, Rate: rate} }
	for name, test := range map[string]struct {
		drafts []speculate.Draft
		rows   int
		cost   []float64
		want   []int
	}{
		"free":                  {[]speculate.Draft{draft(8, 0.9)}, 1, line(10, 0), []int{8}},
		"sure, but no cheaper":  {[]speculate.Draft{draft(8, 1)}, 1, line(10, 10), []int{0}},
		"sure and cheaper":      {[]speculate.Draft{draft(8, 1)}, 1, line(10, 5), []int{8}},
		"likely":                {[]speculate.Draft{draft(8, 0.8)}, 1, line(10, 2), []int{4}},
		"unlikely":              {[]speculate.Draft{draft(8, 0.2)}, 1, line(10, 2), []int{0}},
		"within the margin":     {[]speculate.Draft{draft(1, 0.5)}, 1, line(10, 4.3), []int{0}},
		"nothing guessed":       {[]speculate.Draft{draft(0, 0.6)}, 1, line(10, 1), []int{0}},
		"the likelier of two":   {[]speculate.Draft{draft(8, 0.3), draft(8, 0.95)}, 2, line(10, 2), []int{0, 8}},
		"one among many rows":   {[]speculate.Draft{draft(8, 0.95)}, 8, line(16, 1.4), []int{5}},
		"as dear as a row":      {[]speculate.Draft{draft(8, 0.95)}, 8, line(0, 1.4), []int{0}},
		"many that are alike":   {slices.Repeat([]speculate.Draft{draft(8, 0.9)}, 4), 4, line(12, 0.5), []int{7, 7, 7, 7}},
		"more than there is of": {slices.Repeat([]speculate.Draft{draft(8, 1)}, 5), 5, line(1, 0), []int{8, 8, 8, 8, 0}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			most := 0
			for _, c := range test.want {
				most += c
			}
			speculate.Choose(test.drafts, test.rows, 32, test.cost)
			for i, d := range test.drafts {
				if d.Take != test.want[i] {
					t.Errorf("draft %d: %d tokens, want %d", i, d.Take, test.want[i])
				}
			}
		})
	}
}

// TestChooseIsBest compares with every way to take some.
func TestChooseIsBest(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(8, 9))
	for range 500 {
		rows := 2 + rng.IntN(3)
		drafts := []speculate.Draft{
			{Tokens: rng.IntN(5), Rate: rng.Float64()}, {Tokens: rng.IntN(5), Rate: rng.Float64()},
		}
		cost := make([]float64, 9)
		for i := range cost {
			cost[i] = 10 + rng.Float64()*3*float64(i)
		}
		speed := func(takes ...int) float64 {
			tokens, n := float64(rows), 0
			for i, take := range takes {
				p := 1.0
				for range take {
					p *= drafts[i].Rate
					tokens += p
				}
				n += take
			}
			return tokens / cost[n]
		}
		best := speed(0, 0)
		for a := range drafts[0].Tokens + 1 {
			for b := range drafts[1].Tokens + 1 {
				best = max(best, speed(a, b))
			}
		}
		speculate.Choose(drafts, rows, 8, cost)
		got := speed(drafts[0].Take, drafts[1].Take)
		if got < best/1.0501 {
			t.Fatalf("%+v of %v: %v tokens per time, the best are %v", drafts, cost, got, best)
		}
	}
}
