package matrix

import (
	"math/rand/v2"
	"testing"
)

// TestAddProduct holds products of all shapes, views and transposes to sums in the order of the inner dimension, bit by
// bit.
func TestAddProduct(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	fill := func(m Matrix) Matrix {
		for i := range m.Data {
			m.Data[i] = float32(random.NormFloat64())
		}
		return m
	}
	for _, size := range [][3]int{{1, 1, 1}, {4, 16, 8}, {5, 17, 3}, {3, 40, 300}, {64, 64, 257}, {7, 15, 600}} {
		rows, cols, inner := size[0], size[1], size[2]
		whole := fill(New(inner+3, rows+5))
		a := whole.Slice(2, inner, 1, rows).T()
		for name, b := range map[string]Matrix{"plain": fill(New(inner, cols)), "transposed": fill(New(cols, inner)).T()} {
			c := fill(New(rows+1, cols+2)).Slice(1, rows, 2, cols)
			want := make([]float32, rows*cols)
			for i := range rows {
				for j := range cols {
					sum := c.Row(i)[j]
					for k := range inner {
						sum += float32(a.Data[i*a.RowStride+k*a.ColStride] * b.Data[k*b.RowStride+j*b.ColStride])
					}
					want[i*cols+j] = sum
				}
			}
			AddProduct(c, a, b)
			for i := range rows {
				for j, got := range c.Row(i) {
					if got != want[i*cols+j] {
						t.Fatalf("%v %s: element %d %d is %v, want %v", size, name, i, j, got, want[i*cols+j])
					}
				}
			}
		}
	}
}

func TestAddTilePlain(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(3, 4))
	a, b := make([]float32, 9*tileRows), make([]float32, 9*tileCols)
	fast, plain := make([]float32, 4*20), make([]float32, 4*20)
	for _, v := range [][]float32{a, b} {
		for i := range v {
			v[i] = float32(random.NormFloat64())
		}
	}
	for i := range fast {
		fast[i] = float32(i)
		plain[i] = fast[i]
	}
	addTile(fast, 20, a, b)
	addTilePlain(plain, 20, a, b)
	for i := range fast {
		if fast[i] != plain[i] {
			t.Fatalf("value %d is %v with vector instructions and %v without", i, fast[i], plain[i])
		}
	}
}

func BenchmarkAddProduct(b *testing.B) {
	x, w, y := New(512, 576), New(576, 1536), New(512, 1536)
	b.SetBytes(512 * 576 * 1536) // multiplications
	for b.Loop() {
		AddProduct(y, x, w)
	}
}
