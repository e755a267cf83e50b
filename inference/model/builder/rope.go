package builder

import (
	"encoding/binary"
	"math"
)

// The names of the tables of rotary angles, and those of layers that have a window, if they have their own.
const (
	cosines, sines           = "rope.cos", "rope.sin"
	localCosines, localSines = "rope.local.cos", "rope.local.sin"
)

// angles adds the tables of rotary angles that the layers read.
func (d *decoder) angles() {
	s := &d.spec
	factor := 1.0
	if r := s.RopeScaling; r != nil && r.AttentionFactor != 0 {
		factor = r.AttentionFactor
	}
	added := map[string]bool{}
	for d.layer = range s.Layers {
		cos, sin := d.tables()
		switch {
		case cos == "" || added[cos]:
			continue
		case cos == localCosines:
			d.ropeTables(cos, sin, s.LocalInverseFrequencies(), 1)
		default:
			d.ropeTables(cos, sin, s.InverseFrequencies(), factor)
		}
		added[cos] = true
	}
	d.layer = 0
}

// tables are those that the layer turns by; "": it doesn't.
func (d *decoder) tables() (cos, sin string) {
	switch s := &d.spec; {
	case d.learned || !s.Turned(d.layer):
		return "", ""
	case s.LocalRopeTheta != 0 && s.LayerWindow(d.layer) > 0:
		return localCosines, localSines
	default:
		return cosines, sines
	}
}

// rotaryDim is how many of a head's values are turned.
func (p *plan) rotaryDim() int {
	if p.spec.RotaryDim == 0 {
		return p.spec.HeadSize
	}
	return p.spec.RotaryDim
}

// turnsOutside says whether queries and keys that are turned at all must be turned before GroupQueryAttention, which turns
// only heads whose size is a multiple of 16, and a part of them that is one too.
func (p *plan) turnsOutside() bool {
	return p.spec.HeadSize%rotaryAlign != 0 || p.rotaryDim()%rotaryAlign != 0
}

// ropeTables adds two tables [context, turned values / 2] that queries and keys are turned by. The frequencies and angles
// are rounded to float32, as in transformers, whose models were trained with just these angles: at position 8000 the
// rounding moves the fastest ones by up to 5e-4. factor multiplies all of them.
func (p *plan) ropeTables(cos, sin string, inverse []float64, factor float64) {
	p.ropeTable(cos, inverse, math.Cos, factor)
	p.ropeTable(sin, inverse, math.Sin, factor)
}

func (p *plan) ropeTable(name string, inverse []float64, turn func(float64) float64, factor float64) {
	p.rows(tensorPlan{
		name: name, dims: []int{p.spec.ContextLength, len(inverse)},
		fill: func(first, rows int, dst []byte) error {
			for row := range rows {
				for i, f := range inverse {
					angle := float32(first+row) * float32(f)
					value := float32(float32(turn(float64(angle))) * float32(factor))
					binary.LittleEndian.PutUint32(dst[4*(row*len(inverse)+i):], math.Float32bits(value))
				}
			}
			return nil
		},
	})
}
