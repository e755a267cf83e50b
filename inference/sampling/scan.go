package sampling

import (
	"fmt"
	"math"
)

// blockSize is the number of logits whose maximum is kept. With 64, the maxima of 50,000 logits are 780 values, and
// looking again into the block of each of the top 50 costs 3,200.
const blockSize = 64

// LogitError says that a row of logits can't be sampled from.
type LogitError struct {
	Index int     // of the logit, or -1: all tokens are excluded
	Value float32 // NaN or plus infinity, or minus infinity with Index -1
}

func (e *LogitError) Error() string {
	if e.Index < 0 {
		return "sampling: all tokens are excluded"
	}
	return fmt.Sprintf("sampling: logit %d is %v", e.Index, e.Value)
}

// Scratch is the memory that sampling works in: rows may be sampled one after the other with the same Scratch. It is
// not safe for concurrent use.
type Scratch struct {
	maxima   []float32 // per block: its greatest logit; later, its greatest weight
	checks   []float32 // per block: the sum of its logits, which is no number if one of them is none
	sums     []float64 // per block: the sum of its weights
	ids      []uint32  // candidates, in ascending order
	weights  []float32 // of the candidates
	selected []float32 // a copy to reorder
	kept     []float32 // a copy of the row before sampling

	typical *typicalScratch // nil until it is needed
	tracer  *tracer         // of the draw that is being made; nil: nobody wants to know
}

// NewScratch makes a scratch for rows of up to vocab logits. A longer row makes it grow.
func NewScratch(vocab int) *Scratch {
	s := &Scratch{}
	s.grow(vocab)
	return s
}

func (s *Scratch) grow(vocab int) {
	blocks := (vocab + blockSize - 1) / blockSize
	s.maxima = make([]float32, blocks)
	s.checks = make([]float32, blocks)
	s.sums = make([]float64, blocks)
	s.ids = make([]uint32, 0, vocab)
	s.weights = make([]float32, 0, vocab)
	s.selected = make([]float32, 0, vocab)
}

// scan finds the greatest logit's index, the lowest of equal ones, and sets maxima. The greatest of a block is
// searched without its place: only the winner's block is looked at again.
func (s *Scratch) scan(row []float32) (uint32, error) {
	if len(row) > cap(s.ids) {
		s.grow(len(row))
	}
	blocks := (len(row) + blockSize - 1) / blockSize
	s.maxima, s.checks = s.maxima[:blocks], s.checks[:blocks]
	whole := len(row) / blockSize
	scanBlocks(row[:whole*blockSize], s.maxima[:whole], s.checks[:whole])
	if whole < blocks {
		s.maxima[whole], s.checks[whole] = scanRest(row[whole*blockSize:])
	}
	best, at := float32(math.Inf(-1)), -1
	for b, m := range s.maxima {
		if sum := s.checks[b]; sum-sum != 0 { // NaN or an infinity somewhere in the block, or an overflow of its sum
			if err := checkBlock(row, b*blockSize); err != nil {
				return 0, err
			}
		}
		if m > best {
			best, at = m, b*blockSize
		}
	}
	if at < 0 {
		return 0, &LogitError{Index: -1, Value: float32(math.Inf(-1))}
	}
	for row[at] != best {
		at++
	}
	return uint32(at), nil
}

// scanBlocksGo is scanBlocks for any processor.
func scanBlocksGo(row, maxima, sums []float32) {
	for b := range maxima {
		maxima[b], sums[b] = scanBlock((*[blockSize]float32)(row[b*blockSize:]))
	}
}

// scanBlock is the maximum and the sum of a block, by four lanes each so that no addition waits for the last one.
func scanBlock(block *[blockSize]float32) (maximum, sum float32) {
	m0, m1, m2, m3 := block[0], block[1], block[2], block[3]
	s0, s1, s2, s3 := m0, m1, m2, m3
	for i := 4; i < blockSize; i += 4 {
		x0, x1, x2, x3 := block[i], block[i+1], block[i+2], block[i+3]
		if x0 > m0 {
			m0 = x0
		}
		if x1 > m1 {
			m1 = x1
		}
		if x2 > m2 {
			m2 = x2
		}
		if x3 > m3 {
			m3 = x3
		}
		s0 += x0
		s1 += x1
		s2 += x2
		s3 += x3
	}
	return max(m0, m1, m2, m3), (s0 + s1) + (s2 + s3)
}

func scanRest(block []float32) (maximum, sum float32) {
	maximum = float32(math.Inf(-1))
	for _, x := range block {
		maximum = max(maximum, x)
		sum += x
	}
	return maximum, sum
}

// checkBlock reports the first logit of the block at lo that is neither finite nor minus infinity.
func checkBlock(row []float32, lo int) error {
	for i := lo; i < min(lo+blockSize, len(row)); i++ {
		if x := row[i]; x != x || x > math.MaxFloat32 {
			return &LogitError{Index: i, Value: x}
		}
	}
	return nil
}
