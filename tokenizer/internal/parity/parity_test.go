package parity

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/sluiceml/sluice/tokenizer"
)

const oracle = "oracle.py"

func skipShort(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("needs Python and the model cache; run without -short")
	}
}

// TestSmolLM2 compares the tokenizer.json that setup made from the GGUF file's vocabulary.
func TestSmolLM2(t *testing.T) {
	skipShort(t)
	path := filepath.Join(cache(t), "models", "smollm2-135m-instruct", "tokenizer.json")
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v: run \"make setup\"", err)
	}
	tok, err := tokenizer.FromJSON(data)
	if err != nil {
		t.Fatal(err)
	}
	if n := len(tok.SpecialTokens()); n != 17 {
		t.Errorf("%d special tokens, want 17", n)
	}
	compare(t, tok, path)
}

// TestGPT2 compares a vocabulary given as values with the tokenizer.json written from it.
func TestGPT2(t *testing.T) {
	skipShort(t)
	v := gpt2Vocabulary(t)
	tok, err := tokenizer.FromVocabulary(v)
	if err != nil {
		t.Fatal(err)
	}
	data, err := v.TokenizerJSON()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "tokenizer.json")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	compare(t, tok, path)
}

func gpt2Vocabulary(t *testing.T) tokenizer.Vocabulary {
	t.Helper()
	encoder, merges := gpt2(t, python(t))
	var ids map[string]uint32
	if err := json.Unmarshal(encoder, &ids); err != nil {
		t.Fatal(err)
	}
	v := tokenizer.Vocabulary{Pre: "gpt-2", Tokens: make([]string, len(ids)), Types: make([]tokenizer.TokenType, len(ids))}
	for token, id := range ids {
		v.Tokens[id], v.Types[id] = token, tokenizer.TokenNormal
		if token == "<|endoftext|>" {
			v.Types[id] = tokenizer.TokenControl
		}
	}
	for line := range strings.Lines(string(merges)) {
		if line = strings.TrimRight(line, "\n"); line != "" && !strings.HasPrefix(line, "#version") {
			v.Merges = append(v.Merges, line)
		}
	}
	return v
}

// compare encodes the corpus and decodes lists of ids with both and wants everything equal.
func compare(t *testing.T, tok *tokenizer.Tokenizer, path string) {
	t.Helper()
	py, dir := python(t), t.TempDir()
	corpus, ids := filepath.Join(dir, "corpus"), filepath.Join(dir, "ids")
	run(t, py, oracle, "corpus", run(t, "go", "env", "GOROOT"), filepath.Join("testdata", "prose.txt"), corpus, path)
	run(t, py, oracle, "encode", path, corpus, ids)
	compareIDs(t, tok, corpus, ids)

	lists, decoded := filepath.Join(dir, "lists"), filepath.Join(dir, "decoded")
	run(t, py, oracle, "ids", path, lists)
	for _, skip := range []bool{false, true} {
		run(t, py, oracle, "decode", path, lists, decoded, map[bool]string{false: "0", true: "1"}[skip])
		compareTexts(t, tok, lists, decoded, skip)
	}
}

func compareIDs(t *testing.T, tok *tokenizer.Tokenizer, corpus, ids string) {
	t.Helper()
	texts, wants := openFrames(t, corpus), openFrames(t, ids)
	var got []uint32
	size, n, tokens, wrong := 0, 0, 0, 0
	for {
		text, ok := texts.next()
		if !ok {
			break
		}
		want := unpack(wants.must())
		size, n, tokens = size+len(text), n+1, tokens+len(want)
		var err error
		if got, err = tok.AppendEncode(got[:0], string(text), tokenizer.EncodeOptions{}); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(got, want) {
			if wrong++; wrong <= 5 {
				at := firstDifference(got, want)
				t.Errorf("text %d, %.200q: token %d differs:\ngot  %d\nwant %d", n, text, at, around(got, at), around(want, at))
			}
		}
	}
	if size < 10<<20 {
		t.Errorf("the corpus has only %d bytes", size)
	}
	t.Logf("%d texts, %d bytes, %d tokens: %d texts differ", n, size, tokens, wrong)
}

func firstDifference(a, b []uint32) int {
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return i
		}
	}
	return min(len(a), len(b))
}

