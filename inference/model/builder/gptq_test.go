package builder

import (
	"bytes"
	"math"
	"testing"

	"github.com/sluiceml/sluice/inference/model"
	"github.com/sluiceml/sluice/inference/model/builder/internal/matrix"
)

// correlated are activations whose channels differ in size and go together in pairs, as a model's do.
func correlated(tokens, width int) matrix.Matrix {
	x := matrix.New(tokens, width)
	random := newRandom("activations")
	for t := range tokens {
		row := x.Row(t)
		var last float32
		for i := range row {
			last = 0.8*last + random.weight()
			row[i] = last * float32(math.Exp(float64(i%7)/3))
		}
	}
	return x
}

// productError is the squared error of the product of x with two matrices.
func productError(x matrix.Matrix, a, b []float32) float64 {
	var sum float64
	in := x.Cols
	for t := range x.Rows {
		for at := 0; at < len(a); at += in {
			e := float64(dot(x.Row(t), a[at:at+in])) - float64(dot(x.Row(t), b[at:at+in]))
			sum += e * e
		}
	}
	return sum
}

// TestGPTQ: the product's results err less than half as much as with values that are rounded to the nearest, and the codes
// that are written stand for the values that the run goes on with.
func TestGPTQ(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		block  int
		offset bool
	}{"symmetric": {32, false}, "with offsets": {32, true}, "large blocks": {128, false}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const out, in = 40, 256
			x := correlated(300, in)
			src := memory{tensors: map[string]model.Tensor{}}
			src.set("w", model.F32, out, in)
			weights := values(t, src.tensors["w"])
			w := &product{
				name: "w", in: in, out: out, bits: 4, block: test.block, offsets: test.offset,
				parts: []part{{weight: src.tensors["w"], bits: 4, offset: test.offset}},
			}
			nearest := make([]float32, 0, out*in)
			for r := range out {
				row := w.newRow()
				roundRow(weights[r*in:(r+1)*in], row, 4, test.offset)
				nearest = append(nearest, meaning(w, row)...)
			}
			h, err := newHessian(t.Context(), x, 2)
			if err != nil {
				t.Fatal(err)
			}
			chosen := append([]float32(nil), weights...)
			blocks := in / test.block
			dst := [][]byte{make([]byte, out*in/2), make([]byte, out*blocks*4), make([]byte, out*blocks*4)}
			if err := w.calibrated(h, 0, out, chosen, dst); err != nil {
				t.Fatal(err)
			}
			plain, better := productError(x, weights, nearest), productError(x, weights, chosen)
			t.Logf("rounding to the nearest errs by %.4g, GPTQ by %.4g", plain, better)
			if better > plain/2 {
				t.Errorf("GPTQ errs by %g, rounding to the nearest by %g", better, plain)
			}
			scales, offsets := readFloats(dst[1]), readFloats(dst[2])
			for i, v := range chosen {
				code := int(dst[0][i/2]>>(4*(i%2))&0xf) - 8
				if want := float32(scales[i/test.block]*float32(code)) + offsets[i/test.block]; v != want {
					t.Fatalf("value %d is %v, what is stored says %v", i, v, want)
				}
			}
		})
	}
}

// meaning is what a row's codes stand for.
func meaning(w *product, row codedRow) []float32 {
	all := make([]float32, w.in)
	for i, c := range row.c {
		all[i] = float32(row.d[i/w.block]*float32(c)) + row.o[i/w.block]
	}
	return all
}

// TestCholesky: of a matrix of several blocks, L·Lᵀ is the matrix.
func TestCholesky(t *testing.T) {
	t.Parallel()
	const n = 150
	x := correlated(400, n)
	a := matrix.New(n, n)
	matrix.AddProduct(a, x.T(), x)
	want := append([]float32(nil), a.Data...)
	if err := cholesky(t.Context(), a, 3); err != nil {
		t.Fatal(err)
	}
	for i := range n {
		for j := range i + 1 {
			var sum float64
			for k := range j + 1 {
				sum += float64(a.Row(i)[k]) * float64(a.Row(j)[k])
			}
			w := float64(want[i*n+j])
			if math.Abs(sum-w) > 1e-4*math.Sqrt(float64(want[i*n+i])*float64(want[j*n+j])) {
				t.Fatalf("element %d %d is %g, want %g", i, j, sum, w)
			}
		}
	}
	a = matrix.New(2, 2)
	copy(a.Data, []float32{1, 2, 2, 1})
	if err := cholesky(t.Context(), a, 1); err == nil {
		t.Error("a matrix that is not definite has a factor")
	}
}

// TestHessianOfLittle: inputs that are all zeros, or fewer tokens than inputs, still give finite corrections.
func TestHessianOfLittle(t *testing.T) {
	t.Parallel()
	for name, x := range map[string]matrix.Matrix{"zeros": matrix.New(3, 96), "one token": correlated(1, 96)} {
		h, err := newHessian(t.Context(), x, 2)
		if err != nil || !finite(h.feedback.Data) {
			t.Errorf("%s: %v", name, err)
		}
	}
	x := correlated(2, 32)
	x.Data[3] = float32(math.NaN())
	if _, err := newHessian(t.Context(), x, 1); err == nil {
		t.Error("activations that are not numbers are accepted")
	}
}

// TestGPTQTwice: the same bytes again, whatever the number of workers, and others than without calibration.
func TestGPTQTwice(t *testing.T) {
	src := newMemory(tinySpec(), nil)
	opts := Options{Quantize: FormInt4, Version: "v", Workers: 1, Calibration: [][]uint32{calibrationPrompt(), {3, 1, 4}}}
	one := files(t, src, opts)
	opts.Workers = 5
	many := files(t, src, opts)
	opts.Method = MethodNearest
	plain := files(t, src, opts)
	for name, data := range one {
		if !bytes.Equal(data, many[name]) {
			t.Errorf("%s differs with the number of workers", name)
		}
	}
	if bytes.Equal(one["model.onnx.data"], plain["model.onnx.data"]) {
		t.Error("calibration changes nothing")
	}
}
