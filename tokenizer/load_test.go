package tokenizer_test

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sluiceml/sluice/tokenizer"
)

// base is a tokenizer.json to vary.
const base = `{
  "version": "1.0", "truncation": null, "padding": null,
  "added_tokens": [{"id": 3, "content": "<s>", "special": true}],
  "normalizer": null,
  "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false},
  "post_processor": null,
  "decoder": {"type": "ByteLevel"},
  "model": {"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2}, "merges": [["a", "b"]]}
}`

// with replaces a part of base.
func with(t *testing.T, part, value string) []byte {
	t.Helper()
	var f map[string]json.RawMessage
	if err := json.Unmarshal([]byte(base), &f); err != nil {
		t.Fatal(err)
	}
	f[part] = json.RawMessage(value)
	data, err := json.Marshal(f)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestUnsupported(t *testing.T) {
	t.Parallel()
	bpe := func(more string) string {
		return `{"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2}, "merges": ["a b"]` + more + `}`
	}
	for _, c := range []struct{ part, value, name string }{
		{"version", `"2.0"`, "2.0"},
		{"truncation", `{"max_length": 5, "strategy": "LongestFirst"}`, "max_length"},
		{"padding", `{"strategy": "BatchLongest"}`, "BatchLongest"},
		{"normalizer", `{"type": "BertNormalizer"}`, "BertNormalizer"},
		{"normalizer", `{"type": "Sequence", "normalizers": [{"type": "StripAccents"}]}`, "StripAccents"},
		{"normalizer", `{"type": "Precompiled", "precompiled_charsmap": "AA=="}`, "Precompiled"},
		{"normalizer", `{"type": "Replace", "pattern": {"String": ""}, "content": "x"}`, "empty pattern"},
		{"normalizer", `{"type": "Replace", "pattern": {"Regex": "(?x) a"}, "content": "x"}`, "(?x)"},
		{"pre_tokenizer", `{"type": "UnicodeScripts"}`, "UnicodeScripts"},
		{"pre_tokenizer", `{"type": "Sequence", "pretokenizers": [{"type": "CharDelimiterSplit", "delimiter": "x"}, {"type": "ByteLevel"}]}`, "CharDelimiterSplit"},
		{"pre_tokenizer", split(`{"Regex": "[a&&b]"}`, "Isolated"), `&&`},
		{"pre_tokenizer", split(`{"Regex": "(a)\\1"}`, "Isolated"), `\\1`},
		{"post_processor", `{"type": "TemplateProcessing", "single": [{"Sequence": {"id": "B"}}], "special_tokens": {}}`, "$A"},
		{"post_processor", `{"type": "TemplateProcessing", "single": [], "special_tokens": {}}`, "$A"},
		{"decoder", `{"type": "WordPiece"}`, "WordPiece"},
		{"decoder", `{"type": "Sequence", "decoders": [{"type": "CTC"}]}`, "CTC"},
		{"model", `{"type": "Unigram", "vocab": [["a", 0.5]]}`, "Unigram"},
		{"model", `{"type": "WordPiece", "vocab": {"a": 0}, "merges": []}`, "WordPiece"},
		{"model", bpe(`, "dropout": 0.1`), "dropout"},
	} {
		_, err := tokenizer.FromJSON(with(t, c.part, c.value))
		var unsupported *tokenizer.UnsupportedError
		if !errors.As(err, &unsupported) || !strings.Contains(err.Error(), c.name) {
			t.Errorf("%s %s: %v, want an UnsupportedError with %q", c.part, c.value, err, c.name)
		}
	}
}

func split(pattern, behavior string) string {
	return `{"type": "Sequence", "pretokenizers": [{"type": "Split", "pattern": ` + pattern +
		`, "behavior": "` + behavior + `", "invert": false}, {"type": "ByteLevel", "use_regex": false}]}`
}

func TestMalformed(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ part, value string }{
		{"model", `{"type": "BPE", "vocab": {"a": 0}, "merges": [["a", "c"]]}`},
		{"model", `{"type": "BPE", "vocab": {"a": 0, "b": 1}, "merges": [["a", "b"]]}`},
		{"model", `{"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2}, "merges": ["a b c"]}`},
		{"model", `{"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2}, "merges": ["ab"]}`},
		{"model", `{"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2}, "merges": [["a", "b", "a"]]}`},
		{"model", `{"type": "BPE", "vocab": {"a": 0, "b": 0}, "merges": []}`},
		{"model", `{"type": "BPE", "vocab": {"a": 4294967295}, "merges": []}`},
		{"model", `{"type": "BPE", "vocab": {"a": -1}, "merges": []}`},
		{"model", `{"type": "BPE", "vocab": {"a": 0}, "unk_token": "x", "merges": []}`},
		{"model", `{"type": "BPE", "vocab": {"a": 0}}`},
		{"model", `{"type": "BPE", "merges": []}`},
		{"model", `{"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2}, "merges": ["a b"], "continuing_subword_prefix": "##"}`},
		{"model", `{"type": "BPE", "vocab": {"a": 0.5}, "merges": []}`},
		{"model", `{"type": "BPE", "vocab": {"\ud800": 0}, "merges": []}`},
		{"pre_tokenizer", `{"type": "Metaspace"}`},
		{"pre_tokenizer", `{"type": "Metaspace", "replacement": "ab"}`},
		{"pre_tokenizer", `{"type": "Metaspace", "replacement": "_", "prepend_scheme": "always", "add_prefix_space": false}`},
		{"pre_tokenizer", `{"type": "Split", "pattern": {"String": "a"}, "behavior": "Sideways", "invert": false}`},
		{"pre_tokenizer", `{"type": "Split", "pattern": {}, "behavior": "Isolated", "invert": false}`},
		{"decoder", `{"type": "Strip", "content": "ab", "start": 1, "stop": 0}`},
		{"decoder", `{"type": "Strip", "content": "a", "start": -1, "stop": 0}`},
		{"model", `null`},
		{"model", `[]`},
		{"added_tokens", `[{"content": 5}]`},
		{"pre_tokenizer", `"ByteLevel"`},
		{"post_processor", `{"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "x"}}, {"Sequence": {"id": "A"}}], "special_tokens": {}}`},
		{"post_processor", `{"type": "TemplateProcessing", "single": [{}], "special_tokens": {}}`},
		{"post_processor", `{"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "x"}}, {"Sequence": {"id": "A"}}], "special_tokens": {"x": {"ids": [99]}}}`},
	} {
		if _, err := tokenizer.FromJSON(with(t, c.part, c.value)); err == nil {
			t.Errorf("%s %s is accepted", c.part, c.value)
		}
	}
	for _, vocab := range []string{`{"a": 01}`, `{"a": 0,}`, `{"a" 0}`, `{"a": 0 "b": 1}`, `{,}`, `{"a": 0`, `{"a": }`, `{"\x": 0}`, `{"\u12g4": 0}`, "{\"\n\": 0}", `{"a": 0}}`} {
		data := strings.Replace(base, `{"a": 0, "b": 1, "ab": 2}, "merges": [["a", "b"]]`, vocab+`, "merges": []`, 1)
		if _, err := tokenizer.FromJSON([]byte(data)); err == nil {
			t.Errorf("vocab %s is accepted", vocab)
		}
	}
	for _, data := range []string{"", "null", "{}", "[]", "\xff", base[:100], strings.Repeat(`{"model":`, 20000)} {
		if _, err := tokenizer.FromJSON([]byte(data)); err == nil {
			t.Errorf("%.50q is accepted", data)
		}
	}
}

