package builder

import (
	"context"
	"errors"
	"fmt"
	"math"

	"golang.org/x/sync/errgroup"

	"github.com/sluiceml/sluice/inference/model"
)

// maxCalibration is how many tokens of the calibration texts are used, in equal parts of each text. More of them changed
// nothing.
const maxCalibration = 256

// calibration is what a run of the model over some texts has shown.
type calibration struct {
	inputs  map[string][]float32 // by product: the largest magnitude of each input
	weights map[string][]float32 // by product: the largest magnitude of each column of its weights
	cache   [][]float32          // the largest magnitude of each channel of a layer's keys, at any position, then of its values
}

// calibrator runs a Llama in float32, in Go: slowly, but without ONNX Runtime, and with the same result everywhere. It
// holds one layer's activations and some rows of its weights at a time.
type calibrator struct {
	*plan
	workers int
	texts   [][]uint32
	tokens  int
	seen    calibration
}

// calibrate runs the model over texts. The errors are those of building the model.
func (p *plan) calibrate(ctx context.Context, texts [][]uint32, workers int) (*calibration, error) {
	c, err := p.newCalibrator(texts, workers)
	if err != nil {
		return nil, err
	}
	x, err := c.run(ctx)
	if err != nil {
		return nil, err
	}
	if err := c.head(x); err != nil {
		return nil, err
	}
	return &c.seen, nil
}

// newCalibrator takes what it uses of the texts.
func (p *plan) newCalibrator(texts [][]uint32, workers int) (*calibrator, error) {
	c := &calibrator{
		plan: p, workers: workers,
		seen: calibration{inputs: map[string][]float32{}, weights: map[string][]float32{}},
	}
	for _, text := range texts {
		text = text[:min(len(text), max(1, maxCalibration/len(texts)), maxCalibration-c.tokens, p.spec.ContextLength)]
		if len(text) > 0 {
			c.texts = append(c.texts, text)
			c.tokens += len(text)
		}
	}
	if c.tokens == 0 {
		return nil, errors.New("no calibration text has a token")
	}
	return c, nil
}

// run gives the hidden states after the last layer: [tokens, hidden].
func (c *calibrator) run(ctx context.Context) ([]float32, error) {
	x, err := c.embed()
	if err != nil {
		return nil, err
	}
	for i := range c.spec.Layers {
		if err := c.layer(ctx, i, x); err != nil {
			return nil, fmt.Errorf("calibrate layer %d: %w", i, err)
		}
	}
	return x, nil
}

// embed looks the tokens up: [tokens, hidden].
func (c *calibrator) embed() ([]float32, error) {
	s := &c.spec
	t, err := c.tensor(embeddingName+".weight", s.VocabSize, s.HiddenSize)
	if err != nil {
		return nil, err
	}
	x := make([]float32, c.tokens*s.HiddenSize)
	at := 0
	for _, text := range c.texts {
		for _, id := range text {
			if int(id) >= s.VocabSize {
				return nil, fmt.Errorf("calibration token %d is not in the vocabulary", id)
			}
			if err := model.Dequantize(x[at:at+s.HiddenSize], t.Type, rowData(t, int(id), 1)); err != nil {
				return nil, err
			}
			at += s.HiddenSize
		}
	}
	return x, nil
}

// head notes how large the inputs and the weights of the head are, without multiplying them.
func (c *calibrator) head(x []float32) error {
	s := &c.spec
	n, err := c.norm(x, "model.norm")
	if err != nil {
		return err
	}
	t, err := c.tensor(c.headWeight()+".weight", s.VocabSize, s.HiddenSize)
	if err != nil {
		return err
	}
	row, columns := make([]float32, s.HiddenSize), make([]float32, s.HiddenSize)
	for i := range s.VocabSize {
		if err := model.Dequantize(row, t.Type, rowData(t, i, 1)); err != nil {
			return err
		}
		columns = largest(columns, row, s.HiddenSize)
	}
	c.seen.inputs[headName], c.seen.weights[headName] = largest(nil, n, s.HiddenSize), columns
	return nil
}

