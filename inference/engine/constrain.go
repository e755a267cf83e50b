package engine

import (
	"errors"
	"fmt"
	"math"

	"github.com/sluiceml/sluice/inference/grammar"
	"github.com/sluiceml/sluice/inference/sampling"
)

// constraint holds an output to a grammar. A nil one holds it to nothing.
type constraint struct {
	matcher *grammar.Matcher
	mask    []uint64
}

// newConstraint makes the constraint of an output that begins.
func newConstraint(g *grammar.Grammar) (*constraint, error) {
	if g == nil {
		return nil, nil //nolint:nilnil // no constraint is none
	}
	m, err := g.NewMatcher()
	if err != nil {
		return nil, err
	}
	return &constraint{matcher: m, mask: make([]uint64, g.MaskWords())}, nil
}

// apply excludes from a row of logits what may not come next.
func (c *constraint) apply(row []float32) error {
	if err := c.matcher.Mask(c.mask); err != nil {
		return err
	}
	none := float32(math.Inf(-1))
	for w := 0; w<<6 < len(row); w++ {
		part := row[w<<6 : min((w+1)<<6, len(row))]
		var allowed uint64
		if w < len(c.mask) {
			allowed = c.mask[w]
		}
		switch allowed {
		case math.MaxUint64:
		case 0:
			for i := range part {
				part[i] = none
			}
		default:
			for i := range part {
				if allowed>>i&1 == 0 {
					part[i] = none
				}
			}
		}
	}
	return nil
}

// sample draws a token that may come next, and goes on behind it. Where the parameters exclude all that may come, that is
// the request's own fault, as if they excluded everything.
func (c *constraint) sample(s *sampling.Sampler, row []float32, scratch *sampling.Scratch, position int) (uint32, error) {
	if err := c.apply(row); err != nil {
		return 0, err
	}
	id, err := s.Sample(row, scratch, position)
	if err != nil {
		if e, ok := errors.AsType[*sampling.LogitError](err); ok && e.Index < 0 {
			err = sampling.ErrExcluded
		}
		return 0, err
	}
	ok, err := c.matcher.Accept(id)
	if err == nil && !ok {
		err = fmt.Errorf("token %d was drawn and may not come", id)
	}
	return id, err
}

// complete says whether nothing may follow the text so far: the output ends, whatever else asks for more of it.
func (c *constraint) complete() bool { return c != nil && c.matcher.MustEnd() }

// cut drops from a draft what may not come.
func (c *constraint) cut(draft []uint32) []uint32 {
	if c == nil {
		return draft
	}
	m := c.matcher.Clone()
	for i, id := range draft {
		if ok, err := m.Accept(id); err != nil || !ok {
			return draft[:i]
		}
	}
	return draft
}
