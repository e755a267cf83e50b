//go:build cgo

package builder

import (
	"path/filepath"
	"slices"
	"testing"

	"github.com/sluiceml/sluice/inference/model"
	"github.com/sluiceml/sluice/inference/model/builder/internal/matrix"
)

// TestForwardEqualsTransformers: what Go computes for calibration are transformers' logits, for every architecture.
func TestForwardEqualsTransformers(t *testing.T) {
	for name := range architectures() {
		for _, test := range architectureCases(t, filepath.Join("testdata", "architectures", name+".json")) {
			t.Run(name+"/"+test.Name, func(t *testing.T) {
				src, err := model.OpenSource(test.write(t))
				if err != nil {
					t.Fatal(err)
				}
				defer func() {
					if err := src.Close(); err != nil {
						t.Error(err)
					}
				}()
				var texts [][]uint32
				for _, run := range test.Runs { // beside each other
					texts = append(texts, prompt(run.Length, src.Spec().VocabSize))
				}
				f, err := newForward(src, texts, &Options{ContextLength: test.Context})
				if err != nil {
					t.Fatal(err)
				}
				layers := []int{}
				f.observer.residual = func(layer int, _ matrix.Matrix) { layers = append(layers, layer) }
				logits, err := f.run(t.Context(), f.plan.names.Logits)
				if err != nil {
					t.Fatal(err)
				}
				first, worst := 0, 0.0
				for _, run := range test.Runs {
					for i, position := range run.Positions {
						d, _ := difference(t, logits.Row(first+position), run.Logits[i])
						worst = max(worst, d)
					}
					first += run.Length
				}
				t.Logf("logits differ by %.2g", worst)
				if worst > 1e-3 {
					t.Errorf("logits differ by %g", worst)
				}
				if want := src.Spec().Layers + 1; len(layers) != want || !slices.IsSorted(layers) {
					t.Errorf("the residual stream was seen before the layers %v, want each of %d", layers, want)
				}
			})
		}
	}
}
