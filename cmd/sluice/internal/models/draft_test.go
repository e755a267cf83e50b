package models

import (
	"strings"
	"testing"

	"github.com/sluiceml/sluice/tokenizer"
)

// TestSameVocabulary: every id must mean the same, and there must be as many.
func TestSameVocabulary(t *testing.T) {
	t.Parallel()
	vocabulary := func(tokens ...string) *tokenizer.Tokenizer {
		t.Helper()
		types := []tokenizer.TokenType{tokenizer.TokenControl}
		for range tokens[1:] {
			types = append(types, tokenizer.TokenNormal)
		}
		tok, err := tokenizer.FromVocabulary(tokenizer.Vocabulary{Model: "gpt2", Pre: "gpt-2", Tokens: tokens, Types: types})
		if err != nil {
			t.Fatal(err)
		}
		return tok
	}
	a := vocabulary("<end>", "a", "b", "c")
	if err := sameVocabulary(a, vocabulary("<end>", "a", "b", "c")); err != nil {
		t.Error(err)
	}
	for _, other := range []*tokenizer.Tokenizer{vocabulary("<end>", "a", "b"), vocabulary("<end>", "a", "b", "c", "d"), vocabulary("<end>", "a", "c", "b")} {
		if err := sameVocabulary(a, other); err == nil || !strings.Contains(err.Error(), "token ") {
			t.Errorf("got %v", err)
		}
	}
}
