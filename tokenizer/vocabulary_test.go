package tokenizer_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluiceml/sluice/tokenizer"
)

// goldenVocabulary takes the vocabulary out of a golden tokenizer.json.
func goldenVocabulary(t *testing.T, name, pre string) tokenizer.Vocabulary {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name+".json"))
	if err != nil {
		t.Fatal(err)
	}
	var f struct {
		AddedTokens []struct {
			ID uint32 `json:"id"`
		} `json:"added_tokens"`
		Model struct {
			Merges [][2]string `json:"merges"`
		} `json:"model"`
	}
	if err := json.Unmarshal(data, &f); err != nil {
		t.Fatal(err)
	}
	tok := load(t, name)
	v := tokenizer.Vocabulary{Pre: pre}
	for id := range uint32(tok.Size()) {
		text, _ := tok.Token(id)
		v.Tokens = append(v.Tokens, text)
		v.Types = append(v.Types, tokenizer.TokenNormal)
	}
	for _, a := range f.AddedTokens {
		v.Types[a.ID] = tokenizer.TokenControl
	}
	for _, m := range f.Model.Merges {
		v.Merges = append(v.Merges, m[0]+" "+m[1])
	}
	return v
}

// TestVocabulary: a vocabulary given as values, and the tokenizer.json written from it, encode as the golden vectors say.
func TestVocabulary(t *testing.T) {
	t.Parallel()
	for name, pre := range map[string]string{"smollm": "smollm", "gpt2": "gpt-2"} {
		v := goldenVocabulary(t, name, pre)
		values, err := tokenizer.FromVocabulary(v)
		if err != nil {
			t.Fatal(err)
		}
		data, err := v.TokenizerJSON()
		if err != nil {
			t.Fatal(err)
		}
		if again, err := v.TokenizerJSON(); err != nil || !bytes.Equal(data, again) {
			t.Errorf("the second writing differs: %v", err)
		}
		if !json.Valid(data) {
			t.Errorf("not JSON: %s", data)
		}
		written, err := tokenizer.FromJSON(data)
		if err != nil {
			t.Fatal(err)
		}
		for _, vec := range vectors(t, name) {
			vec.check(t, values)
			vec.check(t, written)
		}
	}
}

// TestVocabularyAdds: BOS and EOS are added, control tokens are special, user-defined ones are not, unused have no id.
func TestVocabularyAdds(t *testing.T) {
	t.Parallel()
	bos, eos := uint32(3), uint32(4)
	v := tokenizer.Vocabulary{
		Tokens: []string{"a", "b", "ab", "<s>", "</s>", "<think>", "[PAD]"},
		Types: []tokenizer.TokenType{
			tokenizer.TokenNormal, tokenizer.TokenNormal, tokenizer.TokenNormal, tokenizer.TokenControl,
			tokenizer.TokenControl, tokenizer.TokenUserDefined, tokenizer.TokenUnused,
		},
		Merges: []string{"a b"}, Pre: "gpt-2", BOS: &bos, EOS: &eos, AddBOS: true, AddEOS: true,
	}
	values, err := tokenizer.FromVocabulary(v)
	if err != nil {
		t.Fatal(err)
	}
	data, err := v.TokenizerJSON()
	if err != nil {
		t.Fatal(err)
	}
	written, err := tokenizer.FromJSON(data)
	if err != nil {
		t.Fatal(err)
	}
	for _, tok := range []*tokenizer.Tokenizer{values, written} {
		got, err := tok.Encode("ab<think>a[PAD]b</s>", tokenizer.EncodeOptions{AddSpecialTokens: true})
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff([]uint32{3, 2, 5, 0, 1, 4, 4}, got); d != "" {
			t.Error(d)
		}
		if tok.IsSpecial(5) || !tok.IsSpecial(3) {
			t.Error("special tokens are not those of the types")
		}
		if d := cmp.Diff([]string{"<s>", "</s>"}, tok.SpecialTokens()); d != "" {
			t.Error(d)
		}
		if got := tok.Decode([]uint32{3, 2, 6, 5}, true); got != "ab<think>" {
			t.Errorf("decoded %q", got)
		}
	}
}

