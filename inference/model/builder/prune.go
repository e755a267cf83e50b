package builder

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/sluiceml/sluice/inference/model"
	"github.com/sluiceml/sluice/inference/model/builder/internal/matrix"
)

// Pruning says what to leave out of a model. There is no training after it: what is left has to do as it is, so that the
// loss is large, and larger than that of storing the same bytes in fewer bits.
type Pruning struct {
	Layers int     // how many layers
	FFN    float64 // which part of the feed-forward layers' channels, 0 up to 1
	// Calibration holds texts as tokens, over which it is measured what matters least.
	Calibration [][]uint32
	// Scratch is a folder for a file of the weights that are left, which lasts until the source is closed.
	Scratch string
	Workers int // as in Options
}

// Pruned says what was left out.
type Pruned struct {
	// Influence is how much each layer changes what it gets: 1 less the cosine of the hidden states before and after it, on
	// average over all tokens (ShortGPT's block influence, Men et al. 2024, arXiv:2403.03853).
	Influence []float64 `json:"influence"`
	Layers    []int     `json:"layers,omitempty"` // that were left out: those of the least influence
	// Channels were left out of each layer's Width: those with the least product of the activation's root mean square
	// and the norm of the weights that read it. Lost is which part of the sum of the squares of those products they had, by
	// layer that is left.
	Width    int       `json:"width"`
	Channels int       `json:"channels,omitzero"`
	Lost     []float64 `json:"lost,omitempty"`
}

// pruneTokens is how many tokens of the texts pruning looks at.
const pruneTokens = 4096

// Prune measures a model and gives the checkpoint of what is left of it. Closing that closes source too; after an error
// source is still open.
func Prune(ctx context.Context, source model.Source, p Pruning) (model.Source, Pruned, error) {
	s := source.Spec()
	if p.Layers < 0 || p.Layers >= s.Layers && p.Layers > 0 {
		return nil, Pruned{}, &OptionError{"prune layers", fmt.Sprintf("%d of the model's %d layers cannot be left out", p.Layers, s.Layers)}
	}
	if !(p.FFN >= 0 && p.FFN < 1) {
		return nil, Pruned{}, &OptionError{"prune ffn", fmt.Sprintf("%g is not from 0 up to 1", p.FFN)}
	}
	seen, err := measurePruning(ctx, source, &p)
	if err != nil {
		return nil, Pruned{}, err
	}
	report := Pruned{Influence: seen.influence, Width: s.IntermediateSize}
	layers := make([]int, s.Layers)
	for i := range layers {
		layers[i] = i
	}
	slices.SortStableFunc(layers, func(a, b int) int { return cmp.Compare(seen.influence[a], seen.influence[b]) })
	report.Layers = slices.Sorted(slices.Values(layers[:p.Layers]))
	if p.Layers == 0 {
		report.Layers = nil
	}
	kept := slices.Sorted(slices.Values(layers[p.Layers:]))
	left := &prunedSource{Source: source, spec: s, layers: kept}
	left.spec.Layers = len(kept)
	left.spec.Sliding, left.spec.NoPositions = chosen(s.Sliding, kept), chosen(s.NoPositions, kept)
	if width := keptWidth(s.IntermediateSize, p.FFN); width < s.IntermediateSize {
		report.Channels = s.IntermediateSize - width
		channels := make([][]int, len(kept))
		for i, layer := range kept {
			var lost float64
			channels[i], lost = largestChannels(seen.channels[layer], width)
			report.Lost = append(report.Lost, lost)
		}
		left.spec.IntermediateSize = width
		if err := left.narrow(ctx, channels, p.Scratch); err != nil {
			return nil, report, err
		}
	}
	return left, report, nil
}

// described is what sluice.json says of it.
func (p Pruned) described() map[string]string {
	about := map[string]string{}
	if len(p.Layers) > 0 {
		names := make([]string, len(p.Layers))
		for i, n := range p.Layers {
			names[i] = strconv.Itoa(n)
		}
		about["pruned_layers"] = strings.Join(names, ",")
	}
	if p.Channels > 0 {
		about["pruned_channels"] = fmt.Sprintf("%d of %d", p.Channels, p.Width)
	}
	return about
}

