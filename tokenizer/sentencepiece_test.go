package tokenizer_test

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/sluiceml/sluice/tokenizer"
)

// spPiece is a piece of a SentencePiece model.
type spPiece struct {
	text  string
	score float32
	kind  uint64
}

// spModel writes a SentencePiece model, with byte pieces behind the others if it has any. The specifications are fields that
// hold numbers, by their number.
func spModel(pieces []spPiece, trainer, normalizer map[protowire.Number]uint64, more ...[]byte) []byte {
	var out []byte
	field := func(number protowire.Number, message []byte) {
		out = protowire.AppendBytes(protowire.AppendTag(out, number, protowire.BytesType), message)
	}
	for b := range 256 * trainer[spByteFallback] {
		pieces = append(pieces, spPiece{fmt.Sprintf("<0x%02X>", b), 0, 6})
	}
	for _, p := range pieces {
		m := protowire.AppendString(protowire.AppendTag(nil, 1, protowire.BytesType), p.text)
		m = protowire.AppendFixed32(protowire.AppendTag(m, 2, protowire.Fixed32Type), math.Float32bits(p.score))
		field(1, protowire.AppendVarint(protowire.AppendTag(m, 3, protowire.VarintType), p.kind))
	}
	for number, spec := range map[protowire.Number]map[protowire.Number]uint64{2: trainer, 3: normalizer} {
		var m []byte
		for number, value := range spec {
			m = protowire.AppendVarint(protowire.AppendTag(m, number, protowire.VarintType), value)
		}
		field(number, m)
	}
	for _, m := range more {
		out = append(out, m...)
	}
	return out
}

func spPieces() []spPiece {
	return []spPiece{
		{"<unk>", 0, 2},
		{"<s>", 0, 3},
		{"</s>", 0, 3},
		{"\u2581", -5, 1},
		{"a", -6, 1},
		{"b", -7, 1},
		{"ab", -1, 1},
		{"\u2581ab", -2, 1},
		{"ba", -1, 1},
		{"<x>", 0, 4},
		{"\u2581\u2581", 0, 4},
	}
}

// The fields of the specifications.
const (
	spKind, spByteFallback, spSuffix       = 3, 35, 24
	spPrefix, spTrimSpaces, spEscape       = 3, 4, 5
	spUnigram, spBPE, spWord, spCharacters = 1, 2, 3, 4
)

// TestSentencePiece: what SentencePiece 0.2.3 makes of these models (internal/parity compares real ones and trained ones).
func TestSentencePiece(t *testing.T) {
	t.Parallel()
	bpe := map[protowire.Number]uint64{spKind: spBPE, spByteFallback: 1}
	for _, c := range []struct {
		name                string
		trainer, normalizer map[protowire.Number]uint64
		text                string
		want                []uint32
		back                string
	}{
		{"plain", bpe, map[protowire.Number]uint64{spTrimSpaces: 0}, "aba", []uint32{7, 4}, "aba"},
		{"leftmost of equals", bpe, map[protowire.Number]uint64{spTrimSpaces: 0, spPrefix: 0}, "aba", []uint32{6, 4}, "aba"},
		{"bytes", bpe, map[protowire.Number]uint64{spTrimSpaces: 0, spPrefix: 0}, "\u00e9", []uint32{206, 180}, "\u00e9"},
		{"one prefix", bpe, map[protowire.Number]uint64{spTrimSpaces: 0}, "<x>ab", []uint32{3, 9, 6}, "<x>ab"},
		{"spaces stay", bpe, map[protowire.Number]uint64{spTrimSpaces: 0}, " ab", []uint32{10, 6}, " ab"},
		{"spaces go", bpe, nil, "  ab   ba ", []uint32{7, 3, 8}, "ab ba"},
		{"nothing but spaces", bpe, nil, "   ", nil, ""},
		{"unknown", map[protowire.Number]uint64{spKind: spBPE}, nil, "a\u00e9\u00e9", []uint32{3, 4, 0}, "a<unk>"},
		{"control token as text", map[protowire.Number]uint64{spKind: spBPE}, nil, "a</s>", []uint32{3, 4, 0}, "a<unk>"},
	} {
		tok, err := tokenizer.FromSentencePiece(spModel(spPieces(), c.trainer, c.normalizer))
		if err != nil {
			t.Fatal(c.name, err)
		}
		got, err := tok.Encode(c.text, tokenizer.EncodeOptions{Special: tokenizer.SpecialAsText})
		if err != nil || !slices.Equal(got, c.want) {
			t.Errorf("%s: %d, %v, want %d", c.name, got, err, c.want)
		}
		if text, stream := tok.Decode(got, true), streamed(tok, got, true); text != c.back || stream != c.back {
			t.Errorf("%s: comes back as %q, as a stream %q, want %q", c.name, text, stream, c.back)
		}
		got, err = tok.Encode(c.text, tokenizer.EncodeOptions{AddSpecialTokens: true})
		if err != nil || got[0] != 1 {
			t.Errorf("%s: with special tokens %d, %v", c.name, got, err)
		}
	}
}

