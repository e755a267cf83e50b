package tokenizer_test

import (
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/sluiceml/sluice/tokenizer"
	"github.com/sluiceml/sluice/tokenizer/pretoken"
)

const ranks = "aA== 0\naQ== 1\naGk= 2\nIA== 3\n" // h, i, hi, space

// tekkenJSON is a tekken.json of three special tokens and the ranks above.
func tekkenJSON() string {
	var vocab []string
	for i, token := range []string{"h", "i", "hi", " "} {
		vocab = append(vocab, fmt.Sprintf(`{"rank": %d, "token_bytes": %q, "token_str": null}`, i, base64.StdEncoding.EncodeToString([]byte(token))))
	}
	return `{"config": {"pattern": "\\s+|\\S+", "num_vocab_tokens": 4, "default_vocab_size": 7, "default_num_special_tokens": 3, "version": "v3"}, "vocab": [` +
		strings.Join(vocab, ",") + `]}`
}

func write(t *testing.T, dir, name, data string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(data), 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestLoadKinds: a folder's tokenizer is found by what lies in it, a file's by its contents.
func TestLoadKinds(t *testing.T) {
	t.Parallel()
	for name, files := range map[string]map[string]string{
		"tekken":           {"tekken.json": tekkenJSON()},
		"vocab and merges": {"vocab.json": `{"h": 0, "i": 1, "hi": 2, "Ġ": 3, "<|endoftext|>": 4}`, "merges.txt": "#version: 0.2\nh i\n"},
		"the first":        {"tokenizer.json": base, "tekken.json": "{"},
	} {
		dir := t.TempDir()
		for file, data := range files {
			write(t, dir, file, data)
		}
		if _, err := tokenizer.Load(dir); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	dir := t.TempDir()
	write(t, dir, "any.name", tekkenJSON())
	tok, err := tokenizer.Load(filepath.Join(dir, "any.name"))
	if err != nil {
		t.Fatal(err)
	}
	ids, err := tok.Encode("hi hih", tokenizer.EncodeOptions{AddSpecialTokens: true})
	if err != nil || !slices.Equal(ids, []uint32{1, 5, 6, 5, 3}) || tok.Decode(ids, true) != "hi hih" {
		t.Errorf("%d, %v, %q", ids, err, tok.Decode(ids, true))
	}
	if notes := tok.Notes(); len(notes) != 1 || !strings.Contains(notes[0], `\\s+|\\S+`) {
		t.Errorf("notes %q", notes)
	}
	write(t, dir, "x.tiktoken", ranks)
	if _, err := tokenizer.Load(filepath.Join(dir, "x.tiktoken")); err == nil || !strings.Contains(err.Error(), "FromTiktoken") {
		t.Errorf("ranks without a pattern: %v", err)
	}
}

func TestTiktokenRefused(t *testing.T) {
	t.Parallel()
	for _, data := range []string{"", "aA==\n", "aA== x\n", "aA== -1\n", "!! 0\n", "aA== 0\naA== 1\n", "aA== 0\naQ== 0\n", "aA== 4000000000\n", "aA== 2000000000\n", " 0\n1"} {
		if _, err := tokenizer.FromTiktoken([]byte(data), tokenizer.Tiktoken{Pattern: pretoken.GPT2}); err == nil {
			t.Errorf("%q is accepted", data)
		}
	}
	var unsupported *tokenizer.UnsupportedError
	if _, err := tokenizer.FromTiktoken([]byte(ranks), tokenizer.Tiktoken{Pattern: `(a)\1`}); !errors.As(err, &unsupported) {
		t.Errorf("%v", err)
	}
	for _, data := range []string{
		"", "{}", `{"config": {}}`, `{"config": {"default_vocab_size": 9, "default_num_special_tokens": 1}, "vocab": []}`,
		strings.Replace(tekkenJSON(), `"rank": 3`, `"rank": 30`, 1), strings.Replace(tekkenJSON(), `_size": 7`, `_size": -7`, 1),
		strings.Replace(tekkenJSON(), `"vocab"`, `"special_tokens": [{"rank": 9, "token_str": "x"}], "vocab"`, 1),
	} {
		if _, err := tokenizer.FromTekken([]byte(data)); err == nil {
			t.Errorf("%q is accepted", data)
		}
	}
}

// TestScores: the kind "llama" merges by score, of equals the leftmost, and writes unknown characters as bytes.
func TestScores(t *testing.T) {
	t.Parallel()
	tokens := []string{"<unk>", "<s>", "▁", "a", "b", "aa", "aaa", "▁a", "<0xC3>", "<0xA9>"}
	types := []tokenizer.TokenType{2, 3, 1, 1, 1, 1, 1, 1, 6, 6}
	bos, unk := uint32(1), uint32(0)
	v := tokenizer.Vocabulary{
		Model: "llama", Tokens: tokens, Types: types, Scores: []float32{0, 0, -5, -6, -7, -1, -2, -3, 0, 0}, BOS: &bos, UNK: &unk, AddBOS: true,
	}
	tok, err := tokenizer.FromVocabulary(v)
	if err != nil {
		t.Fatal(err)
	}
	data, err := v.TokenizerJSON()
	if err != nil {
		t.Fatal(err)
	}
	again, err := tokenizer.FromJSON(data)
	if err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string][]uint32{
		"":       {1},
		"a":      {1, 7},
		"aaaaa":  {1, 2, 5, 6}, // two of "aa" and an "a" at first
		"é b<s>": {1, 2, 8, 9, 2, 4, 1},
		"c":      {1, 2, 0},
	} {
		for _, tok := range []*tokenizer.Tokenizer{tok, again} {
			got, err := tok.Encode(text, tokenizer.EncodeOptions{AddSpecialTokens: true})
			if err != nil || !slices.Equal(got, want) {
				t.Errorf("%q: %d, want %d (%v)", text, got, want, err)
			}
		}
	}
	if got := string(tok.Bytes(8)); got != "\xc3" {
		t.Errorf("the bytes of <0xC3> are %q", got)
	}
	if got := string(tok.Bytes(7)); got != " a" {
		t.Errorf("the bytes of ▁a are %q", got)
	}
	v.Scores = v.Scores[1:]
	if _, err := tokenizer.FromVocabulary(v); err == nil {
		t.Error("a score is missing")
	}
}

// FuzzSources: no file of any kind panics, and what loads encodes and decodes.
func FuzzSources(f *testing.F) {
	f.Add([]byte(ranks), []byte("h i"), "hi, hi")
	f.Add([]byte(tekkenJSON()), []byte("#version: 0.2\n"), "hi")
	f.Add([]byte(`{"h": 0, "i": 1, "hi": 2}`), []byte("h i\n"), "hi")
	f.Fuzz(func(_ *testing.T, data, merges []byte, text string) {
		var toks []*tokenizer.Tokenizer
		if tok, err := tokenizer.FromTiktoken(data, tokenizer.Tiktoken{Pattern: pretoken.CL100K, NFC: true}); err == nil {
			toks = append(toks, tok)
		}
		if tok, err := tokenizer.FromVocabMerges(data, merges); err == nil {
			toks = append(toks, tok)
		}
		// A pattern that backtracks without end is the file's own fault, and no finding.
		if strings.Count(string(data), "pattern") < 2 && strings.Contains(string(data), `"pattern": "\\s+|\\S+"`) {
			if tok, err := tokenizer.FromTekken(data); err == nil {
				toks = append(toks, tok)
			}
		}
		for _, tok := range toks {
			if ids, err := tok.Encode(text, tokenizer.EncodeOptions{AddSpecialTokens: true}); err == nil {
				_ = tok.Decode(ids, true)
			}
		}
	})
}