func TestVocabularyRefused(t *testing.T) {
	t.Parallel()
	normal := func() tokenizer.Vocabulary {
		return tokenizer.Vocabulary{Tokens: []string{"a", "b", "ab"}, Merges: []string{"a b"}, Pre: "gpt-2"}
	}
	if _, err := tokenizer.FromVocabulary(normal()); err != nil {
		t.Fatal(err)
	}
	far := uint32(9)
	for name, change := range map[string]func(*tokenizer.Vocabulary){
		"pre":       func(v *tokenizer.Vocabulary) { v.Pre = "unheard-of" },
		"no pre":    func(v *tokenizer.Vocabulary) { v.Pre = "" },
		"byte type": func(v *tokenizer.Vocabulary) { v.Types = []tokenizer.TokenType{1, 1, tokenizer.TokenByte} },
	} {
		v := normal()
		change(&v)
		var unsupported *tokenizer.UnsupportedError
		if _, err := tokenizer.FromVocabulary(v); !errors.As(err, &unsupported) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, change := range map[string]func(*tokenizer.Vocabulary){
		"types":        func(v *tokenizer.Vocabulary) { v.Types = []tokenizer.TokenType{1} },
		"unknown type": func(v *tokenizer.Vocabulary) { v.Types = []tokenizer.TokenType{1, 1, 77} },
		"twice":        func(v *tokenizer.Vocabulary) { v.Tokens = append(v.Tokens, "a") },
		"merge":        func(v *tokenizer.Vocabulary) { v.Merges = []string{"ab"} },
		"merge of 3":   func(v *tokenizer.Vocabulary) { v.Merges = []string{"a b ab"} },
		"out of it":    func(v *tokenizer.Vocabulary) { v.Merges = []string{"b a"} },
		"no BOS":       func(v *tokenizer.Vocabulary) { v.AddBOS = true },
		"far EOS":      func(v *tokenizer.Vocabulary) { v.AddEOS, v.EOS = true, &far },
	} {
		v := normal()
		change(&v)
		if _, err := tokenizer.FromVocabulary(v); err == nil {
			t.Errorf("%s is accepted", name)
		}
		if _, err := v.TokenizerJSON(); err == nil {
			t.Errorf("%s is written", name)
		}
	}
}

// TestPreTypes: the names of pre-tokenizers that llama.cpp knows load, as a tokenizer.json too, but for two: "afmoe" groups
// digits from the end in code of its own, and "whitespace" drops what a later decoder cannot bring back. Package
// internal/parity reads the list from llama.cpp's source.
func TestPreTypes(t *testing.T) {
	t.Parallel()
	refused := map[string]bool{"afmoe": true, "whitespace": true, "": true, "no such name": true}
	for name := range strings.FieldsSeq("superbpe tiny_aya cohere2moe spark2_5 youtu chameleon granite-embed-multi-97m gpt-2 smollm llama-bpe " +
		"tekken gemma4 deepseek-llm deepseek-coder deepseek-v3 falcon default bloom viking kimi-k2 jais-2 exaone-moe minicpm5 afmoe whitespace") {
		v := tokenizer.Vocabulary{Pre: name, Tokens: []string{"a", "1", "\u0120", "\u2581"}}
		tok, err := tokenizer.FromVocabulary(v)
		if _, unsupported := errors.AsType[*tokenizer.UnsupportedError](err); unsupported != refused[name] || (err != nil) != refused[name] {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if err != nil {
			continue
		}
		want, err := tok.Encode("a1 aa 1111\n", tokenizer.EncodeOptions{})
		if err != nil || len(want) < 8 {
			t.Errorf("%s: %d, %v", name, want, err)
		}
		data, err := v.TokenizerJSON()
		if err != nil {
			t.Fatal(err)
		}
		if tok, err = tokenizer.FromJSON(data); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got, err := tok.Encode("a1 aa 1111\n", tokenizer.EncodeOptions{}); err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: as tokenizer.json %d, %v, want %d", name, got, err, want)
		}
	}
}

// FuzzFromVocabulary: no values make a vocabulary panic, and what loads encodes, decodes, and is the same when it is
// written as a tokenizer.json. Texts are separated by spaces; a token's type and score are bytes.
func FuzzFromVocabulary(f *testing.F) {
	f.Add("gpt2", "gpt-2", "a b ab", []byte("\x01\x01\x01"), "a b", uint32(0), "abab")
	f.Add("llama", "", "<unk> \u2581 a b ab \u2581ab <0x00>", []byte("\x02\x01\x01\x01\x01\x01\x06"), "", uint32(0), " ab\u00e9")
	f.Add("gemma4", "", "a b ab \u2581", []byte("\x01\x04\x03\x05"), "a b\na ab", uint32(1<<31), "a\nb")
	f.Add("llama", "", "a a", []byte{}, " \n", uint32(1<<32-1), "")
	f.Fuzz(func(t *testing.T, model, pre, tokens string, types []byte, merges string, special uint32, text string) {
		v := tokenizer.Vocabulary{Model: model, Pre: pre, Tokens: strings.Split(tokens, " "), BOS: &special, UNK: &special, AddBOS: special&1 == 1}
		for i := range v.Tokens {
			v.Scores = append(v.Scores, float32(i%7))
		}
		for i, b := range types {
			v.Types = append(v.Types, tokenizer.TokenType(b))
			if i < len(v.Scores) {
				v.Scores[i] = math.Float32frombits(uint32(b) << 23) // NaN and infinities too
			}
		}
		if merges != "" {
			v.Merges = strings.Split(merges, "\n")
		}
		tok, err := tokenizer.FromVocabulary(v)
		if err != nil {
			return
		}
		ids, err := tok.Encode(text, tokenizer.EncodeOptions{AddSpecialTokens: true})
		if err != nil {
			t.Fatal(err)
		}
		_ = tok.Decode(ids, false)
		data, err := v.TokenizerJSON()
		if err != nil {
			return // texts that are not UTF-8
		}
		if again, err := tokenizer.FromJSON(data); err == nil {
			if got, err := again.Encode(text, tokenizer.EncodeOptions{AddSpecialTokens: true}); err != nil || !slices.Equal(got, ids) {
				t.Fatalf("%d, %v as tokenizer.json, want %d:\n%s", got, err, ids, data)
			}
		}
	})
}
