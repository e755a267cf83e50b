package tokenizer

import (
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/sluiceml/sluice/tokenizer/bpe"
	"github.com/sluiceml/sluice/tokenizer/pretoken"
)

// TestNextLine: every known scanner cuts a text at such a place as it cuts the parts.
func TestNextLine(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(1, 2))
	pieces := []string{"\n", "\n", "\r", " ", "\t", "a", "Word", "x's", "'", "1", "12345", "!", "/", "é", "中", "\u0301", "\u3000", ".\nA", "z\nb", "9\nC"}
	scanners := map[string]pretoken.Splitter{}
	for _, pattern := range append(pretoken.Patterns(), pretoken.TiktokenPatterns()...) {
		s, ok := pretoken.Lookup(pattern)
		if !ok {
			s, _ = pretoken.LookupTiktoken(pattern)
		}
		for name, s := range map[string]pretoken.Splitter{pattern: s, "digits and " + pattern: pretoken.Sequence(pretoken.Digits(true), s)} {
			if cutsLines(s) {
				scanners[name] = s
			} else {
				t.Logf("%s cuts no lines", name)
			}
		}
	}
	if len(scanners) < 10 {
		t.Errorf("only %d scanners cut lines", len(scanners))
	}
	for range 5000 {
		var b strings.Builder
		for range 3 + rng.IntN(12) {
			b.WriteString(pieces[rng.IntN(len(pieces))])
		}
		text := b.String()
		at := cutAfter(text, rng.IntN(len(text)), nextLine)
		for name, s := range scanners {
			if whole, parts := words(s, text), append(words(s, text[:at]), words(s, text[at:])...); !slices.Equal(whole, parts) {
				t.Fatalf("%s cuts %q as %q, and at %d as %q", name, text, whole, at, parts)
			}
		}
	}
}

func words(s pretoken.Splitter, text string) (list []string) {
	s.Split(text, func(_ int, word string) bool {
		list = append(list, word)
		return true
	})
	return list
}

// TestShared: a long text gives the same tokens on many processors as in short pieces on one.
func TestShared(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile("encode.go")
	if err != nil {
		t.Fatal(err)
	}
	source := string(data)
	for _, name := range []string{"testdata/gpt2.json", "testdata/smollm.json"} {
		tok, err := Load(name)
		if err != nil {
			t.Fatal(err)
		}
		compareShared(t, tok, source)
	}
	tok, err := FromJSON([]byte(metaspaceJSON))
	if err != nil {
		t.Fatal(err)
	}
	compareShared(t, tok, source)
}

// TestCuts: what a junction cuts a text into gives the tokens that the whole gives.
func TestCuts(t *testing.T) {
	t.Parallel()
	tok, err := FromJSON([]byte(metaspaceJSON))
	if err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(3, 4))
	pieces := []string{"▁", "▁▁▁", "t", "he", "r", "é", "x", "er", "▁the", "n"}
	for range 3000 {
		var b strings.Builder
		for range 1 + rng.IntN(40) {
			b.WriteString(pieces[rng.IntN(len(pieces))])
		}
		text := b.String()
		at := cutAfter(text, rng.IntN(len(text)), tok.cuts.next)
		s := bpe.NewScratch()
		whole := tok.model.Append(nil, text, s)
		parts := tok.model.Append(tok.model.Append(nil, text[:at], s), text[at:], s)
		if !slices.Equal(whole, parts) || !slices.Equal(whole, tok.cutWord(nil, text, s)) {
			t.Fatalf("%q cut at %d: %d, want %d", text, at, parts, whole)
		}
	}
}

// metaspaceJSON is a small tokenizer of the SentencePiece kind.
const metaspaceJSON = `{
  "normalizer": {"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": "▁"}, {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}]},
  "decoder": {"type": "Sequence", "decoders": [{"type": "Replace", "pattern": {"String": "▁"}, "content": " "}, {"type": "Fuse"}, {"type": "Strip", "content": " ", "start": 1, "stop": 0}]},
  "model": {"type": "BPE", "unk_token": "<unk>", "vocab": {"<unk>": 0, "▁": 1, "t": 2, "e": 3, "h": 4, "▁t": 5, "he": 6, "▁the": 7, "▁▁": 8, "r": 9, "er": 10, "n": 11},
    "merges": ["▁ t", "h e", "▁t he", "▁ ▁", "e r"]}
}`

func compareShared(t *testing.T, tok *Tokenizer, source string) {
	t.Helper()
	long := strings.Repeat(source, 1+4*minShared/len(source))
	got, err := tok.Encode(long, EncodeOptions{})
	if err != nil {
		t.Fatal(err)
	}
	// Offsets are made on one processor.
	alone, _, err := tok.EncodeOffsets(long, EncodeOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(got, alone) {
		t.Errorf("%d tokens, and %d on one processor", len(got), len(alone))
	}
	if n, err := tok.Count(long, EncodeOptions{}); err != nil || n != len(got) {
		t.Errorf("%d tokens counted of %d: %v", n, len(got), err)
	}
	batch, err := tok.EncodeBatch([]string{"the tree", "", long, "r"}, EncodeOptions{})
	if err != nil || len(batch) != 4 || !slices.Equal(batch[2], got) {
		t.Errorf("a batch differs: %v", err)
	}
	if _, err := tok.EncodeBatch([]string{"a"}, EncodeOptions{Literal: []Range{{Start: 5, End: 9}}}); err == nil {
		t.Error("a batch hides an error")
	}
}
