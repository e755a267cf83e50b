package tokenizer

import (
	"github.com/sluiceml/sluice/tokenizer/bpe"
	"github.com/sluiceml/sluice/tokenizer/normalize"
)

// Tokenizer encodes text into token ids and decodes them. It is immutable and safe for concurrent use.
type Tokenizer struct {
	vocab      *vocab
	special    []string             // texts of the special tokens, by id
	added      [2]*matcher          // found in the text as it came, and then in normalized text; nil: none
	normalizer normalize.Normalizer // nil: none
	steps      []step               // pre-tokenization
	model      *bpe.Model
	letters    *alphabet  // nil: the model is over characters, and not over bytes
	symbols    *symbols   // how the first symbols are made; nil: every byte has one
	cuts       *junctions // nil: a word of the model is not cut
	whole      bool       // a word that is a token is that token, before it is cut or merged
	prefix     []uint32
	suffix     []uint32
	trims      []trim
	decoder    chain
	lines      bool // the steps are a scanner alone that cuts at line ends
	spans      bool // pre-tokenization asks where text came from
	timed      bool // a normalizer or pre-tokenizer has a pattern that backtracks
	notes      []string
	pool       pool
}

// Size returns the number of ids, used or not: one more than the largest.
func (t *Tokenizer) Size() int { return len(t.vocab.tokens) }

// Token returns the text of a token as the vocabulary writes it: in a byte-level vocabulary a space is "Ġ". Ok is
// false for an id without a token.
func (t *Tokenizer) Token(id uint32) (text string, ok bool) {
	if uint64(id) >= uint64(len(t.vocab.tokens)) {
		return "", false
	}
	tok := &t.vocab.tokens[id]
	return tok.text, tok.known
}

// ID returns the id of a token, written as the vocabulary writes it.
func (t *Tokenizer) ID(token string) (id uint32, ok bool) { return t.vocab.find(token) }

// Bytes returns a copy of the bytes that a token decodes to in the middle of a text, which need not be valid UTF-8;
// nil for an id without a token.
func (t *Tokenizer) Bytes(id uint32) []byte {
	raw := t.raw(id, false)
	if text, ok := t.decoded(id, false); ok && !t.decoder.byteLevel {
		raw = t.decoder.rawOf(text, newAlphabet())
	}
	if raw != "" {
		return []byte(raw)
	}
	return nil
}

// raw returns the bytes that a token of a byte-level decoder decodes to.
func (t *Tokenizer) raw(id uint32, skipSpecial bool) string {
	if uint64(id) >= uint64(len(t.vocab.tokens)) {
		return ""
	}
	tok := &t.vocab.tokens[id]
	if skipSpecial && tok.special {
		return ""
	}
	return tok.raw
}

// IsSpecial reports whether the token is a special one: a control token, which the model was trained on and no text
// of a user should make.
func (t *Tokenizer) IsSpecial(id uint32) bool {
	return uint64(id) < uint64(len(t.vocab.tokens)) && t.vocab.tokens[id].special
}

// SpecialTokens returns the texts of the special tokens in the order of their ids.
func (t *Tokenizer) SpecialTokens() []string { return append([]string(nil), t.special...) }

// Notes says what an operator should know about how the tokenizer works, such as a pattern that has no fast scanner.
// Most tokenizers have none.
func (t *Tokenizer) Notes() []string { return append([]string(nil), t.notes...) }
