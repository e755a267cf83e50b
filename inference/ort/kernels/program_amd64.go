package kernels

/*
#include <stdlib.h>
#include "kernels.h"
*/
import "C"

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"unsafe"
)

// The buffers that the operator's caller has: its input and its output. A program's own follow.
const (
	InputBuffer  = C.buffer_input
	OutputBuffer = C.buffer_output
	OwnBuffer    = C.buffer_own
	NoBuffer     = -1
)

// Action is a step of a program: one of [Norm], [Add], [Select], [Multiply] and [Attend]. It reads and writes buffers by
// number, whose rows are those of all tokens or, of an action that is Wanted, of the tokens that are wanted.
//
// Rows are worked on in any order, and some may be several actions ahead of others: a buffer may be written again only with
// rows of the same width, and those of all tokens and those that are wanted must not share one.
type Action interface{ add(p *Program) error }

// Norm makes Y the RMS norm of X: x/sqrt(mean(x²) + Epsilon)·Weight. With a Branch it is the norm of X + Branch, which goes
// to Sum unless that is NoBuffer. Weight lies outside Go's heap, and outlives the program.
type Norm struct {
	Wanted            bool
	X, Branch, Sum, Y int
	Weight            []float32
	Epsilon           float32
}

// Add makes Y the sum of X and Branch.
type Add struct {
	Wanted       bool
	X, Branch, Y int
	Width        int
}

// Select makes Y the wanted rows of X, which has those of all tokens.
type Select struct{ X, Y, Width int }

// Multiply makes Y, or some columns of it from Column on, the product of X with a matrix, which outlives the program. Products
// that lie side by side are written from left to right, and nothing reads Y before the last of them.
//
// Chosen columns, the first ones of Y, whole vectors, are made of rows whose tokens are wanted only: queries of an Attend
// that is Chosen, which alone may read Y then.
type Multiply struct {
	Wanted       bool
	X, Y, Column int
	Matrix       *Matrix
	Chosen       int
}

// Attend makes Y a layer's attention, of queries, keys and values in X. If it is Chosen, it makes rows whose tokens are
// wanted only, and a Select alone may read Y. Keys and values of all tokens are stored all the same.
type Attend struct {
	X, Y, Layer int
	Chosen      bool
}

// Program is what the operator Decoder does. It is read only and may be shared.
type Program struct {
	c          *C.program
	actions    []C.action
	widths     []int // of its own buffers
	buffers    []buffer
	attentions []attention
	maxIn      int // of its matrices
}

// NewProgram makes a program, which the caller closes: from [tokens, in] to [tokens that are wanted, out], with buffers of
// its own of some widths. An action that would read or write beside a buffer's rows, or read what no action before it has
// written, is an error; so is a program that leaves its output out, and one that there is no memory for.
func NewProgram(in, out int, widths []int, actions []Action) (*Program, error) {
	p := &Program{widths: slices.Clone(widths), buffers: buffersOf(in, out, widths)}
	for _, a := range actions {
		if err := a.add(p); err != nil {
			return nil, err
		}
	}
	if p.buffers[OutputBuffer].filled != out {
		return nil, errors.New("kernels: a program without a result")
	}
	p.c = (*C.program)(allocate(1, C.sizeof_program))
	if p.c == nil {
		return nil, errMemory
	}
	if p.c.actions = (*C.action)(allocate(len(p.actions), C.sizeof_action)); p.c.actions == nil {
		p.Close()
		return nil, errMemory
	}
	copy(unsafe.Slice(p.c.actions, len(p.actions)), p.actions)
	p.c.in, p.c.out, p.c.actions_count = C.int(in), C.int(out), C.int(len(p.actions))
	return p, nil
}

// Address is the attribute "program" of nodes.
func (p *Program) Address() int64 { return int64(uintptr(unsafe.Pointer(p.c))) }

// Close frees the program. No session may use it any more.
func (p *Program) Close() {
	C.free(unsafe.Pointer(p.c.actions))
	C.free(unsafe.Pointer(p.c))
}

