package model

import (
	"slices"
	"strings"
)

// place says where in a checkpoint a weight lies: in a tensor of its own, or among the rows of one that holds several.
type place struct {
	name       string            // of the stored tensor
	rows       int               // of the stored tensor; 0: it is the weight alone
	first      int               // the weight's first row
	transposed bool              // a matrix is stored as [in, out]: its columns are the rows
	order      func(row int) int // where a row of the weight lies, from first on; nil: in order
}

// storedWeight is where a weight of a shape lies.
type storedWeight struct {
	place
	shape []int
}

// shape is that of the stored tensor, for a weight of the shape given.
func (p *place) shape(weight []int) []int {
	shape := slices.Clone(weight)
	if p.rows > 0 {
		shape[0] = p.rows
	}
	if p.transposed && len(shape) == 2 {
		slices.Reverse(shape)
	}
	return shape
}

// take gives a weight of a shape from the stored tensor, whose shape has been checked. Only what does not lie there in
// order is copied.
func (p *place) take(name string, stored Tensor, shape []int) Tensor {
	t := Tensor{Name: name, Shape: shape, Type: stored.Type, Data: stored.Data}
	rows := stored.Shape[0]
	switch {
	case p.transposed && len(shape) == 2:
		t.Data = p.columns(stored, shape)
	case p.order != nil:
		width := len(stored.Data) / rows
		t.Data = make([]byte, 0, shape[0]*width)
		for row := range shape[0] {
			from := p.first + p.order(row)
			t.Data = append(t.Data, stored.Data[from*width:(from+1)*width]...)
		}
	case p.rows > 0:
		width := len(stored.Data) / rows
		t.Data = stored.Data[p.first*width : (p.first+shape[0])*width]
	}
	return t
}

// columns copies columns of a stored matrix of plain numbers as rows.
func (p *place) columns(stored Tensor, shape []int) []byte {
	out, in := shape[0], shape[1]
	width := stored.Shape[1]
	size := stored.Type.BlockBytes()
	data := make([]byte, out*in*size)
	// Tiles, so that neither side is walked across more lines than the cache holds.
	const tile = 32
	for row := 0; row < out; row += tile {
		for column := 0; column < in; column += tile {
			for i := row; i < min(row+tile, out); i++ {
				for j := column; j < min(column+tile, in); j++ {
					copy(data[(i*in+j)*size:][:size], stored.Data[(j*width+p.first+i)*size:])
				}
			}
		}
	}
	return data
}

// layerPart splits a canonical name into "model.layers.N." and what follows, "" for a weight of no layer.
func layerPart(name string) (prefix, part string) {
	const layers = "model.layers."
	rest, ok := strings.CutPrefix(name, layers)
	if !ok {
		return "", ""
	}
	number, part, _ := strings.Cut(rest, ".")
	return layers + number + ".", part
}

// attentionPart says which rows of a tensor of queries, keys and values, in this order, a projection of attention is.
func attentionPart(s *Spec, projection string) (first, rows int, ok bool) {
	query, key := s.Heads*s.HeadSize, s.KVHeads*s.HeadSize
	switch projection {
	case "q_proj":
		return 0, query + 2*key, true
	case "k_proj":
		return query, query + 2*key, true
	case "v_proj":
		return query + key, query + 2*key, true
	}
	return 0, 0, false
}
