package builder

import (
	"cmp"
	"context"
	"errors"
	"math"
	"slices"

	"github.com/sluiceml/sluice/inference/model/builder/internal/matrix"
)

// hessian is what GPTQ knows of a product's inputs.
type hessian struct {
	importance []float32     // the mean square of each input
	order      []int         // the inputs, those of the largest mean squares first
	feedback   matrix.Matrix // the strictly upper triangle of U, in that order
}

// errNotDefinite says that rounding errors made a matrix lose what Cholesky's method needs.
var errNotDefinite = errors.New("the second moments of the activations are not positive definite")

// newHessian takes the second moments of x, whose rows are tokens. They take the memory of three square matrices of the
// inputs.
func newHessian(ctx context.Context, x matrix.Matrix, workers int) (*hessian, error) {
	n := x.Cols
	moments := matrix.New(n, n)
	// Only the upper triangle, in bands.
	err := parallel(ctx, workers, n, productRows, func(first, rows int) error {
		matrix.AddProduct(moments.Slice(first, rows, first, n-first), x.Slice(0, x.Rows, first, rows).T(), x.Slice(0, x.Rows, first, n-first))
		return nil
	})
	if err != nil {
		return nil, err
	}
	h := &hessian{importance: make([]float32, n), order: make([]int, n)}
	var mean float64
	for i := range n {
		h.importance[i] = moments.Row(i)[i] / float32(x.Rows)
		mean += float64(h.importance[i]) / float64(n)
		h.order[i] = i
		for j := i + 1; j < n; j++ {
			moments.Row(j)[i] = moments.Row(i)[j]
		}
	}
	if !finite(h.importance) {
		return nil, errors.New("the activations are not finite")
	}
	slices.SortStableFunc(h.order, func(a, b int) int { return cmp.Compare(h.importance[b], h.importance[a]) })
	if mean == 0 { // the inputs are all zeros, and no error matters
		mean = 1
	}
	// A part of the mean on the diagonal keeps inputs that hardly occur, or only together, from taking wild corrections.
	factor := matrix.New(n, n)
	for damping := 0.01; damping <= 1; damping *= 10 {
		// Backwards: of the product L·D·Lᵀ with L lower triangular, the reverse is U·D·Uᵀ.
		for i := range n {
			from := moments.Row(h.order[n-1-i])
			row := factor.Row(i)
			for j := range i + 1 {
				row[j] = from[h.order[n-1-j]] / float32(x.Rows)
			}
			row[i] += float32(damping * mean)
		}
		if err = cholesky(ctx, factor, workers); !errors.Is(err, errNotDefinite) {
			break
		}
	}
	if err != nil {
		return nil, err
	}
	h.feedback = moments
	clear(moments.Data)
	for i := range n {
		for j := range i {
			moments.Row(n - 1 - i)[n-1-j] = factor.Row(i)[j] / factor.Row(j)[j]
		}
	}
	return h, nil
}

// cholesky replaces the lower triangle of a symmetric matrix by that of L, with L·Lᵀ the matrix; the rest is undefined.
func cholesky(ctx context.Context, a matrix.Matrix, workers int) error {
	const step = 64
	for k := 0; k < a.Rows; k += step {
		width := min(step, a.Rows-k)
		if err := choleskyBlock(a.Slice(k, width, k, width)); err != nil {
			return err
		}
		rest := k + width
		// The panel below: rows of L, by substitution.
		panel := matrix.New(a.Rows-rest, width)
		err := parallel(ctx, workers, panel.Rows, productRows, func(first, rows int) error {
			for i := first; i < first+rows; i++ {
				row := a.Row(rest + i)[k : k+width]
				for j := range row {
					above := a.Row(k + j)[k : k+j+1]
					row[j] = (row[j] - dot(row[:j], above[:j])) / above[j]
					panel.Row(i)[j] = -row[j]
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
		err = parallel(ctx, workers, panel.Rows, productRows, func(first, rows int) error {
			columns := first + rows // up to the diagonal
			c := a.Slice(rest+first, rows, rest, columns)
			matrix.AddProduct(c, panel.Slice(first, rows, 0, width), a.Slice(rest, columns, k, width).T())
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// choleskyBlock is cholesky for a small matrix.
func choleskyBlock(a matrix.Matrix) error {
	for i := range a.Rows {
		row := a.Row(i)
		for j := range i {
			above := a.Row(j)
			row[j] = (row[j] - dot(row[:j], above[:j])) / above[j]
		}
		square := float64(row[i] - dot(row[:i], row[:i]))
		if !(square > 0) { //nolint:staticcheck // a NaN must fail too
			return errNotDefinite
		}
		row[i] = float32(math.Sqrt(square))
	}
	return nil
}

func dot(a, b []float32) (sum float32) {
	b = b[:len(a)]
	for i, v := range a {
		sum += float32(v * b[i])
	}
	return sum
}
