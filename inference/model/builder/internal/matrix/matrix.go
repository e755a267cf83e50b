// Package matrix multiplies float32 matrices, for running a model in Go while it is converted.
//
// Every element of a product is summed up in one order, that of the inner dimension, with each product rounded before it
// is added, whatever the processor, the blocking and the number of goroutines. So the vector instructions, which work on
// sixteen elements at once, give the bits that the plain Go code gives.
package matrix

// Matrix is a view of values: that of row i and column j is Data[i*RowStride + j*ColStride].
type Matrix struct {
	Data                 []float32
	Rows, Cols           int
	RowStride, ColStride int
}

// New is a matrix of zeros, row by row.
func New(rows, cols int) Matrix { return Of(make([]float32, rows*cols), cols) }

// Of is the matrix whose rows lie one after another in data.
func Of(data []float32, cols int) Matrix {
	return Matrix{Data: data, Rows: len(data) / cols, Cols: cols, RowStride: cols, ColStride: 1}
}

// T is the transpose, of the same memory.
func (m Matrix) T() Matrix {
	m.Rows, m.Cols, m.RowStride, m.ColStride = m.Cols, m.Rows, m.ColStride, m.RowStride
	return m
}

// Slice is a part of the matrix: rows from row on and columns from col on.
func (m Matrix) Slice(row, rows, col, cols int) Matrix {
	m.Data = m.Data[row*m.RowStride+col*m.ColStride:]
	m.Rows, m.Cols = rows, cols
	return m
}

// Row is a row, whose values must lie side by side.
func (m Matrix) Row(i int) []float32 { return m.Data[i*m.RowStride : i*m.RowStride+m.Cols] }

const (
	tileRows, tileCols = 4, 16 // of the result, which the inner loop keeps in registers
	depth              = 256   // of the inner dimension: tiles of b stay in the cache
)

// AddProduct adds a·b to c, the columns of whose rows lie side by side. It panics if the sizes do not fit together.
func AddProduct(c, a, b Matrix) {
	if c.Rows != a.Rows || c.Cols != b.Cols || a.Cols != b.Rows || c.ColStride != 1 {
		panic("matrix: sizes do not fit together")
	}
	panels := (b.Cols + tileCols - 1) / tileCols
	packedA := make([]float32, depth*tileRows)
	packedB := make([]float32, depth*tileCols*panels)
	var edge [tileRows * tileCols]float32
	for k := 0; k < a.Cols; k += depth {
		n := min(depth, a.Cols-k)
		for p := range panels {
			pack(packedB[n*tileCols*p:n*tileCols*(p+1)], b.T(), p*tileCols, k, n, tileCols)
		}
		for i := 0; i < c.Rows; i += tileRows {
			pack(packedA[:n*tileRows], a, i, k, n, tileRows)
			for p := range panels {
				j := p * tileCols
				rows, cols := min(tileRows, c.Rows-i), min(tileCols, c.Cols-j)
				panel := packedB[n*tileCols*p : n*tileCols*(p+1)]
				if rows == tileRows && cols == tileCols {
					addTile(c.Data[i*c.RowStride+j:], c.RowStride, packedA[:n*tileRows], panel)
					continue
				}
				clear(edge[:])
				for r := range rows {
					copy(edge[r*tileCols:], c.Data[(i+r)*c.RowStride+j:][:cols])
				}
				addTile(edge[:], tileCols, packedA[:n*tileRows], panel)
				for r := range rows {
					copy(c.Data[(i+r)*c.RowStride+j:][:cols], edge[r*tileCols:])
				}
			}
		}
	}
}

// pack lays out width rows of m, from row on and zeros behind the last, column by column: n of them from column k on.
func pack(dst []float32, m Matrix, row, k, n, width int) {
	rows := min(width, m.Rows-row)
	if rows < width {
		clear(dst)
	}
	if m.RowStride == 1 {
		for i := range n {
			copy(dst[i*width:], m.Data[row+(k+i)*m.ColStride:][:rows])
		}
		return
	}
	for r := range rows {
		at := (row+r)*m.RowStride + k*m.ColStride
		for i := range n {
			dst[i*width+r] = m.Data[at]
			at += m.ColStride
		}
	}
}

// addTilePlain adds to a tile of c the product of four rows and sixteen columns, which are packed.
func addTilePlain(c []float32, stride int, a, b []float32) {
	for r := range tileRows {
		row := (*[tileCols]float32)(c[r*stride:])
		sums := *row
		for k := 0; k < len(a); k += tileRows {
			v, w := a[k+r], (*[tileCols]float32)(b[k/tileRows*tileCols:])
			for j := range sums {
				sums[j] += float32(v * w[j])
			}
		}
		*row = sums
	}
}
