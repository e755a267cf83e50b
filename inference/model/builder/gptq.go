package builder

import (
	"context"
	"fmt"
	"io"
	"slices"

	"github.com/sluiceml/sluice/inference/model/builder/internal/matrix"
)

// GPTQ (Frantar et al. 2022, arXiv:2210.17323) rounds a product's weights column by column and takes each column's error
// back in those that are not rounded yet, as far as the inputs of the two go together in the calibration texts. So it
// minimises the error of the product's results and not that of the weights.
//
// With H the second moments of the inputs, H = (1+U)·D·(1+U)ᵀ and U strictly upper triangular, the column k becomes
//
//	Q(w_k + Σ_{a<k} (w_a - ŵ_a)·U_ak)
//
// which is GPTQ in the form of LDLQ (Chee et al. 2023, arXiv:2307.13304): one factorisation, no inverse. Columns go in the
// order of falling H_kk. The scale of each block is searched first, for the least error weighted by H_kk. Every product is
// rounded for the inputs that it gets from the products before it, which are rounded already.

// gptqTokens is how many tokens of the calibration texts GPTQ looks at, and pieceLength into how long pieces texts are cut.
const (
	gptqTokens  = 8192
	pieceLength = 512
)

// gptq writes the products in 4-bit blocks.
func (p *plan) gptq(ctx context.Context, file io.WriterAt, opts *Options, done *meter) error {
	f, err := newForward(p.source, pieces(opts.Calibration, min(pieceLength, p.spec.ContextLength), gptqTokens), opts)
	if err != nil {
		return err
	}
	g := &quantiser{plan: p, file: file, done: done, workers: opts.workers()}
	f.observer.product = g.product
	hidden, head, err := f.runToHead(ctx)
	if err != nil {
		return err
	}
	if head, err = g.product(ctx, headName, hidden, head); err != nil {
		return err
	}
	if p.quantised[headName] != nil {
		return head.all(ctx, opts.workers())
	}
	return nil
}

// pieces cuts texts into pieces of a length, and takes so many of them, spread over all, that they have at most
// some number of tokens.
func pieces(texts [][]uint32, length, tokens int) [][]uint32 {
	var all [][]uint32
	for _, text := range texts {
		all = slices.AppendSeq(all, slices.Chunk(text, length))
	}
	most := max(1, tokens/length)
	if len(all) <= most {
		return all
	}
	taken := make([][]uint32, most)
	for i := range taken {
		taken[i] = all[i*len(all)/most]
	}
	return taken
}

// quantiser rounds products as a run of the model comes to them.
type quantiser struct {
	plan    *plan
	file    io.WriterAt
	done    *meter
	workers int
}

// product rounds a product's weights when the run reads them, writes them, and gives the run what they have become.
func (q *quantiser) product(ctx context.Context, name string, x matrix.Matrix, w weightRows) (weightRows, error) {
	target := q.plan.quantised[name]
	if target == nil {
		return w, nil
	}
	i := slices.IndexFunc(q.plan.jobs, func(j job) bool { return j.name == name })
	j := &q.plan.jobs[i]
	if target.out != w.out || target.in != w.in {
		return w, fmt.Errorf("%s is [%d, %d] in one plan and [%d, %d] in another", name, target.out, target.in, w.out, w.in)
	}
	h, err := newHessian(ctx, x, q.workers)
	if err != nil {
		return w, err
	}
	j.written = true
	read := w.read
	w.read = func(first, rows int) ([]float32, error) {
		values, err := read(first, rows)
		if err != nil {
			return nil, err
		}
		dst := make([][]byte, len(j.outputs))
		for i, o := range j.outputs {
			dst[i] = make([]byte, rows*o.rowBytes)
		}
		if err := target.calibrated(h, first, rows, values, dst); err != nil {
			return nil, err
		}
		for i, o := range j.outputs {
			if err := o.write(q.file, first, rows, dst[i]); err != nil {
				return nil, fmt.Errorf("write weights: %w", err)
			}
		}
		q.done.add(int64(rows) * int64(j.rowBytes()))
		return values, nil
	}
	return w, nil
}

// calibrated rounds rows, whose values it replaces by what they are rounded to, and writes them to dst.
func (w *product) calibrated(h *hessian, first, rows int, values []float32, dst [][]byte) error {
	coded := make([]codedRow, rows)
	scratch := make([]float32, w.in)
	var rounded []int // the rows that are not carried over
	err := w.each(first, rows, func(t *part, from, at, n int) error {
		for i := range n {
			coded[at+i] = w.newRow()
			if t.exact {
				if err := t.code(from+i, scratch, coded[at+i]); err != nil {
					return err
				}
				continue
			}
			rounded = append(rounded, at+i)
			row := values[(at+i)*w.in : (at+i+1)*w.in]
			for b := range coded[at+i].d {
				block := row[b*w.block : (b+1)*w.block]
				coded[at+i].d[b], coded[at+i].o[b] = searchScale(block, h.importance[b*w.block:(b+1)*w.block], t.offset)
			}
			if !finite(row) {
				return notFinite(t.weight, from+i)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	h.round(w, values, coded, rounded)
	for i, row := range coded {
		w.put(dst, i, row)
	}
	return nil
}

// round chooses the codes of rows of values, and puts in the values' place what the codes stand for.
func (h *hessian) round(w *product, values []float32, coded []codedRow, rows []int) {
	const step = 64 // columns; the errors of those before are taken back at once
	n := w.in
	errs, wanted := matrix.New(len(rows), n), matrix.New(len(rows), n)
	for i, r := range rows {
		for k, column := range h.order {
			wanted.Row(i)[k] = values[r*n+column]
		}
	}
	for from := 0; from < n; from += step {
		width := min(step, n-from)
		if from > 0 {
			matrix.AddProduct(wanted.Slice(0, len(rows), from, width), errs.Slice(0, len(rows), 0, from), h.feedback.Slice(0, from, from, width))
		}
		for i, r := range rows {
			target, e := wanted.Row(i)[from:from+width], errs.Row(i)[from:from+width]
			for k := range width {
				column := h.order[from+k]
				block := column / w.block
				d, o := coded[r].d[block], coded[r].o[block]
				code := coded[r].c[column : column+1]
				roundBlock(target[k:k+1], code, d, o, -8, 7)
				result := float32(d*float32(code[0])) + o
				e[k] = values[r*n+column] - result
				values[r*n+column] = result
				for a, u := range h.feedback.Row(from + k)[from+k+1 : from+width] {
					target[k+1+a] += float32(e[k] * u)
				}
			}
		}
	}
}
