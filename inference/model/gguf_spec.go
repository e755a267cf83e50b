package model

import (
	"errors"
	"fmt"
	"math"
	"strconv"

	"github.com/sluiceml/sluice/inference/model/gguf"
)

// ggufSpec reads a Spec from a GGUF's metadata and the presence of its tensors. The keys are those of the GGUF
// specification.
func ggufSpec(path string, file *gguf.File) (Spec, error) {
	m := &metadata{path: path, file: file}
	architecture := m.text("general.architecture", "")
	if m.err != nil {
		return Spec{}, m.err
	}
	if architecture == "" {
		return Spec{}, m.missing("general.architecture")
	}
	if architecture != "llama" {
		return Spec{}, unsupported(path, "the architecture %q is not supported yet, only \"llama\" is", architecture)
	}
	embedding, ok := file.Tensor("token_embd.weight")
	if !ok || len(embedding.Shape) != 2 {
		return Spec{}, fmt.Errorf("%s: the tensor \"token_embd.weight\" is missing or no matrix", path)
	}
	s := Spec{
		Architecture:     architecture,
		VocabSize:        embedding.Shape[0],
		HiddenSize:       m.size("llama.embedding_length"),
		IntermediateSize: m.size("llama.feed_forward_length"),
		Layers:           m.size("llama.block_count"),
		Heads:            m.size("llama.attention.head_count"),
		ContextLength:    m.size("llama.context_length"),
		NormEpsilon:      m.float("llama.attention.layer_norm_rms_epsilon", 0),
		RopeTheta:        m.float("llama.rope.freq_base", 10000),
	}
	s.KVHeads = m.sizeOr("llama.attention.head_count_kv", s.Heads)
	if m.err != nil {
		return Spec{}, m.err
	}
	s.HeadSize = m.sizeOr("llama.attention.key_length", s.HiddenSize/max(s.Heads, 1))
	s.RopeScaling = m.ropeScaling(s)
	m.refuse(s)
	_, head := file.Tensor("output.weight")
	s.TiedEmbeddings = !head
	_, s.AttentionBias = file.Tensor("blk.0.attn_q.bias")
	_, s.MLPBias = file.Tensor("blk.0.ffn_gate.bias")
	if m.err != nil {
		return Spec{}, m.err
	}
	if err := s.Validate(); err != nil {
		return Spec{}, fmt.Errorf("%s: %w", path, err)
	}
	return s, nil
}

// metadata reads values of a GGUF. The first error sticks.
type metadata struct {
	path string
	file *gguf.File
	err  error
}

// fail notes the first error.
func (m *metadata) fail(key string, err error) {
	if m.err == nil {
		m.err = &FieldError{Path: m.path, Field: key, Err: err}
	}
}

// missing makes the error for a key that must be there.
func (m *metadata) missing(key string) error {
	return &FieldError{Path: m.path, Field: key, Err: errMissing}
}

// errMissing says that a field must be there.
var errMissing = errors.New("it is missing")

// read decodes a value with f. It gives the zero value, false if the key is not there or the value is wrong.
func read[T any](m *metadata, key string, f func(gguf.Value) (T, error)) (T, bool) {
	var zero T
	v, ok := m.file.Value(key)
	if !ok {
		return zero, false
	}
	x, err := f(v)
	if err != nil {
		m.fail(key, err)
		return zero, false
	}
	return x, true
}

func (m *metadata) text(key, otherwise string) string {
	if s, ok := read(m, key, gguf.Value.Text); ok {
		return s
	}
	return otherwise
}

func (m *metadata) bool(key string, otherwise bool) bool {
	if b, ok := read(m, key, gguf.Value.Bool); ok {
		return b
	}
	return otherwise
}

// id reads a token's id; nil: the key is not there.
func (m *metadata) id(key string) *uint32 {
	n, ok := read(m, key, gguf.Value.Uint)
	if !ok {
		return nil
	}
	if n > math.MaxUint32 {
		m.fail(key, fmt.Errorf("%d is no token id", n))
		return nil
	}
	id := uint32(n)
	return &id
}

// float reads a finite number. One that was stored as a float32 gives the float64 of the same shortest decimal, which
// is what it was before it was narrowed: 1e-05, not 9.999999747378752e-06.
func (m *metadata) float(key string, otherwise float64) float64 {
	x, ok := read(m, key, gguf.Value.Float)
	if !ok {
		return otherwise
	}
	if math.IsNaN(x) || math.IsInf(x, 0) {
		m.fail(key, fmt.Errorf("%v is no finite number", x))
		return otherwise
	}
	if v, _ := m.file.Value(key); v.Kind() == gguf.Float32 {
		x, _ = strconv.ParseFloat(strconv.FormatFloat(x, 'g', -1, 32), 64) // its own output
	}
	return x
}

