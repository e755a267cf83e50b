package sampling

import (
	"cmp"
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// naive is the slow twin: it sorts, and computes in float64.
func naive(row []float32, p Params, prompt, output []uint32) []float64 {
	x := make([]float64, len(row))
	counts := make([]int, len(row))
	seen := make([]bool, len(row))
	for _, id := range prompt {
		seen[id] = true
	}
	for _, id := range output {
		seen[id] = true
		counts[id]++
	}
	bias := make(map[uint32]float32)
	for _, b := range p.Bias {
		bias[b.ID] = b.Value
	}
	excluded := naiveExcluded(p, append(slices.Clone(prompt), output...), len(output))
	for v := range row {
		x[v] = float64(row[v] + bias[uint32(v)])
		if excluded(uint32(v)) {
			x[v] = math.Inf(-1)
		}
		if !seen[v] {
			continue
		}
		if x[v] < 0 {
			x[v] *= float64(p.RepetitionPenalty)
		} else {
			x[v] /= float64(p.RepetitionPenalty)
		}
		if counts[v] > 0 {
			x[v] -= float64(p.FrequencyPenalty)*float64(counts[v]) + float64(p.PresencePenalty)
		}
	}
	order := make([]int, len(x)) // most likely first, lower ids first among equals
	for v := range x {
		order[v] = v
	}
	slices.SortStableFunc(order, func(a, b int) int {
		switch {
		case x[a] > x[b]:
			return -1
		case x[a] < x[b]:
			return 1
		}
		return 0
	})
	best := x[order[0]]
	weight := func(v int) float64 { return math.Exp((x[v] - best) / float64(p.Temperature)) }
	kept := order
	if p.TopK > 0 && p.TopK < len(kept) {
		n := p.TopK
		for n < len(kept) && x[kept[n]] == x[kept[n-1]] {
			n++
		}
		kept = kept[:n]
	}
	if p.TopP < 1 {
		var total, tail float64
		for _, v := range kept {
			total += weight(v)
		}
		for len(kept) > 1 {
			tail += weight(kept[len(kept)-1])
			if tail > (1-float64(p.TopP))*total {
				break
			}
			kept = kept[:len(kept)-1]
		}
	}
	kept = slices.DeleteFunc(kept, func(v int) bool { return weight(v) < max(float64(p.MinP), 0x1p-40) })
	if p.typical() {
		kept = naiveTypical(kept, weight, float64(p.TypicalP))
	}
	probs := make([]float64, len(x))
	var total float64
	for _, v := range kept {
		probs[v] = weight(v)
		total += weight(v)
	}
	for v := range probs {
		probs[v] /= total
	}
	return probs
}

// naiveTypical sorts by the distance from the entropy.
func naiveTypical(kept []int, weight func(v int) float64, mass float64) []int {
	var total, entropy float64
	for _, v := range kept {
		total += weight(v)
	}
	for _, v := range kept {
		p := weight(v) / total
		entropy -= p * math.Log(p)
	}
	distance := func(v int) float64 { return math.Abs(-math.Log(weight(v)/total) - entropy) }
	slices.SortStableFunc(kept, func(a, b int) int { return cmp.Compare(distance(a), distance(b)) })
	var sum float64
	for i, v := range kept {
		if sum += weight(v) / total; sum >= mass {
			for i+1 < len(kept) && distance(kept[i+1]) <= distance(v) {
				i++
			}
			return kept[:i+1]
		}
	}
	return kept
}

// naiveExcluded spells the exclusions out token by token.
func naiveExcluded(p Params, tokens []uint32, count int) func(id uint32) bool {
	return func(id uint32) bool {
		next := append(slices.Clone(tokens), id)
		if n := p.NoRepeatNGram; n > 0 && n <= len(next) {
			for i := range len(next) - n {
				if slices.Equal(next[i:i+n], next[len(next)-n:]) {
					return true
				}
			}
		}
		for _, word := range p.BadWords {
			if len(word) <= len(next) && slices.Equal(word, next[len(next)-len(word):]) {
				return true
			}
		}
		return count < p.MinTokens && slices.Contains(p.Ends, id) || p.Allowed != nil && !slices.Contains(p.Allowed, id)
	}
}

// TestAgainstNaive compares random rows and parameters with the slow twin. Where the two disagree on whether a token
// is kept, the token must lie within a rounding of the limit.
func TestAgainstNaive(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 7))
	const cases = 3000
	borderline := 0
	for c := range cases {
		row := randomRow(rng)
		p := randomParams(rng, len(row))
		var prompt, output []uint32
		span := 1 + rng.IntN(300) // a small one makes n-grams that occur again
		for range rng.IntN(20) {
			prompt = append(prompt, uint32(rng.IntN(min(len(row), span))))
			output = append(output, uint32(rng.IntN(min(len(row), span))))
		}
		want := naive(row, p, prompt, output)
		got, _, err := distribution(slices.Clone(row), p, prompt, output)
		if _, allExcluded := errors.AsType[*LogitError](err); allExcluded && p.masks() {
			continue // the sampler names it otherwise: TestExcluded
		}
		if err != nil {
			t.Fatalf("case %d: %+v: %v", c, p, err)
		}
		differ := 0
		for v := range want {
			if (want[v] > 0) != (got[v] > 0) {
				differ++
			}
		}
		if differ > 0 {
			borderline++
			if differ > 1 {
				t.Errorf("case %d: %d logits, %+v: %d tokens are kept or dropped otherwise", c, len(row), p, differ)
			}
			continue
		}
		for v := range want {
			if math.Abs(want[v]-got[v]) > 1e-4*want[v]+1e-12 {
				t.Errorf("case %d: %+v: token %d has probability %v, want %v", c, p, v, got[v], want[v])
			}
		}
	}
	if borderline > cases/500 {
		t.Errorf("%d of %d cases were borderline", borderline, cases)
	}
}

