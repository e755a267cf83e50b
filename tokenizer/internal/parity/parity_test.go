package parity

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/sluiceml/sluice/tokenizer"
	"github.com/sluiceml/sluice/tokenizer/normalize"
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
	run(t, py, oracle, "corpus", run(t, "go", "env", "GOROOT"), filepath.Join("testdata", "prose.txt"), corpus, strconv.Itoa(scale), path)
	run(t, py, oracle, "encode", path, corpus, ids)
	compareIDs(t, tok, corpus, ids, tokenizer.EncodeOptions{})
	run(t, py, oracle, "offsets", path, corpus, ids, strconv.Itoa(offsetsEvery))
	compareAllOffsets(t, tok, corpus, ids)

	lists, decoded := filepath.Join(dir, "lists"), filepath.Join(dir, "decoded")
	run(t, py, oracle, "ids", path, lists, strconv.Itoa(20000/scale))
	for _, skip := range []bool{false, true} {
		run(t, py, oracle, "decode", path, lists, decoded, map[bool]string{false: "0", true: "1"}[skip])
		compareTexts(t, tok, lists, decoded, skip)
	}
}

func compareIDs(t *testing.T, tok *tokenizer.Tokenizer, corpus, ids string, o tokenizer.EncodeOptions) {
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
		if got, err = tok.AppendEncode(got[:0], string(text), o); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(got, want) {
			if wrong++; wrong <= 5 {
				at := firstDifference(got, want)
				t.Errorf("text %d, %.200q: token %d differs:\ngot  %d\nwant %d", n, text, at, around(got, at), around(want, at))
			}
		}
	}
	if size < 30<<20/scale {
		t.Errorf("the corpus has only %d bytes", size)
	}
	t.Logf("%d texts, %d bytes, %d tokens: %d texts differ", n, size, tokens, wrong)
}

// offsetsEvery says of how many texts one is asked for its offsets, which take the reference long.
const offsetsEvery = 24

func compareAllOffsets(t *testing.T, tok *tokenizer.Tokenizer, corpus, offsets string) {
	t.Helper()
	texts, wants := openFrames(t, corpus), openFrames(t, offsets)
	n, wrong := 0, 0
	for i := 0; ; i++ {
		frame, ok := texts.next()
		if !ok {
			break
		}
		if i%offsetsEvery != 0 {
			continue
		}
		n++
		text := strings.ToValidUTF8(string(frame), "")
		want := unpack(wants.must())
		if text != string(frame) { // the reference counts in the text that was repaired
			continue
		}
		_, ranges, err := tok.EncodeOffsets(text, tokenizer.EncodeOptions{})
		if err != nil {
			t.Fatal(err)
		}
		got := make([]uint32, 0, len(want))
		for _, r := range ranges {
			got = append(got, uint32(r.Start), uint32(r.End))
		}
		if !slices.Equal(got, want) {
			if wrong++; wrong <= 5 {
				at := firstDifference(got, want)
				t.Errorf("offsets of text %d, %.200q: number %d differs:\ngot  %d\nwant %d", i, text, at, around(got, at), around(want, at))
			}
		}
	}
	t.Logf("offsets of %d texts: %d differ", n, wrong)
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

// TestForms asks the reference anew for normal forms and lower case, of every code point and of random texts.
func TestForms(t *testing.T) {
	skipShort(t)
	path := filepath.Join(t.TempDir(), "forms")
	run(t, python(t), oracle, "forms", path)
	f := openFrames(t, path)
	forms := []normalize.Normalizer{normalize.NFC, normalize.NFD, normalize.NFKC, normalize.NFKD, normalize.Lowercase{}}
	n := 0
	for {
		frame, ok := f.next()
		if !ok {
			break
		}
		var row []string
		if err := json.Unmarshal(frame, &row); err != nil {
			t.Fatal(err)
		}
		for i, form := range forms {
			n++
			for _, track := range []bool{false, true} {
				if got, err := form.Normalize(normalize.New(row[0], 0, track)); err != nil || got.Text != row[i+1] {
					t.Fatalf("form %d of %+q: %+q, %v, want %+q", i, row[0], got.Text, err, row[i+1])
				}
			}
		}
	}
	t.Logf("%d forms equal", n)
}

// TestVariants compares random small tokenizers of the byte-level kind that have every option.
func TestVariants(t *testing.T) {
	skipShort(t)
	compareVariants(t, "variants", chosen("6")...)
}

// TestPipelines compares random small tokenizers with parts of every supported kind.
func TestPipelines(t *testing.T) {
	skipShort(t)
	compareVariants(t, "pipelines", chosen("7")...)
}

// chosen returns the seed and the number of random tokenizers; SLUICE_RANDOM="SEED COUNT" makes others, or more.
func chosen(seed string) []string {
	if more := strings.Fields(os.Getenv("SLUICE_RANDOM")); len(more) == 2 {
		return more
	}
	return []string{seed, strconv.Itoa(400 / scale)}
}

func compareVariants(t *testing.T, kind string, more ...string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), kind)
	run(t, python(t), append([]string{oracle, kind, path}, more...)...)
	f := openFrames(t, path)
	n, texts, lists := 0, 0, 0
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
		texts, lists = texts+len(v.Texts), lists+len(v.Lists)
	}
	t.Logf("%d tokenizers equal, on %d texts encoded in three ways and %d lists of ids decoded in two", n, texts, lists)
}