func (n Norm) add(p *Program) error {
	reads, writes := []int{n.X}, []int{n.Y}
	if n.Branch != NoBuffer {
		reads = append(reads, n.Branch)
	}
	if n.Sum != NoBuffer {
		if n.Sum == n.Y {
			return fmt.Errorf("kernels: a norm and the sum that it is of go to buffer %d both", n.Y)
		}
		writes = append(writes, n.Sum)
	}
	if err := p.vectors(len(n.Weight), n.Wanted, reads, writes); err != nil {
		return err
	}
	p.actions = append(p.actions, C.action{
		kind: C.do_norm, wanted: flag(n.Wanted), x: C.int(n.X), branch: C.int(n.Branch), sum: C.int(n.Sum), y: C.int(n.Y),
		width: C.int(len(n.Weight)), weight: (*C.float)(&n.Weight[0]), epsilon: C.float(n.Epsilon),
	})
	return nil
}

func (a Add) add(p *Program) error {
	if err := p.vectors(a.Width, a.Wanted, []int{a.X, a.Branch}, []int{a.Y}); err != nil {
		return err
	}
	p.actions = append(p.actions, C.action{
		kind: C.do_add, wanted: flag(a.Wanted), x: C.int(a.X), branch: C.int(a.Branch), sum: NoBuffer, y: C.int(a.Y), width: C.int(a.Width),
	})
	return nil
}

func (s Select) add(p *Program) error {
	if err := cmp.Or(p.vectors(s.Width, false, nil, nil), p.readBut(s.X, s.Width, s.Width, false), p.write(s.Y, s.Width, true)); err != nil {
		return err
	}
	p.actions = append(p.actions, C.action{
		kind: C.do_select, wanted: 1, x: C.int(s.X), branch: NoBuffer, sum: NoBuffer, y: C.int(s.Y), width: C.int(s.Width),
	})
	return nil
}

func (m Multiply) add(p *Program) error {
	in := int(m.Matrix.c.in)
	if err := cmp.Or(p.read(m.X, in, m.Wanted), p.writePart(m.Y, m.Column, m.Matrix.Out(), m.Wanted)); err != nil {
		return err
	}
	if m.Chosen != 0 {
		if m.Chosen < 0 || m.Chosen > m.Matrix.Out() || m.Chosen%C.tile_columns != 0 || m.Column != 0 || m.Wanted {
			return fmt.Errorf("kernels: a product leaves rows of %d of %d columns out", m.Chosen, m.Matrix.Out())
		}
		p.leaveOut(m.Y, m.Chosen)
	}
	if m.Matrix.c.split != 0 && !m.Wanted {
		return errors.New("kernels: a head of tokens that are not wanted")
	}
	p.maxIn = max(p.maxIn, in)
	actions := make([]C.action, mostOwnActions)
	actions = actions[:C.sluice_product_actions(m.Matrix.c, unsafe.SliceData(actions))]
	for i := range actions {
		a := &actions[i]
		a.wanted = flag(m.Wanted)
		if a.kind == C.do_round {
			a.x = C.int(m.X)
		} else {
			a.y, a.column, a.pitch = C.int(m.Y), C.int(m.Column), C.int(p.width(m.Y))
			a.chosen = C.int(m.Chosen / C.tile_columns)
		}
	}
	p.actions = append(p.actions, actions...)
	return nil
}

func (a Attend) add(p *Program) error {
	// How wide the rows are, only a state knows: it looks at them.
	of := attention{layer: a.Layer, in: p.width(a.X), out: p.width(a.Y)}
	queries := 0 // of wanted tokens only
	if a.Chosen {
		queries = of.out
	}
	if err := cmp.Or(p.readBut(a.X, of.in, queries, false), p.write(a.Y, of.out, false)); err != nil {
		return err
	}
	p.leaveOut(a.Y, queries)
	p.attentions = append(p.attentions, of)
	actions := make([]C.action, mostOwnActions)
	actions = actions[:C.sluice_attention_actions(C.int(a.Layer), unsafe.SliceData(actions))]
	for i := range actions {
		actions[i].x = C.int(a.X)
		if actions[i].y != NoBuffer {
			actions[i].y, actions[i].chosen = C.int(a.Y), flag(a.Chosen)
		}
	}
	p.actions = append(p.actions, actions...)
	return nil
}
