package builder

import (
	"encoding/binary"
	"hash/fnv"
	"math"
	"strings"
	"testing"

	"github.com/sluiceml/sluice/inference/model"
)

// memory is a checkpoint in memory.
type memory struct {
	spec    model.Spec
	tensors map[string]model.Tensor
}

func (m *memory) Spec() model.Spec { return m.spec }

func (m *memory) Tensor(name string) (model.Tensor, bool) {
	t, ok := m.tensors[name]
	return t, ok
}

func (m *memory) Close() error { return nil }

// tinySpec is a model of two layers that every form can store.
func tinySpec() model.Spec {
	return model.Spec{
		Architecture: "llama", VocabSize: 40, HiddenSize: 64, IntermediateSize: 96, Layers: 2, Heads: 4, KVHeads: 2,
		HeadSize: 16, ContextLength: 48, RopeTheta: 10000, NormEpsilon: 1e-5, TiedEmbeddings: true,
	}
}

// newMemory fills a model with weights that are the same for the same names. typeOf chooses their types; nil, or a
// result of 0, is F32. Vectors are always F32.
func newMemory(spec model.Spec, typeOf func(name string) model.Type) *memory {
	m := &memory{spec: spec, tensors: map[string]model.Tensor{}}
	for _, w := range spec.Weights() {
		typ := model.F32
		if typeOf != nil && len(w.Shape) == 2 {
			if t := typeOf(w.Name); t != 0 {
				typ = t
			}
		}
		m.set(w.Name, typ, w.Shape...)
	}
	return m
}

// set adds a tensor. Matrices have values of about ±1/16; norms are about 1.
func (m *memory) set(name string, typ model.Type, shape ...int) {
	values := 1
	for _, n := range shape {
		values *= n
	}
	random := newRandom(name)
	var data []byte
	if typ == model.F32 {
		data = make([]byte, 4*values)
		for i := range values {
			v := random.weight()
			if len(shape) == 1 && strings.HasSuffix(name, "weight") { // a norm's
				v = 1 + float32(int(v*512)/4)/128
			}
			binary.LittleEndian.PutUint32(data[4*i:], math.Float32bits(v))
		}
	} else {
		data = random.blocks(typ, values/typ.BlockSize())
	}
	m.tensors[name] = model.Tensor{Name: name, Shape: shape, Type: typ, Data: data}
}

// values are a tensor's values, row by row.
func values(tb testing.TB, t model.Tensor) []float32 {
	tb.Helper()
	v := make([]float32, len(t.Data)/t.Type.BlockBytes()*t.Type.BlockSize())
	if err := model.Dequantize(v, t.Type, t.Data); err != nil {
		tb.Fatal(err)
	}
	return v
}

// random is splitmix64, which a line of numpy can repeat: scripts/parity/make_tiny.py does.
type random uint64

func newRandom(name string) *random {
	h := fnv.New64a()
	h.Write([]byte(name))
	r := random(h.Sum64())
	return &r
}

func (r *random) next() uint64 {
	*r += 0x9e3779b97f4a7c15
	z := uint64(*r)
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// weight is a multiple of 2^-9 up to ±127·2^-9, which every float type holds exactly.
func (r *random) weight() float32 { return float32(int(r.next()>>32%255)-127) / 512 }

// blocks are random quantised blocks with scales and minima of a size that keeps values about ±1/4 at most.
func (r *random) blocks(typ model.Type, n int) []byte {
	size := typ.BlockBytes()
	data := make([]byte, n*size)
	for i := range data {
		data[i] = byte(r.next() >> 32)
	}
	// halfOf gives a positive half of about the size 2^exponent.
	halfOf := func(exponent int) uint16 { return uint16(exponent+15)<<10 | uint16(r.next()>>32&0x3ff) }
	for i := range n {
		b := data[i*size : (i+1)*size]
		put := func(at, exponent int, negative bool) {
			h := halfOf(exponent)
			if negative {
				h |= 0x8000
			}
			binary.LittleEndian.PutUint16(b[at:], h)
		}
		switch typ {
		case model.Q8_0:
			put(0, -10, false)
		case model.Q4_0:
			put(0, -6, i%2 == 0)
		case model.Q5_0:
			put(0, -7, i%2 == 0)
		case model.Q4_1:
			put(0, -6, false)
			put(2, -3, true)
		case model.Q5_1:
			put(0, -7, false)
			put(2, -3, true)
		case model.Q4_K, model.Q5_K:
			put(0, -12, false)
			put(2, -9, false)
		case model.Q6_K:
			put(size-2, -14, false)
		case model.Q2_K:
			put(80, -9, false)
			put(82, -9, false)
		case model.Q3_K, model.IQ4_NL, model.IQ4_XS:
			at := 0
			if typ == model.Q3_K {
				at = size - 2
			}
			put(at, -12, false)
		case model.F8_E4M3, model.F8_E5M2:
			b[0] &= 0x3f // neither infinite nor a NaN
		case model.F16:
			put(0, -4, i%2 == 0)
		case model.BF16:
			b[1] = 0x3d | b[1]&0x80
		case model.F32:
			panic("floats are not made of blocks")
		}
	}
	return data
}