func around(ids []uint32, at int) []uint32 { return ids[max(0, at-3):min(len(ids), at+5)] }

// compareTexts decodes whole and as a stream.
func compareTexts(t *testing.T, tok *tokenizer.Tokenizer, lists, decoded string, skip bool) {
	t.Helper()
	ids, wants := openFrames(t, lists), openFrames(t, decoded)
	stream := tok.NewDecoder(skip)
	n, wrong := 0, 0
	for {
		frame, ok := ids.next()
		if !ok {
			break
		}
		n++
		list, want := unpack(frame), string(wants.must())
		var parts strings.Builder
		for _, id := range list {
			part := stream.Add(id)
			if !utf8.ValidString(part) {
				t.Errorf("stream of %d: %q is not valid UTF-8", list, part)
			}
			parts.WriteString(part)
		}
		parts.WriteString(stream.Flush())
		if got := tok.Decode(list, skip); got != want || parts.String() != want {
			if wrong++; wrong <= 5 {
				t.Errorf("decode %d, skip %t:\ngot    %q\nstream %q\nwant   %q", list, skip, got, parts.String(), want)
			}
		}
	}
	t.Logf("%d lists of ids decoded, skip special %t: %d differ", n, skip, wrong)
}

// TestClasses asks the reference anew what each code point is.
func TestClasses(t *testing.T) {
	skipShort(t)
	pretoken := filepath.Join("..", "..", "pretoken")
	want, err := os.ReadFile(filepath.Join(pretoken, "testdata", "classes.txt"))
	if err != nil {
		t.Fatal(err)
	}
	got := run(t, python(t), filepath.Join(pretoken, "internal", "gentables", "probe.py"))
	if got != strings.TrimSpace(string(want)) {
		t.Error("testdata/classes.txt is not what probe.py prints")
	}
}

// TestVariants compares random small tokenizers that have every option.
func TestVariants(t *testing.T) {
	skipShort(t)
	path := filepath.Join(t.TempDir(), "variants")
	run(t, python(t), oracle, "variants", path)
	f := openFrames(t, path)
	n := 0
	for {
		frame, ok := f.next()
		if !ok {
			break
		}
		n++
		var v variant
		if err := json.Unmarshal(frame, &v); err != nil {
			t.Fatal(err)
		}
		if v.compare(t); t.Failed() {
			t.Fatalf("variant %d: %s", n, v.Tokenizer)
		}
	}
	t.Logf("%d tokenizers equal", n)
}

// variant is a frame of oracle.py's variants.
type variant struct {
	Tokenizer   json.RawMessage `json:"tokenizer"`
	Texts       []string        `json:"texts"`
	IDs         [][]uint32      `json:"ids"`
	WithSpecial [][]uint32      `json:"with_special"`
	AsText      [][]uint32      `json:"as_text"`
	Lists       [][]uint32      `json:"lists"`
	Decoded     []string        `json:"decoded"`
	Skipped     []string        `json:"skipped"`
}

func (v *variant) compare(t *testing.T) {
	t.Helper()
	tok, err := tokenizer.FromJSON(v.Tokenizer)
	if err != nil {
		t.Fatalf("%v\n%s", err, v.Tokenizer)
	}
	for i, text := range v.Texts {
		for _, c := range []struct {
			want []uint32
			o    tokenizer.EncodeOptions
		}{
			{v.IDs[i], tokenizer.EncodeOptions{}},
			{v.WithSpecial[i], tokenizer.EncodeOptions{AddSpecialTokens: true}},
			{v.AsText[i], tokenizer.EncodeOptions{Special: tokenizer.SpecialAsText}},
		} {
			got, err := tok.Encode(text, c.o)
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("%q, %+v:\ngot  %d\nwant %d", text, c.o, got, c.want)
			}
		}
	}
	for i, list := range v.Lists {
		if got := tok.Decode(list, false); got != v.Decoded[i] {
			t.Errorf("decode %d: %q, want %q", list, got, v.Decoded[i])
		}
		if got := tok.Decode(list, true); got != v.Skipped[i] {
			t.Errorf("decode %d without special: %q, want %q", list, got, v.Skipped[i])
		}
	}
}