// variant is a frame of oracle.py's variants.
type variant struct {
	Tokenizer      json.RawMessage `json:"tokenizer"`
	Texts          []string        `json:"texts"`
	IDs            [][]uint32      `json:"ids"`
	Offsets        [][][2]int      `json:"offsets"`
	WithSpecial    [][]uint32      `json:"with_special"`
	SpecialOffsets [][][2]int      `json:"special_offsets"`
	AsText         [][]uint32      `json:"as_text"`
	Lists          [][]uint32      `json:"lists"`
	Decoded        []string        `json:"decoded"`
	Skipped        []string        `json:"skipped"`
}

func (v *variant) compare(t *testing.T) {
	t.Helper()
	tok, err := tokenizer.FromJSON(v.Tokenizer)
	if err != nil {
		t.Fatalf("%v\n%s", err, v.Tokenizer)
	}
	for i, text := range v.Texts {
		for _, c := range []struct {
			want    []uint32
			offsets [][2]int
			o       tokenizer.EncodeOptions
		}{
			{v.IDs[i], v.Offsets[i], tokenizer.EncodeOptions{}},
			{v.WithSpecial[i], v.SpecialOffsets[i], tokenizer.EncodeOptions{AddSpecialTokens: true}},
			{v.AsText[i], nil, tokenizer.EncodeOptions{Special: tokenizer.SpecialAsText}},
		} {
			got, err := tok.Encode(text, c.o)
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("%q, %+v:\ngot  %d\nwant %d", text, c.o, got, c.want)
			}
			if c.offsets != nil {
				compareOffsets(t, tok, text, c.o, c.want, c.offsets)
			}
		}
	}
	for i, list := range v.Lists {
		compareDecoded(t, tok, list, false, v.Decoded[i])
		compareDecoded(t, tok, list, true, v.Skipped[i])
	}
}

func compareOffsets(t *testing.T, tok *tokenizer.Tokenizer, text string, o tokenizer.EncodeOptions, ids []uint32, want [][2]int) {
	t.Helper()
	got, ranges, err := tok.EncodeOffsets(text, o)
	if err != nil {
		t.Fatal(err)
	}
	same := slices.EqualFunc(ranges, want, func(r tokenizer.Range, w [2]int) bool { return r.Start == w[0] && r.End == w[1] })
	if !slices.Equal(got, ids) || !same {
		t.Errorf("%q, %+v, offsets of %d:\ngot  %v\nwant %v", text, o, got, ranges, want)
	}
}

func compareDecoded(t *testing.T, tok *tokenizer.Tokenizer, list []uint32, skip bool, want string) {
	t.Helper()
	if got := tok.Decode(list, skip); got != want {
		t.Errorf("decode %d, skip %t: %q, want %q", list, skip, got, want)
	}
	var parts strings.Builder
	stream := tok.NewDecoder(skip)
	for _, id := range list {
		parts.WriteString(stream.Add(id))
	}
	parts.WriteString(stream.Flush())
	if parts.String() != want {
		t.Errorf("stream %d, skip %t: %q, want %q", list, skip, parts.String(), want)
	}
}