// layer adds a layer's two branches to x.
func (c *calibrator) layer(ctx context.Context, i int, x []float32) error {
	s := &c.spec
	prefix := fmt.Sprintf("model.layers.%d.", i)
	attention, mlp := prefix+"self_attn.", prefix+"mlp."
	queries, keys := s.Heads*s.HeadSize, s.KVHeads*s.HeadSize

	n, err := c.norm(x, prefix+"input_layernorm")
	if err != nil {
		return err
	}
	qkv := make([][]float32, 3)
	for j, name := range []string{"q_proj", "k_proj", "v_proj"} {
		out := keys
		if j == 0 {
			out = queries
		}
		if qkv[j], err = c.multiply(ctx, n, attention, name, "qkv_proj", out, s.HiddenSize); err != nil {
			return err
		}
	}
	attended := c.attend(qkv[0], qkv[1], qkv[2])
	c.seen.cache = append(c.seen.cache, largestTurned(qkv[1], keys, s.HeadSize), largest(nil, qkv[2], keys))
	o, err := c.multiply(ctx, attended, attention, "o_proj", "o_proj", s.HiddenSize, queries)
	if err != nil {
		return err
	}
	add(x, o)

	if n, err = c.norm(x, prefix+"post_attention_layernorm"); err != nil {
		return err
	}
	gate, err := c.multiply(ctx, n, mlp, "gate_proj", "gate_up_proj", s.IntermediateSize, s.HiddenSize)
	if err != nil {
		return err
	}
	up, err := c.multiply(ctx, n, mlp, "up_proj", "gate_up_proj", s.IntermediateSize, s.HiddenSize)
	if err != nil {
		return err
	}
	for j, g := range gate {
		gate[j] = float32(float64(g)/(1+math.Exp(-float64(g)))) * up[j]
	}
	down, err := c.multiply(ctx, gate, mlp, "down_proj", "down_proj", s.HiddenSize, s.IntermediateSize)
	if err != nil {
		return err
	}
	add(x, down)
	return nil
}

func add(x, y []float32) {
	for i := range x {
		x[i] += y[i]
	}
}

// norm is the RMS norm of every token.
func (c *calibrator) norm(x []float32, name string) ([]float32, error) {
	width := c.spec.HiddenSize
	t, err := c.tensor(name+".weight", width)
	if err != nil {
		return nil, err
	}
	weight := make([]float32, width)
	if err := model.Dequantize(weight, t.Type, t.Data); err != nil {
		return nil, err
	}
	out := make([]float32, len(x))
	for at := 0; at < len(x); at += width {
		var sum float64
		for _, v := range x[at : at+width] {
			sum += float64(v) * float64(v)
		}
		scale := float32(1 / math.Sqrt(sum/float64(width)+c.spec.NormEpsilon))
		for i, v := range x[at : at+width] {
			out[at+i] = v * scale * weight[i]
		}
	}
	return out, nil
}

// attend is causal attention with rotary positions, text by text: [tokens, queries]. It turns the queries and keys in
// place.
func (c *calibrator) attend(q, k, v []float32) []float32 {
	s := &c.spec
	queries, keys, size := s.Heads*s.HeadSize, s.KVHeads*s.HeadSize, s.HeadSize
	out := make([]float32, len(q))
	inverse := s.InverseFrequencies()
	scores := make([]float64, maxCalibration)
	first := 0
	for _, text := range c.texts {
		for t := range text {
			turn(q[(first+t)*queries:(first+t+1)*queries], inverse, t)
			turn(k[(first+t)*keys:(first+t+1)*keys], inverse, t)
		}
		for t := range text {
			for h := range s.Heads {
				group := h / (s.Heads / s.KVHeads) * size
				query := q[(first+t)*queries+h*size:][:size]
				for u := range t + 1 {
					scores[u] = float64(dot(query, k[(first+u)*keys+group:][:size])) / math.Sqrt(float64(size))
				}
				softmax(scores[:t+1])
				result := out[(first+t)*queries+h*size:][:size]
				for u, w := range scores[:t+1] {
					for i, x := range v[(first+u)*keys+group:][:size] {
						result[i] += float32(w) * x
					}
				}
			}
		}
		first += len(text)
	}
	return out
}

