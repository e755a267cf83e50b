package ort

import (
	"errors"
	"slices"

	"github.com/sluiceml/sluice/inference/runner"
)

// nativeStates are the hidden states of passes of the kernels' graph.
type nativeStates struct {
	*stateBuffer
	lane *lane // of passes that give some; made when first needed
}

// newNativeStates reserves memory for so many states, and for so many rows that the head takes.
func newNativeStates(h *hidden, states, rows int) (*nativeStates, error) {
	b, err := newStateBuffer(h, states, rows)
	if err != nil {
		return nil, err
	}
	return &nativeStates{stateBuffer: b}, nil
}

// The place of the output behind the logits.
const outStates = 1

// want puts the tokens of a step whose hidden states are wanted behind those of the index whose logits are, says how many
// the index has then, and where the states go: all of the index have some.
func (s *nativeStates) want(n *native, step runner.Step, tokens, logits int) (indices int, err error) {
	s.chunks, indices = s.chunks[:0], logits
	at := tokens - step.Prompted() // chunks come last
	for _, c := range step.Chunks {
		if c.Hidden {
			for i := range c.Tokens {
				n.index[indices+i] = int64(at + i)
			}
			s.chunks = append(s.chunks, s.of(indices, len(c.Tokens)))
			indices += len(c.Tokens)
		}
		at += len(c.Tokens)
	}
	rows, err := s.index(&n.session.tensors, logits)
	if err != nil || indices == logits {
		return indices, errors.Join(err, n.lane.setInput(nativeRows, rows))
	}
	if s.lane == nil {
		if s.lane, err = n.newLane(); err != nil {
			return 0, err
		}
		s.lane.outputs = append(slices.Clip(s.lane.outputs), nil)
	}
	states, err := s.output(&n.session.tensors, indices)
	if err != nil {
		return 0, err
	}
	return indices, errors.Join(s.lane.setInput(nativeRows, rows), s.lane.setOutput(outStates, states))
}
