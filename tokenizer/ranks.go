package tokenizer

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/sluiceml/sluice/tokenizer/bpe"
)

// A vocabulary may say nothing about merges: then any two neighbours merge whose joined text is a token, best token
// first and of equals the leftmost. That is what tiktoken does with its ranks and SentencePiece with its scores. As a
// list of merges it has one for each way to cut a token into two tokens, all of one rank.

// piece is a token that two others may make.
type rankedPiece struct {
	text string // in bytes or characters, as the model is over one or the other
	id   uint32
}

// maxImplied bounds the length in bytes of a piece whose merges are found: every way to cut it is looked at, which is
// quadratic. The longest of the field have 256 bytes.
const maxImplied = 1 << 10

// impliedMerges returns the merges of pieces, best first, and their ranks. Cut reports whether a text may be cut at a
// place.
func impliedMerges(pieces []rankedPiece, cut func(text string, at int) bool) (merges []bpe.Merge, ranks []uint32, err error) {
	const maxMerges = 1 << 23 // a token of n bytes can have n-1
	ids := make(map[string]uint32, len(pieces))
	for _, p := range pieces {
		if len(p.text) > maxImplied {
			return nil, nil, &UnsupportedError{Part: "vocabulary", Name: fmt.Sprintf("with a token of %d bytes", len(p.text))}
		}
		ids[p.text] = p.id
	}
	for rank, p := range pieces {
		for at := 1; at < len(p.text); at++ {
			if !cut(p.text, at) {
				continue
			}
			left, ok := ids[p.text[:at]]
			if !ok {
				continue
			}
			if right, ok := ids[p.text[at:]]; ok {
				if len(merges) == maxMerges {
					return nil, nil, &UnsupportedError{Part: "vocabulary", Name: fmt.Sprintf("with more than %d ways to cut its tokens in two", maxMerges)}
				}
				merges = append(merges, bpe.Merge{Left: left, Right: right, Into: p.id})
				ranks = append(ranks, uint32(rank))
			}
		}
	}
	return merges, compact(ranks), nil
}

// compact renumbers ranks in order, so that all lie below their number.
func compact(ranks []uint32) []uint32 {
	next, last := uint32(0), uint32(0)
	for i, r := range ranks {
		if i > 0 && r != last {
			next++
		}
		last, ranks[i] = r, next
	}
	return ranks
}

// byScore puts pieces with the best score first, and of equals the one with the lowest id.
func byScore(pieces []rankedPiece, scores []float32) {
	slices.SortFunc(pieces, func(a, b rankedPiece) int {
		return cmp.Or(cmp.Compare(scores[b.id], scores[a.id]), cmp.Compare(a.id, b.id))
	})
}
