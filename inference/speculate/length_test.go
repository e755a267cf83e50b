package speculate_test

import (
	"math"
	"slices"
	"testing"

	"github.com/sluiceml/sluice/inference/speculate"
)

// TestLength: a draft model guesses as long as a guess is likely enough for what it and its check take.
func TestLength(t *testing.T) {
	t.Parallel()
	line := func(base, perToken float64) []float64 {
		cost := make([]float64, 33)
		for i := range cost {
			cost[i] = base + perToken*float64(i)
		}
		return cost
	}
	for name, test := range map[string]struct {
		rates []float64
		check speculate.Check
		each  float64
		want  int
	}{
		"free and sure":           {[]float64{1}, speculate.Check{Tokens: 1, Cost: line(10, 0)}, 0, 8},
		"as dear as the model":    {[]float64{1}, speculate.Check{Tokens: 1, Cost: line(10, 1)}, 10, 0},
		"a fifth of the model":    {[]float64{0.8}, speculate.Check{Tokens: 1, Cost: line(10, 1)}, 2, 3},
		"cheaper":                 {[]float64{0.8}, speculate.Check{Tokens: 1, Cost: line(10, 0.5)}, 0.5, 6},
		"never right":             {[]float64{0}, speculate.Check{Tokens: 1, Cost: line(10, 0.1)}, 0.1, 0},
		"within the margin":       {[]float64{0.5}, speculate.Check{Tokens: 1, Cost: line(10, 1)}, 3.3, 0},
		"many rows, dear checks":  {slices.Repeat([]float64{0.9}, 8), speculate.Check{Tokens: 8, Cost: line(20, 3)}, 3, 0},
		"many rows, cheap checks": {slices.Repeat([]float64{0.9}, 4), speculate.Check{Tokens: 4, Cost: line(20, 0.5)}, 1, 8},
		"no room beside others":   {[]float64{1}, speculate.Check{Tokens: 3, Taken: 32, Cost: line(10, 0)}, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, gain := speculate.Length(test.rates, test.check, 8, test.each)
			if got != test.want || (got > 0) != (gain > 0) || gain >= 1 {
				t.Errorf("got %d, with a gain of %v, want %d", got, gain, test.want)
			}
		})
	}
}

func TestLengthAllocatesNothing(t *testing.T) {
	rates, check := []float64{0.5, 0.9}, speculate.Check{Tokens: 2, Cost: []float64{1, 1, 1, 1, 1}}
	if n := testing.AllocsPerRun(100, func() { speculate.Length(rates, check, 8, 0.1) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestRateFollows(t *testing.T) {
	t.Parallel()
	r := speculate.StartRate
	for range 100 {
		r.See(4, false)
	}
	if r < 0.99 {
		t.Errorf("%v after 400 right guesses", r)
	}
	for range 100 {
		r.See(0, true)
	}
	if r > 0.01 {
		t.Errorf("%v after 100 wrong ones", r)
	}
	for range 1000 {
		r.See(3, true)
	}
	if math.Abs(float64(r)-0.75) > 0.05 {
		t.Errorf("%v where three of four are right", r)
	}
}