// TestNested: sequences in sequences are read, to a bound.
func TestNested(t *testing.T) {
	t.Parallel()
	nest := func(depth int) string {
		return strings.Repeat(`{"type": "Sequence", "pretokenizers": [`, depth) + `{"type": "ByteLevel"}` + strings.Repeat(`]}`, depth)
	}
	if _, err := tokenizer.FromJSON(with(t, "pre_tokenizer", nest(3))); err != nil {
		t.Error(err)
	}
	if _, err := tokenizer.FromJSON(with(t, "pre_tokenizer", nest(1000))); err == nil {
		t.Error("1000 sequences in each other are accepted")
	}
}

// TestGPT2Split: the pattern as a Split is the one built into ByteLevel.
func TestGPT2Split(t *testing.T) {
	t.Parallel()
	const pattern = `{"Regex": "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+"}`
	if _, err := tokenizer.FromJSON(with(t, "pre_tokenizer", split(pattern, "Isolated"))); err != nil {
		t.Error(err)
	}
}

func TestLoadFolder(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if _, err := tokenizer.Load(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("empty folder: %v", err)
	}
	path := filepath.Join(dir, "tokenizer.json")
	if err := os.WriteFile(path, []byte(base), 0o600); err != nil {
		t.Fatal(err)
	}
	tok, err := tokenizer.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	if tok.Size() != 4 || len(tok.SpecialTokens()) != 1 || !tok.IsSpecial(3) {
		t.Errorf("size %d, special %q", tok.Size(), tok.SpecialTokens())
	}
	if id, ok := tok.ID("ab"); !ok || id != 2 {
		t.Errorf("ab is %d, %t", id, ok)
	}
	if err := os.WriteFile(path, []byte(`{"model": null}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := tokenizer.Load(dir); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("the error does not name the file: %v", err)
	}
}

// FuzzFromJSON: no input panics, and what loads can encode and decode.
func FuzzFromJSON(f *testing.F) {
	f.Add([]byte(base), "ab<s>")
	for _, name := range goldens() {
		data, err := os.ReadFile(filepath.Join("testdata", name+".json"))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data, "the <s> word 12")
	}
	for _, c := range hostile() {
		if value := c.value; len(value) < 1<<12 {
			f.Add([]byte(strings.Replace(base, fieldOf(f, c.part), `"`+c.part+`": `+value, 1)), "aaab")
		}
	}
	f.Fuzz(func(_ *testing.T, data []byte, text string) {
		if len(text) > 1<<10 { // a pattern may take seconds
			return
		}
		tok, err := tokenizer.FromJSON(data)
		if err != nil {
			return
		}
		ids, err := tok.Encode(text, tokenizer.EncodeOptions{AddSpecialTokens: true})
		if err == nil {
			_ = tok.Decode(ids, true)
		}
	})
}

// TestLimits: a file of moderate size does not take immoderate memory or time.
func TestLimits(t *testing.T) {
	t.Parallel()
	const model = `"model": {"type": "BPE", "vocab": {"a": 0}, "merges": []}`
	long := strings.Repeat("a", 5000)
	for name, file := range map[string]string{
		"components":          `{"normalizer": {"type": "Sequence", "normalizers": [` + strings.Repeat(`{"type": "NFC"},`, 300) + `{"type": "NFC"}]}, ` + model + `}`,
		"bytes each":          `{"added_tokens": [{"content": "` + long + `"}], ` + model + `}`,
		"adds more than":      `{"post_processor": {"type": "TemplateProcessing", "single": [` + strings.Repeat(`{"SpecialToken": {"id": "x"}},`, 200) + `{"Sequence": {"id": "A"}}], "special_tokens": {"x": {"ids": [` + strings.Repeat("0,", 200) + `0]}}}, ` + model + `}`,
		"a pattern of":        `{"pre_tokenizer": {"type": "Split", "pattern": {"Regex": "` + long + long + `"}, "behavior": "Isolated"}, ` + model + `}`,
		"too deep":            `{"x": ` + strings.Repeat("[", 20000) + strings.Repeat("]", 20000) + `, ` + model + `}`,
		"id 70000 is too":     `{"model": {"type": "BPE", "vocab": {"a": 70000}, "merges": []}}`,
		"Sequence is not":     `{"normalizer": ` + strings.Repeat(`{"type": "Sequence", "normalizers": [`, 20) + strings.Repeat("]}", 20) + `, ` + model + `}`,
		"malformed JSON":      `{"x": [1, 2,], ` + model + `}`,
		"is not two tokens":   `{"model": {"type": "BPE", "vocab": {"a": 0}, "merges": ["aa"]}}`,
		"is not supported":    `{"added_tokens": [` + strings.TrimSuffix(strings.Repeat(`{"content": "`+long[:4000]+`"},`, 2200), ",") + `], ` + model + `}`,
		"unknown token \"?\"": `{"model": {"type": "BPE", "unk_token": "?", "vocab": {"a": 0}, "merges": []}}`,
	} {
		if _, err := tokenizer.FromJSON([]byte(file)); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %.200v", name, err)
		}
	}
	if _, err := tokenizer.FromTiktoken([]byte(base64.StdEncoding.EncodeToString([]byte(long))+" 0\n"), tokenizer.Tiktoken{Pattern: `\s+|\S+`}); err == nil {
		t.Error("ranks with a token of 5000 bytes load")
	}
	if _, err := tokenizer.FromTekken([]byte(`{"config": {"pattern": "a", "default_vocab_size": 2000000001, "default_num_special_tokens": 2000000000}, "vocab": [{"rank": 0, "token_bytes": "YQ=="}]}`)); err == nil {
		t.Error("a tekken.json of two thousand million special tokens loads")
	}
	for _, vocab := range []string{"{\"a\": 0, \"\xff\": 1}", `{"a": 0} x`} {
		if _, err := tokenizer.FromVocabMerges([]byte(vocab), nil); err == nil {
			t.Errorf("%q loads", vocab)
		}
	}
}
