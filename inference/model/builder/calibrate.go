package builder

import (
	"context"
	"math"
	"sync"

	"github.com/sluiceml/sluice/inference/model"
	"github.com/sluiceml/sluice/inference/model/builder/internal/matrix"
)

// maxCalibration is how many tokens of the calibration texts smoothing looks at, in equal parts of each text. More of them
// changed nothing.
const maxCalibration = 256

// calibration is what a run of the model over some texts has shown.
type calibration struct {
	inputs  map[string][]float32 // by product: the largest magnitude of each input
	weights map[string][]float32 // by product: the largest magnitude of each column of its weights
	cache   [][]float32          // the largest magnitude of each channel of a layer's keys, at any position, then of its values
}

// calibrate runs the model over the beginnings of the calibration texts, as far as they fit into length. Its errors are
// those of building the model.
func calibrate(ctx context.Context, source model.Source, length int, opts *Options) (*calibration, error) {
	f, err := newForward(source, beginnings(opts.Calibration, length), opts)
	if err != nil {
		return nil, err
	}
	seen := &calibration{inputs: map[string][]float32{}, weights: map[string][]float32{}}
	product := func(_ context.Context, name string, x matrix.Matrix, w weightRows) (weightRows, error) {
		seen.inputs[name] = largest(nil, x.Data, w.in)
		var mu sync.Mutex
		columns, read := make([]float32, w.in), w.read
		seen.weights[name] = columns
		w.read = func(first, rows int) ([]float32, error) {
			values, err := read(first, rows)
			mu.Lock()
			defer mu.Unlock()
			largest(columns, values, w.in)
			return values, err
		}
		return w, nil
	}
	f.observer.product = product
	f.observer.cache = func(_ int, keys, values matrix.Matrix) {
		values = matrix.Of(copyRows(values), values.Cols)
		seen.cache = append(seen.cache, largestTurned(keys.Data, keys.Cols, f.plan.spec.HeadSize), largest(nil, values.Data, values.Cols))
	}
	hidden, head, err := f.runToHead(ctx)
	if err != nil {
		return nil, err
	}
	// The head's results are of no use.
	if head, err = product(ctx, headName, hidden, head); err != nil {
		return nil, err
	}
	return seen, head.all(ctx, opts.workers())
}

// beginnings are equal parts of the texts, as many tokens as smoothing looks at.
func beginnings(texts [][]uint32, context int) [][]uint32 {
	var all [][]uint32
	tokens := 0
	for _, text := range texts {
		text = text[:min(len(text), max(1, maxCalibration/len(texts)), maxCalibration-tokens, context)]
		all = append(all, text)
		tokens += len(text)
	}
	return all
}

// largest raises the magnitudes of columns to those of the rows of x.
func largest(columns, x []float32, width int) []float32 {
	if columns == nil {
		columns = make([]float32, width)
	}
	for at := 0; at < len(x); at += width {
		for i, v := range x[at : at+width] {
			columns[i] = max(columns[i], max(v, -v))
		}
	}
	return columns
}

// largestTurned are the magnitudes that the columns of keys can reach at any position: turning takes a key's value i into
// its value i + half and back, so both can become as large as the two together.
func largestTurned(keys []float32, width, headSize int) []float32 {
	columns := make([]float32, width)
	half := headSize / 2
	for at := 0; at < len(keys); at += width {
		row := keys[at : at+width]
		for head := 0; head < width; head += headSize {
			for i := head; i < head+half; i++ {
				r := float32(math.Hypot(float64(row[i]), float64(row[i+half])))
				columns[i], columns[i+half] = max(columns[i], r), max(columns[i+half], r)
			}
		}
	}
	return columns
}
