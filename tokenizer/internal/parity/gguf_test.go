//go:build families

package parity

import (
	"encoding/binary"
	"fmt"
	"math"

	"github.com/sluiceml/sluice/tokenizer"
)

// ggufReader reads the metadata of a GGUF file: as much as a vocabulary needs.
type ggufReader struct {
	data []byte
	err  error
}

func (r *ggufReader) take(n uint64) []byte {
	if r.err != nil || n > uint64(len(r.data)) {
		r.err = fmt.Errorf("the file ends %d bytes too early", n)
		return make([]byte, min(n, 8))
	}
	out := r.data[:n]
	r.data = r.data[n:]
	return out
}

func (r *ggufReader) u32() uint32 { return binary.LittleEndian.Uint32(r.take(4)) }
func (r *ggufReader) u64() uint64 { return binary.LittleEndian.Uint64(r.take(8)) }

func (r *ggufReader) text() string { return string(r.take(r.u64())) }

// value reads a value of a kind (the numbers of the GGUF format).
func (r *ggufReader) value(kind uint32) any {
	switch kind {
	case 0, 1:
		return r.take(1)[0]
	case 7:
		return r.take(1)[0] != 0
	case 2, 3:
		return binary.LittleEndian.Uint16(r.take(2))
	case 4:
		return r.u32()
	case 5:
		return int32(r.u32())
	case 6:
		return math.Float32frombits(r.u32())
	case 8:
		return r.text()
	case 9:
		inner, n := r.u32(), r.u64()
		var list []any
		for i := uint64(0); i < n && r.err == nil; i++ {
			list = append(list, r.value(inner))
		}
		return list
	}
	return r.u64()
}

// readGGUF returns the metadata.
func readGGUF(data []byte) (map[string]any, error) {
	r := &ggufReader{data: data}
	r.take(4 + 4 + 8) // magic, version, number of tensors
	meta := map[string]any{}
	for n := r.u64(); n > 0 && r.err == nil; n-- {
		key := r.text()
		meta[key] = r.value(r.u32())
	}
	return meta, r.err
}

// vocabularyOf makes a vocabulary of the metadata.
func vocabularyOf(meta map[string]any) tokenizer.Vocabulary {
	const prefix = "tokenizer.ggml."
	v := tokenizer.Vocabulary{Tokens: list[string](meta[prefix+"tokens"]), Merges: list[string](meta[prefix+"merges"]), Scores: list[float32](meta[prefix+"scores"])}
	for _, kind := range list[int32](meta[prefix+"token_type"]) {
		v.Types = append(v.Types, tokenizer.TokenType(kind))
	}
	v.Model, _ = meta[prefix+"model"].(string)
	v.Pre, _ = meta[prefix+"pre"].(string)
	if id, ok := meta[prefix+"unknown_token_id"].(uint32); ok {
		v.UNK = &id
	}
	if add, ok := meta[prefix+"add_space_prefix"].(bool); ok {
		v.NoSpacePrefix = !add
	}
	return v
}

func list[T any](value any) []T {
	values, _ := value.([]any)
	out := make([]T, 0, len(values))
	for _, x := range values {
		if t, ok := x.(T); ok {
			out = append(out, t)
		}
	}
	return out
}
