package kernels

/*
#include "kernels.h"
*/
import "C"

import "unsafe"

// Want says of a row of the next step's logits that only the best of them is read: it is what the weights make it, no other is
// above it, and what the others are is not computed to the end. The row is that of a token that is wanted, in their order. What
// is said holds until it is said again; at first, all are read. It panics if a step has no such row.
func (s *State) Want(row int, greedy bool) {
	unsafe.Slice(s.c.greedy, s.c.max_tokens)[row] = C.uint8_t(flag(greedy))
}

// What a head needs to be packed in two planes.
const (
	splitOutputs = 8192 // at least: a smaller one is little of a step
	splitSamples = 256  // rows that are looked at
	// splitRest is the most that the low halves of codes may be of the weights, by their squares. It is 0.013 where codes take
	// all of their range. Where they do not, as those of 5-bit blocks, high halves alone say nothing.
	splitRest = 0.03
	// splitBias is the most that the low halves of a row may be off their mean together, by the square of their sum, of what
	// chance makes of it. Where they have few values, as those of codes that are multiples of 4, which are 6 in the mean, that is
	// many times as much: each logit is off by some of what the inputs add up to.
	splitBias   = 2
	lowVariance = 255.0 / 12 // of low halves that are spread evenly
)

// splits says whether a matrix of the weights is packed in two planes.
func (w Weights) splits() bool {
	if !w.Head || w.Bits != 8 || w.ByOutput || w.Offsets != nil || w.Gate != NoGate || w.length() != BlockLength || w.Out < splitOutputs {
		return false
	}
	groups := (w.In + w.Block - 1) / w.Block
	var all, rest, bias, chance float64
	for i := range splitSamples {
		row := i * (w.Out - 1) / (splitSamples - 1)
		sum := 0.0
		for j, code := range w.Codes[row*groups*w.Block:][:w.In] {
			scale, off := float64(w.Scales[row*groups+j/w.Block]), float64(code&15)-7.5
			if scale == 0 {
				continue // nothing, whatever the code: rows that fill a vocabulary up are all like that
			}
			whole, low := scale*(float64(code)-128), scale*off
			all, rest, sum = all+whole*whole, rest+low*low, sum+off
			chance += lowVariance
		}
		bias += sum * sum
	}
	return rest <= splitRest*all && bias <= splitBias*chance
}
