package tokenizer_test

import (
	"errors"
	"fmt"
	"testing"
	"unicode/utf8"

	"github.com/sluiceml/sluice/tokenizer"
)

// bare is a tokenizer.json with a small model; the two verbs are members of the model and of the whole.
const bare = `{"model": {"type": "BPE", "unk_token": "?", "byte_fallback": true, "merges": [],
	"vocab": {"?": 0, "a": 1, "b": 2, "<0x23>": 3, "<0x2F>": 4, "<0xC3>": 5, "<0xA9>": 6, "<0x63>": 7} %s} %s}`

// TestAffixBytes: where the bytes of a prefix or a suffix become tokens, these stand for nothing, and all ranges lie in
// the text, on characters. The reference gives places outside of the word there.
func TestAffixBytes(t *testing.T) {
	t.Parallel()
	const text = "\u00e9c a\u00e9c"
	for _, more := range []string{`, "continuing_subword_prefix": "#"`, `, "end_of_word_suffix": "/"`} {
		tok, err := tokenizer.FromJSON(fmt.Appendf(nil, bare, more, `, "pre_tokenizer": {"type": "WhitespaceSplit"}`))
		if err != nil {
			t.Fatal(err)
		}
		ids, ranges, err := tok.EncodeOffsets(text, tokenizer.EncodeOptions{})
		if err != nil || len(ids) < 8 {
			t.Fatalf("%d, %v", ids, err)
		}
		last := tokenizer.Range{}
		for _, r := range ranges {
			if r.Start < last.Start || r.End < last.End || r.End > len(text) || r.Start >= r.End || !utf8.ValidString(text[r.Start:r.End]) {
				t.Fatalf("%s: ranges %v of %d", more, ranges, ids)
			}
			last = r
		}
	}
}

// TestEmptyAddedToken: a token that the normalizer leaves nothing of would match everywhere.
func TestEmptyAddedToken(t *testing.T) {
	t.Parallel()
	_, err := tokenizer.FromJSON(fmt.Appendf(nil, bare, "", `, "normalizer": {"type": "Strip", "strip_left": true, "strip_right": true},
		"added_tokens": [{"id": 9, "content": "\n", "normalized": true}]`))
	if u, ok := errors.AsType[*tokenizer.UnsupportedError](err); !ok || u.Part != "added token" {
		t.Fatal(err)
	}
}
