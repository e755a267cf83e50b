package builder

import (
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/sluiceml/sluice/inference/model/builder/internal/matrix"
	"github.com/sluiceml/sluice/inference/model/onnx"
)

// attention is a GroupQueryAttention without a past: causal within each text.
func (f *forward) attention(ctx context.Context, n *onnx.Node) error {
	a := attentionRun{
		heads: number(n, "num_heads", 0), keyHeads: number(n, "kv_num_heads", 0), window: number(n, "local_window_size", -1),
		scale: float64(fraction(n, "scale", 0)), softcap: float64(fraction(n, "softcap", 0)),
	}
	if a.heads < 1 || a.keyHeads < 1 || number(n, "rotary_interleaved", 0) != 0 || number(n, "smooth_softmax", 0) != 0 {
		return errors.New("calibration does not know this kind of attention")
	}
	if err := f.takeQKV(n, &a); err != nil {
		return err
	}
	a.size = a.q.Cols / a.heads
	if a.scale == 0 {
		a.scale = 1 / math.Sqrt(float64(a.size))
	}
	if f.observer.cache != nil {
		layer := 0
		if _, err := fmt.Sscanf(n.Name, "model.layers.%d.", &layer); err != nil {
			return errors.New("it is of no layer")
		}
		f.observer.cache(layer, a.k, a.v)
	}
	if number(n, "do_rotary", 0) == 1 {
		if err := f.turn(n, &a); err != nil {
			return err
		}
	}
	out := matrix.New(f.tokens, a.q.Cols)
	type piece struct{ first, length, head int }
	var pieces []piece
	first := 0
	for _, text := range f.texts {
		for h := range a.heads {
			pieces = append(pieces, piece{first, len(text), h})
		}
		first += len(text)
	}
	err := parallel(ctx, f.workers, len(pieces), 1, func(i, _ int) error {
		p := pieces[i]
		a.head(out, p.first, p.length, p.head)
		return nil
	})
	f.values[n.Outputs[0]] = array{floats: out.Data, width: out.Cols}
	return err
}

// attentionRun is one node's attention over all texts.
type attentionRun struct {
	q, k, v         matrix.Matrix // a row for each token
	heads, keyHeads int
	size            int // of a head
	window          int // how many positions a token sees, itself included; -1: all
	scale, softcap  float64
}

// takeQKV takes queries, keys and values, which may lie side by side in one input.
func (f *forward) takeQKV(n *onnx.Node, a *attentionRun) error {
	x, err := f.value(n, 0)
	if err != nil {
		return err
	}
	q := x.matrix()
	if len(n.Inputs) > 1 && n.Inputs[1] != "" {
		k, err := f.value(n, 1)
		if err != nil {
			return err
		}
		v, err := f.value(n, 2)
		if err != nil {
			return err
		}
		// Reshape and norm may have left rows of another length: of a head, say.
		a.q, a.k, a.v = f.copyOf(q), f.copyOf(k.matrix()), v.matrix()
		a.v = matrix.Of(a.v.Data, len(a.v.Data)/f.tokens)
		return nil
	}
	size := q.Cols / (a.heads + 2*a.keyHeads)
	a.q = f.copyOf(q.Slice(0, q.Rows, 0, a.heads*size))
	a.k = f.copyOf(q.Slice(0, q.Rows, a.heads*size, a.keyHeads*size))
	a.v = q.Slice(0, q.Rows, (a.heads+a.keyHeads)*size, a.keyHeads*size)
	return nil
}

// copyOf has a row for each token, to be turned in place.
func (f *forward) copyOf(m matrix.Matrix) matrix.Matrix {
	out := copyRows(m)
	return matrix.Of(out, len(out)/f.tokens)
}

func copyRows(m matrix.Matrix) []float32 {
	out := make([]float32, 0, m.Rows*m.Cols)
	for r := range m.Rows {
		out = append(out, m.Row(r)...)
	}
	return out
}

// turn rotates queries and keys by their positions.
func (f *forward) turn(n *onnx.Node, a *attentionRun) error {
	const cosines, sines = 7, 8
	return f.turnAll(n, cosines, sines, func(token int, cos, sin []float32) {
		turnRow(a.q.Row(token), a.size, cos, sin)
		turnRow(a.k.Row(token), a.size, cos, sin)
	})
}

// rotary is a RotaryEmbedding: it turns rows of heads outside of attention.
func (f *forward) rotary(n *onnx.Node) error {
	const cosines, sines = 2, 3
	x, err := f.value(n, 0)
	if err != nil {
		return err
	}
	m := f.copyOf(x.matrix())
	heads := number(n, "num_heads", 0)
	if heads < 1 || number(n, "interleaved", 0) != 0 {
		return errors.New("calibration does not know this kind of rotation")
	}
	f.values[n.Outputs[0]] = array{floats: m.Data, width: m.Cols}
	return f.turnAll(n, cosines, sines, func(token int, cos, sin []float32) { turnRow(m.Row(token), m.Cols/heads, cos, sin) })
}

// turnAll calls turn for every token with the angles of its position, from two tables among a node's inputs.
func (f *forward) turnAll(n *onnx.Node, cosines, sines int, turn func(token int, cos, sin []float32)) error {
	longest := 0
	for _, text := range f.texts {
		longest = max(longest, len(text))
	}
	cos, err := f.rows(n.Inputs[cosines], 0, longest)
	if err != nil {
		return err
	}
	sin, err := f.rows(n.Inputs[sines], 0, longest)
	if err != nil {
		return err
	}
	half := len(cos) / longest
	for token, at := range f.positions() {
		turn(token, cos[int(at)*half:][:half], sin[int(at)*half:][:half])
	}
	return nil
}

// turnRow rotates value i of each head with value i + half.
func turnRow(row []float32, size int, cos, sin []float32) {
	half := len(cos)
	for at := 0; at < len(row); at += size {
		head := row[at : at+2*half]
		for i, c := range cos {
			x, y := head[i], head[half+i]
			head[i], head[half+i] = float32(x*c)-float32(y*sin[i]), float32(y*c)+float32(x*sin[i])
		}
	}
}

// head computes one head of one text.
func (a *attentionRun) head(out matrix.Matrix, first, length, head int) {
	group := head / (a.heads / a.keyHeads) * a.size
	q := a.q.Slice(first, length, head*a.size, a.size)
	k, v := a.k.Slice(first, length, group, a.size), a.v.Slice(first, length, group, a.size)
	scores := matrix.New(length, length)
	matrix.AddProduct(scores, q, k.T())
	weights := make([]float64, length)
	for t := range length {
		row := scores.Row(t)
		from := 0
		if a.window > 0 {
			from = max(0, t+1-a.window)
		}
		for u := from; u <= t; u++ {
			s := float64(row[u]) * a.scale
			if a.softcap > 0 {
				s = a.softcap * math.Tanh(s/a.softcap)
			}
			weights[u] = s
		}
		softmax(weights[from : t+1])
		clear(row)
		for u := from; u <= t; u++ {
			row[u] = float32(weights[u])
		}
	}
	matrix.AddProduct(out.Slice(first, length, head*a.size, a.size), scores, v)
}

func softmax(x []float64) {
	most := math.Inf(-1)
	for _, v := range x {
		most = max(most, v)
	}
	var sum float64
	for i, v := range x {
		x[i] = math.Exp(v - most)
		sum += x[i]
	}
	for i := range x {
		x[i] /= sum
	}
}