func chosen(all []bool, layers []int) []bool {
	if all == nil {
		return nil
	}
	some := make([]bool, len(layers))
	for i, layer := range layers {
		some[i] = all[layer]
	}
	return some
}

// keptWidth leaves whole blocks, of the largest size there is unless the layer is narrow.
func keptWidth(width int, ratio float64) int {
	block := 128
	if width%block != 0 || width < 8*block {
		block = blockLength
	}
	return max(block, int(float64(width)*(1-ratio)/float64(block)+0.5)*block)
}

// importances are what is measured.
type importances struct {
	influence []float64
	channels  [][]float64 // by layer: each channel's share of what its layer adds, squared
}

// measurePruning runs the model over the texts.
func measurePruning(ctx context.Context, source model.Source, p *Pruning) (*importances, error) {
	length := min(pieceLength, source.Spec().ContextLength)
	f, err := newForward(source, pieces(p.Calibration, length, pruneTokens), &Options{Workers: p.Workers, ContextLength: source.Spec().ContextLength})
	if err != nil {
		return nil, err
	}
	seen := &importances{channels: make([][]float64, f.plan.spec.Layers)}
	var before []float32
	f.observer.residual = func(layer int, x matrix.Matrix) {
		if layer > 0 {
			seen.influence = append(seen.influence, 1-meanCosine(before, x))
		}
		before = slices.Clone(x.Data)
	}
	f.observer.product = func(_ context.Context, name string, x matrix.Matrix, w weightRows) (weightRows, error) {
		layer := 0
		if n, err := fmt.Sscanf(name, "model.layers.%d.mlp.down_proj", &layer); n == 0 || err != nil || !strings.HasSuffix(name, "down_proj") {
			return w, nil //nolint:nilerr // another product
		}
		squares := columnSquares(x.Data, w.in)
		columns := make([]float64, w.in)
		seen.channels[layer] = columns
		var mu sync.Mutex
		read := w.read
		w.read = func(first, rows int) ([]float32, error) {
			values, err := read(first, rows)
			sums := columnSquares(values, w.in)
			mu.Lock()
			defer mu.Unlock()
			for i, v := range sums {
				columns[i] += v * squares[i]
			}
			return values, err
		}
		return w, nil
	}
	if _, _, err := f.runToHead(ctx); err != nil {
		return nil, err
	}
	if len(seen.influence) != f.plan.spec.Layers {
		return nil, fmt.Errorf("prune: the hidden states of %d layers were seen, of %d", len(seen.influence), f.plan.spec.Layers)
	}
	return seen, nil
}

// meanCosine is the mean over rows of the cosine of the angle between those of x and y.
func meanCosine(x []float32, y matrix.Matrix) float64 {
	var sum float64
	for r := range y.Rows {
		a, b := x[r*y.Cols:(r+1)*y.Cols], y.Row(r)
		var ab, aa, bb float64
		for i, v := range a {
			ab += float64(v) * float64(b[i])
			aa += float64(v) * float64(v)
			bb += float64(b[i]) * float64(b[i])
		}
		if aa > 0 && bb > 0 {
			sum += ab / math.Sqrt(aa*bb)
		}
	}
	return sum / float64(y.Rows)
}

func columnSquares(x []float32, width int) []float64 {
	sums := make([]float64, width)
	for at := 0; at < len(x); at += width {
		for i, v := range x[at : at+width] {
			sums[i] += float64(v) * float64(v)
		}
	}
	return sums
}

// largestChannels are the n of the largest shares, in order, and the part of the whole that the others have.
func largestChannels(shares []float64, n int) (kept []int, lost float64) {
	order := make([]int, len(shares))
	var whole float64
	for i, v := range shares {
		order[i] = i
		whole += v
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(shares[b], shares[a]) })
	for _, i := range order[n:] {
		lost += shares[i]
	}
	if whole > 0 {
		lost /= whole
	}
	return slices.Sorted(slices.Values(order[:n])), lost
}
