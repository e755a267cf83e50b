package tokenizerfile

import (
	"bytes"
	"encoding/binary"
	"maps"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluiceml/sluice/inference/model"
	"github.com/sluiceml/sluice/tokenizer"
)

// ggufFile writes a GGUF file without tensors. Values are strings, uint32, bool, and lists of strings, int32 and float32.
func ggufFile(t *testing.T, values map[string]any) string {
	t.Helper()
	var b bytes.Buffer
	put := func(x any) {
		if err := binary.Write(&b, binary.LittleEndian, x); err != nil {
			t.Fatal(err)
		}
	}
	text := func(s string) {
		put(uint64(len(s)))
		b.WriteString(s)
	}
	b.WriteString("GGUF")
	put(uint32(3))
	put(uint64(0))
	put(uint64(len(values)))
	for key, value := range values {
		text(key)
		switch value := value.(type) {
		case string:
			put(uint32(8))
			text(value)
		case uint32:
			put(uint32(4))
			put(value)
		case bool:
			put(uint32(7))
			put(value)
		case []string:
			put([2]uint32{9, 8})
			put(uint64(len(value)))
			for _, s := range value {
				text(s)
			}
		case []int32:
			put([2]uint32{9, 5})
			put(uint64(len(value)))
			put(value)
		case []float32:
			put([2]uint32{9, 6})
			put(uint64(len(value)))
			put(value)
		default:
			t.Fatalf("%s: %T", key, value)
		}
	}
	path := filepath.Join(t.TempDir(), "model.gguf")
	if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// sentencePiece is a small vocabulary of the kind "llama".
func sentencePiece() map[string]any {
	return map[string]any{
		"general.architecture":            "llama",
		"tokenizer.ggml.model":            "llama",
		"tokenizer.ggml.tokens":           []string{"<unk>", "<s>", "</s>", "<0xC3>", "<0xA9>", "\u2581", "a", "b", "ab", "\u2581ab"},
		"tokenizer.ggml.token_type":       []int32{2, 3, 3, 6, 6, 1, 1, 1, 1, 1},
		"tokenizer.ggml.scores":           []float32{0, 0, 0, 0, 0, -5, -6, -7, -1, -2},
		"tokenizer.ggml.bos_token_id":     uint32(1),
		"tokenizer.ggml.eos_token_id":     uint32(2),
		"tokenizer.ggml.unknown_token_id": uint32(0),
	}
}

// TestSentencePieceGGUF: a vocabulary of the kind "llama" is read from a GGUF, and the tokenizer.json that convert
// writes from it encodes the same.
func TestSentencePieceGGUF(t *testing.T) {
	for _, test := range []struct {
		name string
		more map[string]any
		text string
		want []uint32
	}{
		{"defaults", nil, "ab\u00e9", []uint32{1, 9, 3, 4}},
		{"no prefix", map[string]any{"tokenizer.ggml.add_space_prefix": false}, "ab\u00e9 ab", []uint32{1, 8, 3, 4, 9}},
		{"no BOS", map[string]any{"tokenizer.ggml.add_bos_token": false}, "b</s>", []uint32{5, 7, 2}},
		{"EOS", map[string]any{"tokenizer.ggml.add_eos_token": true}, "ab", []uint32{1, 9, 2}},
	} {
		t.Run(test.name, func(t *testing.T) {
			values := sentencePiece()
			maps.Copy(values, test.more)
			path := ggufFile(t, values)
			direct, err := Load(path)
			if err != nil {
				t.Fatal(err)
			}
			assets, err := model.ReadAssets(path)
			if err != nil {
				t.Fatal(err)
			}
			dir := t.TempDir()
			if err := Write(assets, dir); err != nil {
				t.Fatal(err)
			}
			written, err := Load(dir)
			if err != nil {
				t.Fatal(err)
			}
			for _, tok := range []*tokenizer.Tokenizer{direct, written} {
				got, err := tok.Encode(test.text, tokenizer.EncodeOptions{AddSpecialTokens: true})
				if err != nil {
					t.Fatal(err)
				}
				if d := cmp.Diff(test.want, got); d != "" {
					t.Errorf("-want +got\n%s", d)
				}
			}
		})
	}
}

// TestUnknownKindOfGGUF names the kind that package tokenizer does not have.
func TestUnknownKindOfGGUF(t *testing.T) {
	values := sentencePiece()
	values["tokenizer.ggml.model"] = "t5"
	if _, err := Load(ggufFile(t, values)); err == nil || !strings.Contains(err.Error(), `"t5"`) {
		t.Error(err)
	}
	values["tokenizer.ggml.model"] = "llama"
	values["tokenizer.ggml.scores"] = []float32{float32(math.NaN())}
	if _, err := Load(ggufFile(t, values)); err == nil {
		t.Error("a file with one score for ten tokens loads")
	}
}