func TestSentencePieceDecode(t *testing.T) {
	t.Parallel()
	bpe := map[protowire.Number]uint64{spKind: spBPE, spByteFallback: 1}
	for _, c := range []struct {
		trim uint64
		ids  []uint32
		want string
	}{
		{0, []uint32{3, 3, 6}, " ab"},                // one mark goes
		{1, []uint32{3, 3, 10, 6}, " ab"},            // one of each token
		{1, []uint32{206, 180, 206}, "\u00e9\ufffd"}, // a byte that is no part of a character
		{1, []uint32{1, 7, 2}, "ab"},
	} {
		tok, err := tokenizer.FromSentencePiece(spModel(spPieces(), bpe, map[protowire.Number]uint64{spTrimSpaces: c.trim}))
		if err != nil {
			t.Fatal(err)
		}
		if text, stream := tok.Decode(c.ids, true), streamed(tok, c.ids, true); text != c.want || stream != c.want {
			t.Errorf("%d: %q, as a stream %q, want %q", c.ids, text, stream, c.want)
		}
	}
}

// TestSentencePieceRefused: what is not supported is named, and what is broken is an error.
func TestSentencePieceRefused(t *testing.T) {
	t.Parallel()
	bpe := map[protowire.Number]uint64{spKind: spBPE}
	spec := func(number, field protowire.Number, value string) []byte {
		m := protowire.AppendString(protowire.AppendTag(nil, field, protowire.BytesType), value)
		return protowire.AppendBytes(protowire.AppendTag(nil, number, protowire.BytesType), m)
	}
	for name, data := range map[string][]byte{
		"unigram":                    spModel(spPieces(), map[protowire.Number]uint64{spKind: spUnigram}, nil),
		"word":                       spModel(spPieces(), map[protowire.Number]uint64{spKind: spWord}, nil),
		"char":                       spModel(spPieces(), map[protowire.Number]uint64{spKind: spCharacters}, nil),
		"kind 9":                     spModel(spPieces(), map[protowire.Number]uint64{spKind: 9}, nil),
		"nmt_nfkc":                   spModel(spPieces(), bpe, nil, spec(3, 1, "nmt_nfkc"), spec(3, 2, "\x00\x01")),
		"denormalizer":               spModel(spPieces(), bpe, nil, spec(5, 2, "\x00\x01")),
		"treat_whitespace_as_suffix": spModel(spPieces(), map[protowire.Number]uint64{spKind: spBPE, spSuffix: 1}, nil),
		"unused":                     spModel(append(spPieces(), spPiece{"zz", -9, 5}), bpe, map[protowire.Number]uint64{spEscape: 1}),
	} {
		_, err := tokenizer.FromSentencePiece(data)
		if u, ok := errors.AsType[*tokenizer.UnsupportedError](err); !ok || !strings.Contains(u.Name, name) {
			t.Errorf("%s: %v", name, err)
		}
	}
	whole := spModel(spPieces(), bpe, nil)
	for name, data := range map[string][]byte{
		"no unknown piece": spModel(spPieces()[1:], bpe, nil),
		"a piece twice":    spModel(append(spPieces(), spPiece{"a", -9, 1}), bpe, nil),
		"an empty piece":   spModel(append(spPieces(), spPiece{"", -9, 1}), bpe, nil),
		"invalid UTF-8":    spModel(append(spPieces(), spPiece{"\xff", -9, 1}), bpe, nil),
		"bytes missing":    spModel(append(spPieces(), spPiece{"<0x00>", 0, 6}), bpe, nil),
		"unknown type":     spModel(append(spPieces(), spPiece{"z", -9, 77}), bpe, nil),
		"cut off":          whole[:len(whole)-1],
	} {
		if _, err := tokenizer.FromSentencePiece(data); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// TestLoadSentencePiece: such a file is told by its name and its first bytes, in a folder too.
func TestLoadSentencePiece(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	data := spModel(spPieces(), map[protowire.Number]uint64{spKind: spBPE}, nil)
	for _, name := range []string{"tokenizer.model", "m.model.v3"} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, path := range []string{dir, filepath.Join(dir, "tokenizer.model"), filepath.Join(dir, "m.model.v3")} {
		if tok, err := tokenizer.Load(path); err != nil || tok.Size() != len(spPieces()) {
			t.Errorf("%s: %v", path, err)
		}
	}
}

// FuzzFromSentencePiece: no model panics, and what loads encodes and decodes as a list and as a stream.
func FuzzFromSentencePiece(f *testing.F) {
	for _, trim := range []uint64{0, 1} {
		f.Add(spModel(spPieces(), map[protowire.Number]uint64{spKind: spBPE, spByteFallback: 1}, map[protowire.Number]uint64{spTrimSpaces: trim}), " ab  <x>\u00e9")
	}
	f.Fuzz(func(t *testing.T, data []byte, text string) {
		tok, err := tokenizer.FromSentencePiece(data)
		if err != nil {
			return
		}
		ids, err := tok.Encode(text, tokenizer.EncodeOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if got, want := streamed(tok, ids, true), tok.Decode(ids, true); got != want {
			t.Fatalf("stream %q, want %q", got, want)
		}
	})
}
