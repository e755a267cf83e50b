package sampling

import (
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// TestTrace: a traced draw is the untraced one, its steps remove what is not left, and what is left is what the slow twin
// keeps.
func TestTrace(t *testing.T) {
	rng := rand.New(rand.NewPCG(11, 13))
	const cases = 1500
	borderline := 0
	for c := range cases {
		row := randomRow(rng)
		p := randomParams(rng, len(row))
		p.Seed = uint64(c)
		prompt, output := []uint32{uint32(rng.IntN(len(row)))}, []uint32{uint32(rng.IntN(len(row)))}
		sampler, scratch := New(p, 0, prompt, 8), NewScratch(len(row))
		for _, id := range output {
			sampler.Accept(id)
		}
		want, wantErr := sampler.Sample(slices.Clone(row), scratch, len(output))
		id, trace, err := sampleTraced(sampler, row, slices.Clone(row), scratch, len(output))
		if errors.Is(err, ErrExcluded) && errors.Is(wantErr, ErrExcluded) {
			continue
		}
		if err != nil || wantErr != nil || id != want {
			t.Fatalf("case %d: %d, %v; untraced %d, %v", c, id, err, want, wantErr)
		}
		finite, removed := 0, 0
		for _, x := range row {
			if x > float32(math.Inf(-1)) {
				finite++
			}
		}
		for _, step := range trace.Steps {
			removed += step.Removed
			if step.Mass < 0 || step.Mass > 1.000001 || len(step.Top) != min(step.Removed, traceTop) {
				t.Errorf("case %d: step %+v", c, step)
			}
		}
		probs := naive(row, p, prompt, output)
		kept := 0
		for _, prob := range probs {
			if prob > 0 {
				kept++
			}
		}
		if finite-removed < trace.Candidates {
			t.Errorf("case %d: %d of %d tokens are removed, and %d left", c, removed, finite, trace.Candidates)
		}
		if kept != trace.Candidates {
			borderline++
			continue
		}
		if math.Abs(probs[id]-float64(trace.Chance)) > 1e-4*probs[id]+1e-9 {
			t.Errorf("case %d: %+v: chance %v, want %v", c, p, trace.Chance, probs[id])
		}
	}
	if borderline > cases/100 {
		t.Errorf("%d of %d cases were borderline", borderline, cases)
	}
}

// sampleTraced draws from a row of which something was taken already.
func sampleTraced(s *Sampler, original, row []float32, scratch *Scratch, position int) (uint32, Trace, error) {
	scratch.BeginTrace(original)
	id, err := s.Sample(row, scratch, position)
	if err != nil {
		scratch.tracer = nil
		return 0, Trace{}, err
	}
	return id, scratch.EndTrace(id), nil
}

// TestTraceNames: each step is named where it is on, and says what it removed.
func TestTraceNames(t *testing.T) {
	row := []float32{5, 4, 3, 2, 1, 0, -1, -2}
	constrained := slices.Clone(row)
	constrained[0] = float32(math.Inf(-1))
	p := Params{
		Temperature: 2, TopK: 4, TopP: 0.8, MinP: 0.2, TypicalP: 0.9, RepetitionPenalty: 1.1, Seed: 1,
		Bias: []Bias{{ID: 3, Value: 0.5}}, BadWords: [][]uint32{{1}}, MinTokens: 3, Ends: []uint32{2}, NoRepeatNGram: 1,
		Allowed: []uint32{0, 1, 2, 3, 4, 5, 6},
	}
	s := New(p, 0, []uint32{7}, 4)
	_, trace, err := sampleTraced(s, row, constrained, NewScratch(len(row)), 0)
	if err != nil {
		t.Fatal(err)
	}
	want := []struct {
		name    string
		removed []uint32
	}{
		{"constraint", []uint32{0}},
		{"logit_bias", nil},
		{"penalties", nil},
		{"no_repeat_ngram_size", []uint32{7}},
		{"bad_words", []uint32{1}},
		{"min_tokens", []uint32{2}},
		{"allowed_token_ids", nil},
		{"temperature", nil},
		{"top_k", nil},
		{"top_p", []uint32{6}},
		{"min_p", nil},
		{"typical_p", nil},
	}
	if len(trace.Steps) != len(want) {
		t.Fatalf("steps %+v", trace.Steps)
	}
	for i, step := range trace.Steps {
		var removed []uint32
		for _, e := range step.Top {
			removed = append(removed, e.ID)
		}
		if step.Name != want[i].name || i < 7 && !slices.Equal(removed, want[i].removed) {
			t.Errorf("step %d: %+v, want %+v", i, step, want[i])
		}
	}
	if mass := math.Exp(5) / (math.Exp(5) + math.Exp(4) + math.Exp(3) + math.Exp(2) + math.Exp(1) + 1 + math.Exp(-1) + math.Exp(-2)); math.Abs(float64(trace.Steps[0].Mass)-mass) > 1e-5 {
		t.Errorf("the constraint removed %v, want %v", trace.Steps[0].Mass, mass)
	}
}

// TestEntropy compares with the definition.
func TestEntropy(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for range 200 {
		row := randomRow(rng)
		var total, want float64
		for _, x := range row {
			total += math.Exp(float64(x))
		}
		for _, x := range row {
			if p := math.Exp(float64(x)) / total; p > 0 {
				want -= p * math.Log(p)
			}
		}
		got, err := NewScratch(len(row)).Entropy(row)
		if err != nil || math.Abs(float64(got)-want) > 1e-4 {
			t.Errorf("%v, want %v: %v", got, want, err)
		}
	}
}

// A trace that a failed draw leaves open is dropped.
func TestDropTrace(t *testing.T) {
	t.Parallel()
	scratch := NewScratch(4)
	scratch.BeginTrace(make([]float32, 4))
	scratch.DropTrace()
	if scratch.tracer != nil {
		t.Error("the next draw would be traced")
	}
}