// randomRow has a length around the size of a block, excluded tokens at times, and equal logits at times.
func randomRow(rng *rand.Rand) []float32 {
	row := make([]float32, 1+rng.IntN(3*blockSize))
	if rng.IntN(10) == 0 {
		row = make([]float32, 3000)
	}
	deviation := 1 + 9*rng.Float64()
	coarse := rng.IntN(3) == 0
	masked := rng.IntN(4) == 0
	for v := range row {
		x := rng.NormFloat64() * deviation
		if coarse {
			x = math.Round(x)
		}
		row[v] = float32(x)
		if masked && rng.IntN(2) == 0 {
			row[v] = float32(math.Inf(-1))
		}
	}
	row[rng.IntN(len(row))] = 1
	return row
}

func randomParams(rng *rand.Rand, vocab int) Params {
	p := Params{Temperature: float32(0.05 + 1.95*rng.Float64()), TopP: 1, RepetitionPenalty: 1}
	some := func() bool { return rng.IntN(2) == 0 }
	if some() {
		p.TopK = 1 + rng.IntN(vocab+5)
	}
	if some() {
		p.TopP = float32(1 - rng.Float64()*rng.Float64())
	}
	if some() {
		p.MinP = float32(rng.Float64() * rng.Float64())
	}
	if some() {
		p.RepetitionPenalty = float32(0.5 + rng.Float64())
		p.PresencePenalty = float32(4*rng.Float64() - 2)
		p.FrequencyPenalty = float32(4*rng.Float64() - 2)
	}
	if some() {
		p.TypicalP = float32(1 - rng.Float64()*rng.Float64())
	}
	return randomExclusions(rng, p, vocab)
}

// randomExclusions adds, at times, short n-grams and words, so that they occur.
func randomExclusions(rng *rand.Rand, p Params, vocab int) Params {
	id := func() uint32 { return uint32(rng.IntN(vocab)) }
	if rng.IntN(4) == 0 {
		p.NoRepeatNGram = 1 + rng.IntN(4)
	}
	if rng.IntN(4) == 0 {
		p.BadWords = [][]uint32{{id()}, {id(), id()}, {id(), id(), id()}}
	}
	if rng.IntN(4) == 0 {
		p.Bias = []Bias{{0, float32(rng.NormFloat64() * 10)}, {uint32(vocab), 1}}
	}
	if rng.IntN(4) == 0 {
		p.MinTokens, p.Ends = rng.IntN(30), []uint32{id(), id(), uint32(vocab)}
	}
	if rng.IntN(4) == 0 {
		for v := range vocab + 1 {
			if rng.IntN(2) == 0 {
				p.Allowed = append(p.Allowed, uint32(v))
			}
		}
	}
	return p
}

// TestDrawsFollowTheDistribution draws often and compares the counts with the probabilities (chi squared).
func TestDrawsFollowTheDistribution(t *testing.T) {
	for name, p := range map[string]Params{
		"all":   {Temperature: 1.2, TopP: 1, RepetitionPenalty: 1, Seed: 3},
		"top_k": {Temperature: 1.2, TopK: 20, TopP: 1, RepetitionPenalty: 1, Seed: 4},
		"top_p": {Temperature: 0.9, TopP: 0.9, RepetitionPenalty: 1, Seed: 5},
		"min_p": {Temperature: 1.5, TopP: 1, MinP: 0.05, RepetitionPenalty: 1, Seed: 6},
	} {
		t.Run(name, func(t *testing.T) {
			const draws = 20000
			row := hashLogits(200, 77)
			probs, _, err := distribution(slices.Clone(row), p, nil, nil)
			if err != nil {
				t.Fatal(err)
			}
			counts := make([]int, len(row))
			s, scratch := New(p, 0, nil, 0), NewScratch(len(row))
			for i := range draws {
				id, err := s.Sample(slices.Clone(row), scratch, i)
				if err != nil {
					t.Fatal(err)
				}
				counts[id]++
			}
			var chi, free float64
			for v, prob := range probs {
				expected := prob * draws
				if prob == 0 && counts[v] > 0 {
					t.Errorf("token %d was drawn though it is not kept", v)
				}
				if expected < 5 {
					continue
				}
				chi += (float64(counts[v]) - expected) * (float64(counts[v]) - expected) / expected
				free++
			}
			if limit := free + 5*math.Sqrt(2*free); chi > limit { // five deviations
				t.Errorf("chi squared is %.1f with %.0f degrees of freedom", chi, free)
			}
		})
	}
}
