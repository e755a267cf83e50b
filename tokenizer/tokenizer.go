package tokenizer

import (
	"github.com/sluiceml/sluice/tokenizer/bpe"
	"github.com/sluiceml/sluice/tokenizer/pretoken"
)

// Tokenizer encodes text into token ids and decodes them. It is immutable and safe for concurrent use.
type Tokenizer struct {
	tokens   []token           // by id
	ids      map[string]uint32 // by text, added tokens included
	special  []string          // texts of the special tokens, by id
	added    [2]*matcher       // found in the text as it came, and then in what is left of it; nil: none
	splitter pretoken.Splitter
	model    *bpe.Model
	prefix   []uint32
	suffix   []uint32
	scratch  pool
}

// token is an entry of the vocabulary.
type token struct {
	text    string
	raw     string // the bytes that it decodes to
	known   bool   // false: no token has this id
	special bool
}

// fill enters the vocabulary and returns the words for the merge engine.
func (t *Tokenizer) fill(vocab map[string]uint32, letters *alphabet) ([]bpe.Word, error) {
	words := make([]bpe.Word, 0, len(vocab))
	for text, id := range vocab {
		if other := t.tokens[id]; other.known {
			return nil, formatError("tokens %q and %q have the same id %d", min(text, other.text), max(text, other.text), id)
		}
		raw, ok := letters.bytesOf(text)
		if ok {
			words = append(words, bpe.Word{Text: raw, ID: id})
		} else {
			raw = text
		}
		t.tokens[id] = token{text: text, raw: raw, known: true}
	}
	return words, nil
}

// addTokens enters the added tokens.
func (t *Tokenizer) addTokens(added []addedToken, letters *alphabet) {
	var plain, normalized []addedToken
	for _, a := range added {
		raw, ok := letters.bytesOf(a.Content)
		if !ok {
			raw = a.Content
		}
		t.tokens[a.id] = token{text: a.Content, raw: raw, known: true, special: a.Special}
		t.ids[a.Content] = a.id
		if a.Normalized {
			normalized = append(normalized, a)
		} else {
			plain = append(plain, a)
		}
	}
	t.added = [2]*matcher{newMatcher(plain), newMatcher(normalized)}
	for _, tok := range t.tokens {
		if tok.special {
			t.special = append(t.special, tok.text)
		}
	}
}

// Size returns the number of ids, used or not: one more than the largest.
func (t *Tokenizer) Size() int { return len(t.tokens) }

// Token returns the text of a token as the vocabulary writes it: in a byte-level vocabulary a space is "Ġ". Ok is
// false for an id without a token.
func (t *Tokenizer) Token(id uint32) (text string, ok bool) {
	if uint64(id) >= uint64(len(t.tokens)) {
		return "", false
	}
	return t.tokens[id].text, t.tokens[id].known
}

// ID returns the id of a token, written as the vocabulary writes it.
func (t *Tokenizer) ID(token string) (id uint32, ok bool) {
	id, ok = t.ids[token]
	return id, ok
}

// Bytes returns a copy of the bytes that a token decodes to, which need not be valid UTF-8; nil for an id without a
// token.
func (t *Tokenizer) Bytes(id uint32) []byte {
	if raw := t.raw(id, false); raw != "" {
		return []byte(raw)
	}
	return nil
}

// raw returns the bytes that a token decodes to.
func (t *Tokenizer) raw(id uint32, skipSpecial bool) string {
	if uint64(id) >= uint64(len(t.tokens)) {
		return ""
	}
	tok := &t.tokens[id]
	if skipSpecial && tok.special {
		return ""
	}
	return tok.raw
}

// IsSpecial reports whether the token is a special one: a control token, which the model was trained on and no text
// of a user should make.
func (t *Tokenizer) IsSpecial(id uint32) bool {
	return uint64(id) < uint64(len(t.tokens)) && t.tokens[id].special
}

// SpecialTokens returns the texts of the special tokens in the order of their ids.
func (t *Tokenizer) SpecialTokens() []string { return append([]string(nil), t.special...) }