// size reads a size that must be there.
func (m *metadata) size(key string) int {
	n := m.sizeOr(key, -1)
	if n < 0 && m.err == nil {
		m.err = m.missing(key)
	}
	return n
}

// sizeOr reads a size: 0 to maxSize, or an array that gives the same size for each layer.
func (m *metadata) sizeOr(key string, otherwise int) int {
	v, ok := m.file.Value(key)
	if !ok {
		return otherwise
	}
	n, err := uniform(v)
	if err == nil && n > maxSize {
		err = fmt.Errorf("%d is over the limit of %d", n, maxSize)
	}
	if err != nil {
		m.fail(key, err)
		return otherwise
	}
	return int(n)
}

// uniform gives an integer, or what all elements of an array of integers are.
func uniform(v gguf.Value) (uint64, error) {
	if v.Kind() != gguf.Array {
		return v.Uint()
	}
	all, err := v.Ints()
	if err != nil {
		return 0, err
	}
	if len(all) == 0 {
		return 0, errors.New("the array is empty")
	}
	for _, n := range all {
		if n < 0 {
			return 0, fmt.Errorf("%d is negative", n)
		}
		if n != all[0] {
			return 0, errors.New("layers of different sizes are not supported yet")
		}
	}
	return uint64(all[0]), nil
}

// refuse notes what the file says that this reader would otherwise get wrong.
func (m *metadata) refuse(s Spec) {
	refuse := func(format string, args ...any) {
		if m.err == nil {
			m.err = unsupported(m.path, format, args...)
		}
	}
	if n := m.sizeOr("llama.expert_count", 0); n > 0 {
		refuse("a mixture of %d experts is not supported yet", n)
	}
	if n := m.sizeOr("llama.attention.value_length", s.HeadSize); n != s.HeadSize {
		refuse("keys of %d values and values of %d are not supported", s.HeadSize, n)
	}
	if n := m.sizeOr("llama.rope.dimension_count", s.HeadSize); n != s.HeadSize {
		refuse("a rotary embedding of %d of a head's %d values is not supported", n, s.HeadSize)
	}
	if n := m.sizeOr("split.count", 1); n > 1 {
		refuse("a GGUF split into %d files is not supported yet", n)
	}
}

// ropeScaling reads how the rotary embedding is stretched; nil: it is not.
func (m *metadata) ropeScaling(s Spec) *RopeScaling {
	factor := m.float("llama.rope.scaling.factor", m.float("llama.rope.scale_linear", 0))
	kind := m.text("llama.rope.scaling.type", ropeLinear)
	factors, ok := m.file.Tensor(ropeFactors)
	switch {
	case m.err != nil:
		return nil
	case kind == "none" || kind == ropeLinear && (factor == 0 || factor == 1):
	case kind == ropeLinear:
		if ok {
			m.err = unsupported(m.path, "a linear rope scaling together with the tensor %q is not supported", ropeFactors)
		}
		return &RopeScaling{Kind: ropeLinear, Factor: factor}
	default:
		m.err = unsupported(m.path, "the rope scaling %q is not supported yet", kind)
		return nil
	}
	if !ok {
		return nil
	}
	values := make([]float32, s.HeadSize/2)
	if err := Dequantize(values, factors.Type, factors.Data); err != nil {
		m.err = fmt.Errorf("%s: the tensor %q: %w", m.path, ropeFactors, err)
		return nil
	}
	scaling, err := llama3Scaling(s, values)
	if err != nil {
		m.err = &UnsupportedError{Path: m.path, Reason: fmt.Sprintf("the tensor %q: %v", ropeFactors, err)}
		return nil
	}
	return scaling
}

// llama3Scaling finds the parameters of Llama 3.1's rope scaling behind the divisors that convert_hf_to_gguf.py made
// of them: the largest is the factor; the others have had one value each in all models so far (low 1, high 4,
// original context 8192), which is checked against every divisor. Nil: all divisors are 1.
func llama3Scaling(s Spec, divisors []float32) (*RopeScaling, error) {
	r := RopeScaling{Kind: ropeLlama3, LowFreqFactor: 1, HighFreqFactor: 4, OriginalContextLength: 8192}
	allOne := true
	for _, d := range divisors {
		r.Factor = max(r.Factor, float64(d))
		allOne = allOne && d == 1
	}
	if allOne {
		return nil, nil //nolint:nilnil // nil is "no scaling"
	}
	s.RopeScaling = nil
	for i, f := range s.InverseFrequencies() {
		if got, want := float64(divisors[i]), r.divisor(f); !(math.Abs(got-want) <= 1e-4*want) {
			return nil, fmt.Errorf("its factors are not Llama 3's: number %d is %v, want %v", i, got, want)
		}
	}
	return &r, nil
}
