package kernels

import (
	"errors"
	"fmt"
	"slices"
)

// What is checked of programs, which are made of graphs that may come from anywhere: C reads and writes where they say.

// rowsKind says which rows a buffer has.
type rowsKind int

const (
	noRows     rowsKind = iota // none yet
	allRows                    // of all tokens
	wantedRows                 // of those that are wanted
)

func rowsOf(wanted bool) rowsKind {
	if wanted {
		return wantedRows
	}
	return allRows
}

// buffer is what is known of a program's buffer.
type buffer struct {
	width  int
	rows   rowsKind
	filled int // columns that have been written
	chosen int // of these, the first ones, of which only the rows of wanted tokens were
}

// attention is one of a program: its layer and the widths of its buffers, which a state checks.
type attention struct{ layer, in, out int }

// buffersOf are a program's buffers, by number, before its first action.
func buffersOf(in, out int, widths []int) []buffer {
	all := []buffer{InputBuffer: {width: in, rows: allRows, filled: in}, OutputBuffer: {width: out}}
	for _, width := range widths {
		all = append(all, buffer{width: width})
	}
	return all
}

// width is that of a buffer, 0 if there is none of this number.
func (p *Program) width(number int) int {
	if number < 0 || number >= len(p.buffers) {
		return 0
	}
	return p.buffers[number].width
}

// read checks that an action may read a buffer's rows.
func (p *Program) read(number, width int, wanted bool) error {
	return p.readBut(number, width, 0, wanted)
}

// readBut is read for an action that reads some columns, the first ones, of the rows of wanted tokens only.
func (p *Program) readBut(number, width, chosen int, wanted bool) error {
	switch {
	case width < 1 || width > MaxSide || p.width(number) != width:
		return fmt.Errorf("kernels: an action reads rows of %d values of buffer %d, which has %d", width, number, p.width(number))
	case p.buffers[number].rows != rowsOf(wanted) || p.buffers[number].filled != width:
		return fmt.Errorf("kernels: an action reads other rows of buffer %d than were written", number)
	case p.buffers[number].chosen > chosen:
		return fmt.Errorf("kernels: an action reads %d columns of buffer %d, of which only rows of wanted tokens were written", p.buffers[number].chosen, number)
	}
	return nil
}

// leaveOut notes that rows of some columns that were written just now, the first ones, are those of wanted tokens only.
func (p *Program) leaveOut(number, columns int) { p.buffers[number].chosen = columns }

// write checks that an action may write a buffer's rows, and notes that it does.
func (p *Program) write(number, width int, wanted bool) error {
	if p.width(number) != width {
		return fmt.Errorf("kernels: an action writes rows of %d values of buffer %d, which has %d", width, number, p.width(number))
	}
	return p.writePart(number, 0, width, wanted)
}

// writePart is write for some columns of a buffer's rows: the first ones, or those after the last that were written.
func (p *Program) writePart(number, column, width int, wanted bool) error {
	switch {
	case width < 1 || width > MaxSide || column < 0 || column > p.width(number)-width:
		return fmt.Errorf("kernels: an action writes rows of %d values from column %d on of buffer %d, which has %d", width, column, number, p.width(number))
	case column > 0 && p.buffers[number].filled != column:
		return fmt.Errorf("kernels: an action writes from column %d on of buffer %d, of which %d were written", column, number, p.buffers[number].filled)
	case number == InputBuffer || number == OutputBuffer && !wanted ||
		p.buffers[number].rows != noRows && p.buffers[number].rows != rowsOf(wanted):
		return fmt.Errorf("kernels: an action writes other rows than buffer %d has", number)
	}
	if column == 0 {
		p.buffers[number].chosen = 0
	}
	p.buffers[number].rows, p.buffers[number].filled = rowsOf(wanted), column+width
	return nil
}

// vectors checks an action that works on rows of whole vectors.
func (p *Program) vectors(width int, wanted bool, reads, writes []int) error {
	if width%RowUnit != 0 {
		return fmt.Errorf("kernels: rows of %d values, no multiple of %d", width, RowUnit)
	}
	for _, number := range reads {
		if err := p.read(number, width, wanted); err != nil {
			return err
		}
	}
	for _, number := range writes {
		if err := p.write(number, width, wanted); err != nil {
			return err
		}
	}
	return nil
}

// normSizes are the lengths that the weights of a layer's norms of queries and keys must have.
func (l *Layer) normSizes(c *StateConfig) (queries, keys int) {
	if l.QueryNorm != nil {
		queries = c.HeadSize
	}
	if l.KeyNorm != nil {
		keys = c.HeadSize
	}
	if l.NormWhole {
		queries, keys = queries*c.Heads, keys*c.KVHeads
	}
	return queries, keys
}

// check says whether a processor that runs the best variant runs this one, of which 0 is the best.
func (v Variant) check(best Variant) error {
	if best == None {
		return errors.New("kernels: the processor can run none")
	}
	if v < None || v > best {
		return fmt.Errorf("kernels: variant %d on a processor that has %d", v, best)
	}
	return nil
}

// check says whether operators can work with a state of this configuration.
func (c *StateConfig) check() error {
	if c.MaxLength < 1 || c.MaxLength > MaxSide || c.MaxTokens < 1 || c.MaxTokens > MaxSide || c.MaxIn < 1 || c.MaxIn > MaxSide || c.MaxIn%ShortBlock != 0 || c.Threads < 1 {
		return fmt.Errorf("kernels: slots of %d positions, steps of %d tokens, products of %d inputs, on %d threads",
			c.MaxLength, c.MaxTokens, c.MaxIn, c.Threads)
	}
	if err := c.Variant.check(Best()); err != nil {
		return err
	}
	if c.Heads < 1 || c.Heads > MaxSide || c.KVHeads < 1 || c.Heads%c.KVHeads != 0 || c.HeadSize < 1 || c.HeadSize > MaxHeadSize || c.HeadSize%HeadUnit != 0 {
		return fmt.Errorf("kernels: %d heads, %d of keys, of %d values", c.Heads, c.KVHeads, c.HeadSize)
	}
	width := (c.Heads + 2*c.KVHeads) * c.HeadSize
	if width > MaxSide {
		return fmt.Errorf("kernels: attention of %d values", width)
	}
	for i, l := range c.Layers {
		// MaxLength has been rounded up to whole units: the last of them may have positions that no token has.
		if positions := c.MaxLength - PositionUnit + 1; l.Pairs < 0 || 2*l.Pairs > c.HeadSize || min(len(l.Cosines), len(l.Sines)) < positions*l.Pairs {
			return fmt.Errorf("kernels: layer %d turns %d pairs of %d values by %d cosines", i, l.Pairs, c.HeadSize, len(l.Cosines))
		}
		if queries, keys := l.normSizes(c); len(l.QueryNorm) != queries || len(l.KeyNorm) != keys {
			return fmt.Errorf("kernels: layer %d has norms of %d and %d values, for %d heads, %d of keys, of %d values",
				i, len(l.QueryNorm), len(l.KeyNorm), c.Heads, c.KVHeads, c.HeadSize)
		}
	}
	if c.Program == nil {
		return nil
	}
	if c.Program.maxIn > c.MaxIn || slices.ContainsFunc(c.Program.attentions, func(a attention) bool {
		return a.layer < 0 || a.layer >= len(c.Layers) || a.in != width || a.out != c.Heads*c.HeadSize
	}) {
		return fmt.Errorf("kernels: a program of products of %d inputs and attention %v, for %d layers of rows of %d values",
			c.Program.maxIn, c.Program.attentions, len(c.Layers), width)
	}
	return nil
}
