package tokenizer

import (
	"fmt"
	"math"

	"github.com/sluiceml/sluice/tokenizer/pretoken"
)

// TokenType says what a token of a vocabulary is. The numbers are those of GGUF's tokenizer.ggml.token_type.
type TokenType int32

// The token types.
const (
	TokenNormal      TokenType = 1
	TokenUnknown     TokenType = 2
	TokenControl     TokenType = 3 // a special token, such as a BOS
	TokenUserDefined TokenType = 4 // an added token that is not special
	TokenUnused      TokenType = 5 // a filler without meaning
	TokenByte        TokenType = 6 // of vocabularies that are not byte-level
)

// Vocabulary is a byte-level BPE vocabulary given as values, as the metadata of a GGUF file hold it.
type Vocabulary struct {
	Tokens []string    // by id, as the vocabulary writes them ("Ġthe"): tokenizer.ggml.tokens
	Types  []TokenType // by id; nil: all are normal: tokenizer.ggml.token_type
	Merges []string    // by rank, two tokens with a space between: tokenizer.ggml.merges
	Pre    string      // the name of the pre-tokenizer, "gpt-2" or "smollm": tokenizer.ggml.pre
	BOS    *uint32     // nil: none
	EOS    *uint32
	UNK    *uint32 // noted by the file, but not used in encoding: bytes without a token are dropped
	PAD    *uint32
	AddBOS bool // AddSpecialTokens puts BOS before a text: tokenizer.ggml.add_bos_token
	AddEOS bool // and EOS after it: tokenizer.ggml.add_eos_token
}

// FromVocabulary makes a tokenizer from a vocabulary. A pre-tokenizer that is not known is refused with an
// [UnsupportedError].
func FromVocabulary(v Vocabulary) (*Tokenizer, error) {
	d, err := v.definition()
	if err != nil {
		return nil, err
	}
	return d.build()
}

// preDigits says which names stand for the Digits pre-tokenizer before ByteLevel; the others for ByteLevel alone.
func (v *Vocabulary) preDigits() (bool, error) {
	switch v.Pre {
	case "gpt-2":
		return false, nil
	case "smollm":
		return true, nil
	}
	return false, &UnsupportedError{Part: "pre-tokenizer", Name: fmt.Sprintf("%q", v.Pre)}
}

// definition checks the vocabulary.
func (v *Vocabulary) definition() (*definition, error) {
	individual, err := v.preDigits()
	if err != nil {
		return nil, err
	}
	if v.Types != nil && len(v.Types) != len(v.Tokens) {
		return nil, formatError("%d tokens and %d token types", len(v.Tokens), len(v.Types))
	}
	if len(v.Tokens) >= math.MaxInt32 {
		return nil, formatError("%d tokens are too many", len(v.Tokens))
	}
	d := &definition{vocab: make(map[string]uint32, len(v.Tokens))}
	d.splitter, _ = pretoken.Lookup(pretoken.GPT2)
	if individual {
		d.splitter = pretoken.Sequence(pretoken.Digits(true), d.splitter)
	}
	for i, text := range v.Tokens {
		id := uint32(i)
		special := false
		switch kind := v.typeOf(i); kind {
		case TokenUnused:
			continue
		case TokenByte:
			return nil, &UnsupportedError{Part: "vocabulary", Name: fmt.Sprintf("with byte tokens (%q)", text)}
		case TokenControl, TokenUserDefined:
			special = kind == TokenControl
			d.added = append(d.added, addedToken{Content: text, Special: special})
		case TokenNormal, TokenUnknown:
		default:
			return nil, formatError("token %q has the unknown type %d", text, kind)
		}
		if other, ok := d.vocab[text]; ok {
			return nil, formatError("token %q has the ids %d and %d", text, other, id)
		}
		d.vocab[text] = id
	}
	for _, line := range v.Merges {
		m, err := splitMerge(line)
		if err != nil {
			return nil, fmt.Errorf("tokenizer: %w", err)
		}
		d.merges = append(d.merges, m)
	}
	if d.prefix, err = v.extra(v.AddBOS, "BOS", v.BOS); err != nil {
		return nil, err
	}
	d.suffix, err = v.extra(v.AddEOS, "EOS", v.EOS)
	return d, err
}

// typeOf returns the type of a token.
func (v *Vocabulary) typeOf(id int) TokenType {
	if v.Types == nil {
		return TokenNormal
	}
	return v.Types[id]
}

// extra returns the token to add, if it is to be added.
func (v *Vocabulary) extra(add bool, name string, id *uint32) ([]uint32, error) {
	if !add {
		return nil, nil
	}
	if id == nil || uint64(*id) >= uint64(len(v.Tokens)) || v.typeOf(int(*id)) == TokenUnused {
		return nil, formatError("the vocabulary adds %s but has no such token", name)
	}
	return []uint32{*id}, nil
}
