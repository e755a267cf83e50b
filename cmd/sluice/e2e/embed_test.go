package e2e_test

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"

	sluicev1 "github.com/sluiceml/sluice/proto/sluice/v1"
)

// hiddenGolden is what transformers says of the hidden states of a text, of the float32 weights; scripts/parity/README.md has
// the command.
type hiddenGolden struct {
	IDs             []uint32 `json:"ids"`
	Mean, Last, CLS []float32
}

// TestEmbeddingsEqualTransformers compares vectors, through gRPC, with transformers' on the same weights: of the float32
// conversion value by value, and of the default model, whose activations are rounded to 8 bits, how alike they are. The
// texts together have the bits that each has alone.
func TestEmbeddingsEqualTransformers(t *testing.T) {
	s := serve(t, nil, "--model", "none="+folder, "--model", "default-model="+filepath.Join(home(), "models", "smollm2-135m-instruct"))
	ctx := deadline(t)
	text, err := os.ReadFile("testdata/hidden.json")
	if err != nil {
		t.Fatal(err)
	}
	var goldens []hiddenGolden
	if err := json.Unmarshal(text, &goldens); err != nil {
		t.Fatal(err)
	}
	var inputs []*sluicev1.EmbedInput
	for _, g := range goldens {
		inputs = append(inputs, &sluicev1.EmbedInput{Input: &sluicev1.EmbedInput_Tokens{Tokens: &sluicev1.Tokens{Ids: g.IDs}}})
	}
	embed := func(model string, kind sluicev1.Pooling, inputs ...*sluicev1.EmbedInput) []*sluicev1.Embedding {
		t.Helper()
		got, err := s.Embed(ctx, &sluicev1.EmbedRequest{Model: model, Inputs: inputs, Pooling: kind, Normalize: new(false)})
		if err != nil {
			t.Fatal(err)
		}
		return got.GetEmbeddings()
	}
	worst, least := 0.0, 1.0
	for kind, of := range map[sluicev1.Pooling]func(hiddenGolden) []float32{
		sluicev1.Pooling_POOLING_MEAN: func(g hiddenGolden) []float32 { return g.Mean },
		sluicev1.Pooling_POOLING_LAST: func(g hiddenGolden) []float32 { return g.Last },
		sluicev1.Pooling_POOLING_CLS:  func(g hiddenGolden) []float32 { return g.CLS },
	} {
		for _, model := range []string{"none", "default-model"} {
			for i, got := range embed(model, kind, inputs...) {
				if alone := embed(model, kind, inputs[i])[0]; !slices.Equal(alone.GetValues(), got.GetValues()) {
					t.Errorf("%s, %v: text %d has another vector alone", model, kind, i)
				}
				difference, cosine := compareVectors(got.GetValues(), of(goldens[i]))
				if model == "none" {
					worst = max(worst, difference)
				} else {
					least = min(least, cosine)
				}
			}
		}
	}
	t.Logf("float32: values differ by %.2g at most; default model: a cosine of %.5f at least", worst, least)
	if !(worst <= 1e-3) || !(least >= 0.98) {
		t.Errorf("float32: values differ by %g; default model: a cosine of %g", worst, least)
	}
}

// compareVectors is the largest difference of two vectors' values, and how alike they are.
func compareVectors(a, b []float32) (difference, cosine float64) {
	var product, one, two float64
	for i := range b {
		x, y := float64(a[i]), float64(b[i])
		difference = max(difference, math.Abs(x-y))
		product, one, two = product+x*y, one+x*x, two+y*y
	}
	return difference, product / math.Sqrt(one*two)
}
