package sampling

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// TestPhilox checks the known answers of Random123 1.09 (kat_vectors, philox4x32 with 10 rounds).
func TestPhilox(t *testing.T) {
	const ones = math.MaxUint32
	for _, test := range []struct {
		ctr, want [4]uint32
		key       [2]uint32
	}{
		{want: [4]uint32{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
		{
			ctr: [4]uint32{ones, ones, ones, ones}, key: [2]uint32{ones, ones},
			want: [4]uint32{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd},
		},
		{
			ctr: [4]uint32{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, key: [2]uint32{0xa4093822, 0x299f31d0},
			want: [4]uint32{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1},
		},
	} {
		if got := philox(test.ctr, test.key); got != test.want {
			t.Errorf("philox(%x, %x) = %x, want %x", test.ctr, test.key, got, test.want)
		}
	}
}

func TestUniform(t *testing.T) {
	seen := map[float64]bool{}
	var sum float64
	for seed := range uint64(10) {
		for position := range 1000 {
			u := uniform(seed*1000, 0, position)
			if u < 0 || u >= 1 || seen[u] {
				t.Fatalf("Uniform(%d, 0, %d) = %v", seed*1000, position, u)
			}
			seen[u] = true
			sum += u
		}
	}
	if mean := sum / 10000; math.Abs(mean-0.5) > 0.02 {
		t.Errorf("the mean is %v", mean)
	}
	if uniform(5, 3, 9) != uniform(8, 0, 9) || uniform(math.MaxUint64, 1, 9) != uniform(0, 0, 9) {
		t.Error("output i does not draw what seed + i draws")
	}
}

func TestWeigh(t *testing.T) {
	exp := func(x float32) float32 {
		row := []float32{x + 1}
		if sum := weigh(row, 1, 1); sum != float64(row[0]) {
			t.Fatalf("the sum of %v is %v", row, sum)
		}
		return row[0]
	}
	for x := float32(0); x > negligible; x -= 0x1p-9 {
		want := math.Exp(float64(x))
		if got := float64(exp(x)); math.Abs(got-want) > 2e-7*want {
			t.Fatalf("exp(%v) = %v, want %v", x, got, want)
		}
	}
	if exp(0) != 1 || exp(-28) != 0 || exp(float32(math.Inf(-1))) != 0 || exp(-math.MaxFloat32) != 0 {
		t.Error("limits")
	}
}

// TestGreedy compares the blocked maximum with a plain loop: the first of equal logits.
func TestGreedy(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	scratch := NewScratch(1)
	for range 2000 {
		row := randomRow(rng)
		want := 0
		for v, x := range row {
			if x > row[want] {
				want = v
			}
		}
		got, err := New(Greedy(), 0, nil, 0).Sample(row, scratch, 0)
		if err != nil || got != uint32(want) {
			t.Fatalf("%d logits: token %d, %v, want %d", len(row), got, err, want)
		}
	}
}

func TestBadLogits(t *testing.T) {
	inf := float32(math.Inf(1))
	nan := math.Float32frombits(0x7fc00000)
	negativeNaN := math.Float32frombits(0xffc00000) // what x86 makes of 0/0
	for _, length := range []int{1, 5, blockSize, blockSize + 1, 300} {
		for _, bad := range []float32{nan, negativeNaN, inf} {
			for _, at := range []int{0, length / 2, length - 1} {
				for _, p := range []Params{Greedy(), {Temperature: 1, TopP: 0.9, RepetitionPenalty: 1}} {
					row := make([]float32, length)
					row[at] = bad
					_, err := New(p, 0, nil, 0).Sample(row, NewScratch(length), 0)
					var e *LogitError
					if !errors.As(err, &e) || e.Index != at || e.Error() == "" {
						t.Errorf("%v at %d of %d: %v", bad, at, length, err)
					}
				}
			}
		}
		row := make([]float32, length)
		for i := range row {
			row[i] = -inf
		}
		_, err := New(Greedy(), 0, nil, 0).Sample(slices.Clone(row), NewScratch(length), 0)
		var e *LogitError
		if !errors.As(err, &e) || e.Index != -1 || e.Error() == "" {
			t.Errorf("all of %d excluded: %v", length, err)
		}
		row[length-1] = -math.MaxFloat32 // the only one that may be drawn
		for _, p := range []Params{
			Greedy(),
			{Temperature: 1, TopP: 1, RepetitionPenalty: 1},
			{Temperature: 1, TopP: 1, TopK: 2, RepetitionPenalty: 1},
			{Temperature: 2, TopP: 0.5, MinP: 0.5, RepetitionPenalty: 1},
			{Temperature: math.SmallestNonzeroFloat32, TopP: 1, MinP: 1e-40, RepetitionPenalty: 1},
		} {
			got, err := New(p, 0, nil, 0).Sample(slices.Clone(row), NewScratch(length), 0)
			if err != nil || got != uint32(length-1) {
				t.Errorf("%+v: token %d, %v; only %d is allowed", p, got, err, length-1)
			}
		}
	}
}

func TestParamsValidate(t *testing.T) {
	ok := Params{Temperature: 2, TopK: 1, TopP: 1, MinP: 1, RepetitionPenalty: 3, PresencePenalty: -2, FrequencyPenalty: 2}
	if err := errors.Join(ok.Validate(), Greedy().Validate()); err != nil {
		t.Error(err)
	}
	nan := float32(math.NaN())
	for i, change := range []func(*Params){
		func(p *Params) { p.Temperature = -0.1 },
		func(p *Params) { p.Temperature = 2.1 },
		func(p *Params) { p.Temperature = nan },
		func(p *Params) { p.TopK = -1 },
		func(p *Params) { p.TopP = 0 },
		func(p *Params) { p.TopP = 1.5 },
		func(p *Params) { p.TopP = nan },
		func(p *Params) { p.MinP = -0.1 },
		func(p *Params) { p.MinP = nan },
		func(p *Params) { p.RepetitionPenalty = 0 },
		func(p *Params) { p.RepetitionPenalty = float32(math.Inf(1)) },
		func(p *Params) { p.RepetitionPenalty = nan },
		func(p *Params) { p.PresencePenalty = 2.1 },
		func(p *Params) { p.FrequencyPenalty = nan },
		func(p *Params) { p.TypicalP = -0.1 },
		func(p *Params) { p.TypicalP = 1.1 },
		func(p *Params) { p.TypicalP = nan },
		func(p *Params) { p.NoRepeatNGram = -1 },
		func(p *Params) { p.MinTokens = -1 },
		func(p *Params) { p.Bias = []Bias{{1, 1}, {2, 101}} },
		func(p *Params) { p.Bias = []Bias{{1, nan}} },
		func(p *Params) { p.BadWords = [][]uint32{{1}, {}} },
		func(p *Params) { p.Allowed = []uint32{1, 2, 2} },
	} {
		p := ok
		change(&p)
		if p.Validate() == nil {
			t.Errorf("change %d is accepted: %+v", i, p)
		}
	}
}

// TestTokensBeyondTheRow: a prompt may hold ids that the model can't write.
func TestTokensBeyondTheRow(t *testing.T) {
	p := Params{TopP: 1, RepetitionPenalty: 2}
	if _, err := New(p, 0, []uint32{3, 1 << 31, math.MaxUint32}, 1).Sample(make([]float32, 4), NewScratch(4), 0); err != nil {
		t.Error(err)
	}
}

// TestExcluded: a request that forbids everything is told from a model that does.
func TestExcluded(t *testing.T) {
	for name, p := range map[string]Params{
		"allowed":   {Allowed: []uint32{}},
		"beyond":    {Allowed: []uint32{4, 5}},
		"ends":      {Allowed: []uint32{1, 2}, MinTokens: 1, Ends: []uint32{2, 1}},
		"bad words": {BadWords: [][]uint32{{0}, {1}, {2}, {3}}},
		"n-grams":   {NoRepeatNGram: 1},
	} {
		p.TopP, p.RepetitionPenalty = 1, 1
		s := New(p, 0, []uint32{0, 1, 2, 3}, 1)
		if _, err := s.Sample(make([]float32, 4), NewScratch(4), 0); !errors.Is(err, ErrExcluded) {
			t.Errorf("%s: %v", name, err)
		}
	}
	nan := []float32{0, float32(math.NaN()), 0, 0}
	p := Params{TopP: 1, RepetitionPenalty: 1, Allowed: []uint32{1, 2}}
	var e *LogitError
	if _, err := New(p, 0, nil, 1).Sample(nan, NewScratch(4), 0); !errors.As(err, &e) || e.Index != 1 {
		t.Errorf("a model that is broken: %v", err)
	}
}

// TestCrossing compares the selection with sorting.
func TestCrossing(t *testing.T) {
	rng := rand.New(rand.NewPCG(8, 1))
	for range 3000 {
		pairs := make([]pair, 1+rng.IntN(40))
		var total float64
		for i := range pairs {
			pairs[i] = pair{float32(rng.IntN(12)), float32(rng.IntN(5))} // exact sums
			total += float64(pairs[i].weight)
		}
		need := float64(rng.IntN(int(total) + 2))
		sorted := slices.Clone(pairs)
		slices.SortFunc(sorted, func(a, b pair) int { return cmp.Compare(a.distance, b.distance) })
		want := sorted[len(sorted)-1].distance
		var sum float64
		for _, p := range sorted {
			if sum += float64(p.weight); sum >= need {
				want = p.distance
				break
			}
		}
		if got := crossing(pairs, need); got != want {
			t.Fatalf("%v, need %v: got %v, want %v", sorted, need, got, want)
		}
	}
}

// cases are the paths through Sample.
func cases() map[string]Params {
	return map[string]Params{
		"greedy":           Greedy(),
		"temperature":      {Temperature: 0.8, TopP: 1, RepetitionPenalty: 1},
		"top_k=40":         {Temperature: 0.8, TopK: 40, TopP: 1, RepetitionPenalty: 1},
		"top_k=40,top_p":   {Temperature: 0.8, TopK: 40, TopP: 0.9, RepetitionPenalty: 1},
		"top_k=5000":       {Temperature: 0.8, TopK: 5000, TopP: 1, RepetitionPenalty: 1},
		"top_p=0.9":        {Temperature: 0.8, TopP: 0.9, RepetitionPenalty: 1},
		"min_p=0.05":       {Temperature: 0.8, TopP: 1, MinP: 0.05, RepetitionPenalty: 1},
		"penalties,greedy": {TopP: 1, RepetitionPenalty: 1.1, PresencePenalty: 0.1, FrequencyPenalty: 0.1},
		"typical_p=0.9":    {Temperature: 0.8, TopP: 1, RepetitionPenalty: 1, TypicalP: 0.9},
		"masks,greedy": {
			TopP: 1, RepetitionPenalty: 1, NoRepeatNGram: 3, BadWords: [][]uint32{{7}, {8, 9}}, MinTokens: 10,
			Ends: []uint32{2}, Bias: []Bias{{5, 1}},
		},
		"allowed,greedy": {TopP: 1, RepetitionPenalty: 1, Allowed: []uint32{10, 20, 30, 40000}},
	}
}

func TestSampleAllocatesNothing(t *testing.T) {
	row := hashLogits(49152, 1)
	work := make([]float32, len(row))
	for name, p := range cases() {
		s, scratch := New(p, 0, []uint32{1, 2, 3}, 1000), NewScratch(len(row))
		position := 0
		if n := testing.AllocsPerRun(50, func() {
			copy(work, row)
			id, err := s.Sample(work, scratch, position)
			if err != nil {
				t.Fatal(err)
			}
			s.Accept(id)
			position++
		}); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

// BenchmarkSample takes one row. Copying the row, which Sample changes, is part of the time: see "copy".
func BenchmarkSample(b *testing.B) {
	for _, vocab := range []int{49152, 150000} {
		row := hashLogits(vocab, 1)
		work := make([]float32, vocab)
		b.Run(fmt.Sprintf("vocab=%d/copy", vocab), func(b *testing.B) {
			for b.Loop() {
				copy(work, row)
			}
		})
		names := cases()
		for _, name := range slices.Sorted(maps.Keys(names)) {
			b.Run(fmt.Sprintf("vocab=%d/%s", vocab, name), func(b *testing.B) {
				s, scratch := New(names[name], 0, []uint32{1, 2, 3}, 1000), NewScratch(vocab)
				b.ReportAllocs()
				for i := 0; b.Loop(); i++ {
					copy(work, row)
					if _, err := s.Sample(work, scratch, i); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
