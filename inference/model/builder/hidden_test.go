//go:build cgo

package builder

import (
	"encoding/json"
	"errors"
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/sluiceml/sluice/inference/model"
	"github.com/sluiceml/sluice/inference/ort"
	"github.com/sluiceml/sluice/inference/runner"
)

// hiddenCase is what transformers says of the hidden states of a prompt of 37 tokens of a small model;
// scripts/parity/make_hidden.py makes it.
type hiddenCase struct {
	Architecture, Name string
	Mean, Last, CLS    []float32
}

// TestHiddenStates compares the hidden states of small checkpoints of every architecture with transformers', pooled as
// embeddings are, whether a prompt is taken whole or in chunks; and of 8-bit weights, by ONNX Runtime's operators and by our
// own, how alike they are. The form row8 gives none, and says so.
func TestHiddenStates(t *testing.T) {
	env := environment(t)
	text, err := os.ReadFile("testdata/hidden.json")
	if err != nil {
		t.Fatal(err)
	}
	var want []hiddenCase
	if err := json.Unmarshal(text, &want); err != nil {
		t.Fatal(err)
	}
	of := map[[2]string]hiddenCase{}
	for _, c := range want {
		of[[2]string{c.Architecture, c.Name}] = c
	}
	worst := 0.0
	for name := range architectures() {
		for _, test := range architectureCases(t, filepath.Join("testdata", "architectures", name+".json")) {
			want, ok := of[[2]string{name, test.Name}]
			if !ok {
				t.Fatalf("no golden for %s, %s", name, test.Name)
			}
			t.Run(name+"/"+test.Name, func(t *testing.T) {
				src, err := model.OpenSource(test.write(t))
				if err != nil {
					t.Fatal(err)
				}
				defer src.Close() //nolint:errcheck // read only
				opts := Options{Quantize: FormNone, ContextLength: test.Context}
				session, tokens := openBuilt(t, env, src, opts), prompt(37, src.Spec().VocabSize)
				for _, size := range []int{37, 7, 1} {
					worst = max(worst, want.difference(t, hiddenOf(t, session, tokens, size)))
				}
				if worst > 1e-3 {
					t.Errorf("hidden states differ by %g", worst)
				}
				if s := src.Spec(); s.HiddenSize%blockLength+s.IntermediateSize%blockLength+s.Heads*s.HeadSize%blockLength != 0 {
					return
				}
				opts.Quantize = FormInt8
				mean := pool(hiddenOf(t, openBuilt(t, env, src, opts), tokens, 7), len(want.Mean))
				// Random weights, whose outputs are all noise, are the worst case for rounding.
				if c := cosine(mean, want.Mean); c < 0.99 {
					t.Errorf("int8: the mean has a cosine of %v to float32's", c)
				}
			})
		}
	}
	t.Logf("float32: hidden states differ by %.2g", worst)
}

// TestNoHiddenStates: a graph whose last norm is not the model's says so.
func TestNoHiddenStates(t *testing.T) {
	env := environment(t)
	test := architectureCases(t, filepath.Join("testdata", "architectures", "qwen2.json"))[0]
	src, err := model.OpenSource(test.write(t))
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close() //nolint:errcheck // read only
	session := openBuilt(t, env, src, Options{Quantize: FormRow8, Calibration: [][]uint32{prompt(40, src.Spec().VocabSize)}})
	none, ok := errors.AsType[*model.NoHiddenStatesError](session.NoHiddenStates())
	if !ok || session.Limits().HiddenSize != 0 {
		t.Errorf("row8: %v, limits %+v", none, session.Limits())
	}
}

// hiddenOf is the hidden states of a prompt, cut into chunks.
func hiddenOf(t *testing.T, session *ort.Session, tokens []uint32, size int) (all []float32) {
	t.Helper()
	if err := session.NoHiddenStates(); err != nil {
		t.Fatal(err)
	}
	for past := 0; past < len(tokens); past += size {
		part := tokens[past:min(past+size, len(tokens))]
		got, err := session.Step(runner.Step{Chunks: []runner.Chunk{{Slot: 1, Past: past, Tokens: part, Hidden: true}}})
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, got.Hidden[0]...)
	}
	return all
}

// difference is the largest from pooled hidden states.
func (c *hiddenCase) difference(t *testing.T, states []float32) (worst float64) {
	t.Helper()
	size := len(c.Mean)
	for _, pair := range [][2][]float32{
		{pool(states, size), c.Mean}, {states[len(states)-size:], c.Last}, {states[:size], c.CLS},
	} {
		d, _ := difference(t, pair[0], pair[1])
		worst = max(worst, d)
	}
	return worst
}

// pool is the mean of states.
func pool(states []float32, size int) []float32 {
	mean := make([]float32, size)
	for i := range mean {
		sum := 0.0
		for at := i; at < len(states); at += size {
			sum += float64(states[at])
		}
		mean[i] = float32(sum / float64(len(states)/size))
	}
	return mean
}

// cosine is how alike two vectors are.
func cosine(a, b []float32) float64 {
	var product, one, two float64
	for i := range a {
		product += float64(a[i]) * float64(b[i])
		one += float64(a[i]) * float64(a[i])
		two += float64(b[i]) * float64(b[i])
	}
	return product / math.Sqrt(one*two)
}
