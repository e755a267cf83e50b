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
	name := m.text("general.architecture", "")
	if m.err != nil {
		return Spec{}, m.err
	}
	if name == "" {
		return Spec{}, m.missing("general.architecture")
	}
	a, ok := architectureBy(func(a *architecture) bool { return a.name == name && !a.onlyHF })
	if !ok {
		return Spec{}, unsupported(path, "the architecture %q is not supported yet, only %s are", name, architectureNames())
	}
	m.architecture = name
	embedding, ok := file.Tensor("token_embd.weight")
	if !ok || len(embedding.Shape) != 2 {
		return Spec{}, fmt.Errorf("%s: the tensor \"token_embd.weight\" is missing or no matrix", path)
	}
	s := Spec{
		Architecture:     name,
		VocabSize:        embedding.Shape[0],
		HiddenSize:       m.size(m.key("embedding_length")),
		IntermediateSize: m.size(m.key("feed_forward_length")),
		Layers:           m.size(m.key("block_count")),
		Heads:            m.size(m.key("attention.head_count")),
		ContextLength:    m.size(m.key("context_length")),
		NormEpsilon:      m.float(m.key("attention.layer_norm_rms_epsilon"), m.float(m.key("attention.layer_norm_epsilon"), 0)),
		Activation:       a.defaults.Activation,
		AttentionBias:    m.has("blk.0.attn_q.bias") || m.has("blk.0.attn_qkv.bias"),
		MLPBias:          m.has("blk.0.ffn_gate.bias"),
		TiedEmbeddings:   !m.has("output.weight"),
	}
	s.KVHeads = m.sizeOr(m.key("attention.head_count_kv"), s.Heads)
	if m.err != nil {
		return Spec{}, m.err
	}
	s.HeadSize = m.sizeOr(m.key("attention.key_length"), s.HiddenSize/max(s.Heads, 1))
	if s.Layers > maxLayers {
		return Spec{}, fmt.Errorf("%s: %w", path, s.Validate()) // before anything is made for each of them
	}
	if !a.learned {
		m.rope(&a, &s)
	}
	if a.gguf != nil {
		a.gguf(m, &s)
	}
	m.refuse(&s)
	if m.err != nil {
		return Spec{}, m.err
	}
	s.dropWindow()
	if err := s.Validate(); err != nil {
		return Spec{}, fmt.Errorf("%s: %w", path, err)
	}
	return s, nil
}

// metadata reads values of a GGUF. The first error sticks.
type metadata struct {
	path         string
	file         *gguf.File
	architecture string // what its own keys begin with
	err          error
}

// key is a key of the architecture.
func (m *metadata) key(name string) string { return m.architecture + "." + name }

// has reports whether there is a tensor.
func (m *metadata) has(tensor string) bool {
	_, ok := m.file.Tensor(tensor)
	return ok
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

// slidingPattern says which layers have a window: all but the last of each period, unless the file says otherwise.
func (m *metadata) slidingPattern(layers, period int) []bool {
	key := m.key("attention.sliding_window_pattern")
	v, ok := m.file.Value(key)
	if !ok || v.Kind() != gguf.Array {
		return not(everyNth(layers, max(1, m.sizeOr(key, period))))
	}
	sliding, err := v.Bools()
	if err == nil && len(sliding) != layers {
		err = fmt.Errorf("%d layers' kinds of %d", len(sliding), layers)
	}
	if err != nil {
		m.fail(key, err)
	}
	return sliding
}

// refuse notes what the file says that this reader would otherwise get wrong.
func (m *metadata) refuse(s *Spec) {
	refuse := func(format string, args ...any) {
		if m.err == nil {
			m.err = unsupported(m.path, format, args...)
		}
	}
	if n := m.sizeOr(m.key("expert_count"), 0); n > 0 {
		refuse("a mixture of %d experts is not supported yet", n)
	}
	if n := m.sizeOr(m.key("attention.value_length"), s.HeadSize); n != s.HeadSize {
		refuse("keys of %d values and values of %d are not supported", s.HeadSize, n)
	}
}
