package builder

import (
	"encoding/binary"
	"math"

	"github.com/sluiceml/sluice/inference/model"
)

// ropeTable adds one of the two tables [context, head size / 2] that GroupQueryAttention turns queries and keys by. The frequencies
// and angles are rounded to float32, as in transformers, whose models were trained with just these angles: at position
// 8000 the rounding moves the fastest ones by up to 5e-4.
func (p *plan) ropeTable(name string, s *model.Spec, turn func(float64) float64) string {
	inverse := s.InverseFrequencies()
	p.rows(tensorPlan{
		name: name, dims: []int{s.ContextLength, len(inverse)},
		fill: func(first, rows int, dst []byte) error {
			for row := range rows {
				for i, f := range inverse {
					angle := float32(first+row) * float32(f)
					binary.LittleEndian.PutUint32(dst[4*(row*len(inverse)+i):], math.Float32bits(float32(turn(float64(angle)))))
				}
			}
			return nil
		},
	})
	return name
}
