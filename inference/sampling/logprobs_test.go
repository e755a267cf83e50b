package sampling

import (
	"cmp"
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// TestLogprobs compares with a sort and float64 arithmetic.
func TestLogprobs(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 9))
	scratch := NewScratch(1)
	for c := range 500 {
		row := randomRow(rng)
		if c%50 == 0 {
			row = hashLogits(49152, uint64(c))
		}
		id, n := uint32(rng.IntN(len(row)+1)), rng.IntN(21)
		var sum float64
		order := make([]uint32, 0, len(row))
		for v, x := range row {
			sum += math.Exp(float64(x))
			if !math.IsInf(float64(x), -1) {
				order = append(order, uint32(v))
			}
		}
		slices.SortStableFunc(order, func(a, b uint32) int { return cmp.Compare(row[b], row[a]) })
		value := func(id uint32) float64 { return float64(row[id]) - math.Log(sum) }
		rank := func(id uint32) int32 {
			r := int32(1)
			for _, x := range row {
				if x > row[id] {
					r++
				}
			}
			return r
		}
		original := slices.Clone(row)
		got, err := scratch.Logprobs(nil, row, id, n)
		if err != nil || len(got) != 1+n || !slices.Equal(row, original) {
			t.Fatalf("case %d: %d entries, %v", c, len(got), err)
		}
		check := func(e Logprob, id uint32) {
			t.Helper()
			if e.ID != id || e.Rank != rank(id) || !(math.Abs(float64(e.Value)-value(id)) <= 1e-6*(1+math.Abs(value(id))) ||
				float64(e.Value) == value(id)) {
				t.Errorf("case %d: got %+v, want token %d of rank %d and value %v", c, e, id, rank(id), value(id))
			}
		}
		if int(id) < len(row) {
			check(got[0], id)
		} else if got[0].ID != id || !math.IsInf(float64(got[0].Value), -1) || got[0].Rank != int32(len(order)+1) {
			t.Errorf("case %d: a token beyond the row: %+v", c, got[0])
		}
		for i, e := range got[1:] {
			if i < len(order) {
				check(e, order[i])
			} else if e != (Logprob{}) {
				t.Errorf("case %d: entry %d of %d tokens is %+v", c, i, len(order), e)
			}
		}
	}
	var e *LogitError
	if _, err := scratch.Logprobs(nil, []float32{1, float32(math.NaN())}, 0, 1); !errors.As(err, &e) || e.Index != 1 {
		t.Errorf("NaN: %v", err)
	}
}

func TestLogprobsAllocateNothing(t *testing.T) {
	row, scratch := hashLogits(49152, 1), NewScratch(49152)
	scratch.Keep(row)
	var entries []Logprob
	if n := testing.AllocsPerRun(20, func() {
		scratch.Keep(row)
		var err error
		if entries, err = scratch.Logprobs(entries[:0], scratch.Kept(), 7, 20); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// BenchmarkLogprobs is the cost of a token with the 20 most likely ones.
func BenchmarkLogprobs(b *testing.B) {
	row, scratch := hashLogits(49152, 1), NewScratch(49152)
	var entries []Logprob
	for b.Loop() {
		scratch.Keep(row)
		var err error
		if entries, err = scratch.Logprobs(entries[:0], scratch.Kept(), 7, 20); err != nil {
			b.Fatal(err)
		}
	}
}