// turn rotates each head of a row by its position: value i with value i + half.
func turn(row []float32, inverse []float64, position int) {
	half := len(inverse)
	for head := 0; head < len(row); head += 2 * half {
		for i, f := range inverse {
			sin, cos := math.Sincos(float64(position) * f)
			a, b := float64(row[head+i]), float64(row[head+half+i])
			row[head+i], row[head+half+i] = float32(a*cos-b*sin), float32(b*cos+a*sin)
		}
	}
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

func dot(a, b []float32) (sum float32) {
	b = b[:len(a)]
	for i, v := range a {
		sum += v * b[i]
	}
	return sum
}

// multiply is x·Wᵀ + b, [tokens, out]. It notes how large the inputs and the weights of the product are.
func (c *calibrator) multiply(ctx context.Context, x []float32, prefix, name, product string, out, in int) ([]float32, error) {
	t, err := c.tensor(prefix+name+".weight", out, in)
	if err != nil {
		return nil, err
	}
	b, err := c.bias(prefix+name+".bias", out, false)
	if err != nil {
		return nil, err
	}
	result := make([]float32, c.tokens*out)
	if b != nil {
		if err := model.Dequantize(result[:out], b.Type, b.Data); err != nil {
			return nil, err
		}
		for at := out; at < len(result); at += out {
			copy(result[at:], result[:out])
		}
	}
	const rows = 32
	weights := make([][]float32, (out+rows-1)/rows)
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(c.workers)
	for i := range weights {
		group.Go(func() error {
			if err := ctx.Err(); err != nil {
				return err
			}
			n := min(rows, out-i*rows)
			w := make([]float32, n*in)
			if err := model.Dequantize(w, t.Type, rowData(t, i*rows, n)); err != nil {
				return err
			}
			if !finite(w) {
				return notFinite(t, i*rows)
			}
			for row := range n {
				multiplyRow(result[i*rows+row:], out, x, w[row*in:(row+1)*in])
			}
			weights[i] = largest(nil, w, in)
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	all := c.seen.weights[prefix+product]
	for _, w := range weights {
		all = largest(all, w, in)
	}
	c.seen.weights[prefix+product] = all
	if c.seen.inputs[prefix+product] == nil {
		c.seen.inputs[prefix+product] = largest(nil, x, in)
	}
	return result, nil
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

// multiplyRow adds x·w to every stride-th value of dst, for each row of x. Eight rows at a time keep eight sums in
// registers.
func multiplyRow(dst []float32, stride int, x, w []float32) {
	n := len(w)
	at := 0
	for ; len(x) >= 8*n; x = x[8*n:] {
		// Sliced to the length of w so that the compiler sees that no index is out of bounds.
		x0, x1, x2, x3 := x[:len(w)], x[n:][:len(w)], x[2*n:][:len(w)], x[3*n:][:len(w)]
		x4, x5, x6, x7 := x[4*n:][:len(w)], x[5*n:][:len(w)], x[6*n:][:len(w)], x[7*n:][:len(w)]
		var s0, s1, s2, s3, s4, s5, s6, s7 float32
		for i, v := range w {
			s0 += float32(x0[i] * v)
			s1 += float32(x1[i] * v)
			s2 += float32(x2[i] * v)
			s3 += float32(x3[i] * v)
			s4 += float32(x4[i] * v)
			s5 += float32(x5[i] * v)
			s6 += float32(x6[i] * v)
			s7 += float32(x7[i] * v)
		}
		for _, s := range [...]float32{s0, s1, s2, s3, s4, s5, s6, s7} {
			dst[at] += s
			at += stride
		}
	}
	for ; len(x) >= n; x = x[n:] {
		dst[at] += dot(w, x[:n])
		at += stride
	}
}
