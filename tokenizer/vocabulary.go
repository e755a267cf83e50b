package tokenizer

import (
	"fmt"
	"unicode/utf8"

	"github.com/sluiceml/sluice/tokenizer/normalize"
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

// Vocabulary is a BPE vocabulary given as values, as the metadata of a GGUF file hold it.
//
// There are two kinds. The kind "gpt2" has merges; a name says what cuts a text into words, and its tokens are bytes,
// but for a few names. The kind "llama", that of SentencePiece, has a score for each token; any two neighbours merge
// that make a token, the best score first, and a character without a token becomes the tokens of its bytes.
type Vocabulary struct {
	Model  string      // "gpt2", or empty, or "gemma4", which is one such, or "llama": tokenizer.ggml.model
	Tokens []string    // by id, as the vocabulary writes them ("Ġthe", "▁the"): tokenizer.ggml.tokens
	Types  []TokenType // by id; nil: all are normal: tokenizer.ggml.token_type
	Scores []float32   // by id, of the kind "llama": tokenizer.ggml.scores
	Merges []string    // by rank, two tokens with a space between, of the kind "gpt2": tokenizer.ggml.merges
	Pre    string      // the name of the pre-tokenizer, of the kind "gpt2": tokenizer.ggml.pre
	BOS    *uint32     // nil: none
	EOS    *uint32
	UNK    *uint32 // of the kind "llama"; that of the kind "gpt2" is not used: bytes without a token are dropped
	PAD    *uint32
	AddBOS bool // AddSpecialTokens puts BOS before a text: tokenizer.ggml.add_bos_token
	AddEOS bool // and EOS after it: tokenizer.ggml.add_eos_token
	// NoSpacePrefix leaves a text as it begins; else the kind "llama" puts a space before it, and before what follows a
	// special token: tokenizer.ggml.add_space_prefix is false.
	NoSpacePrefix bool
}

// FromVocabulary makes a tokenizer from a vocabulary. A kind or a pre-tokenizer that is not known is refused with an
// [UnsupportedError].
func FromVocabulary(v Vocabulary) (*Tokenizer, error) {
	d, err := v.definition()
	if err != nil {
		return nil, err
	}
	return d.build()
}

// definition checks the vocabulary.
func (v *Vocabulary) definition() (*definition, error) {
	if v.Types != nil && len(v.Types) != len(v.Tokens) {
		return nil, formatError("%d tokens and %d token types", len(v.Tokens), len(v.Types))
	}
	if len(v.Tokens) > maxTokens {
		return nil, formatError("%d tokens are too many", len(v.Tokens))
	}
	d := &definition{}
	var err error
	switch v.Model {
	case "", "gpt2", gemma4:
		err = v.gpt2(d)
	case "llama":
		err = v.llama(d)
	default:
		err = &UnsupportedError{Part: "vocabulary model", Name: fmt.Sprintf("%q", v.Model)}
	}
	if err != nil {
		return nil, err
	}
	if d.prefix, err = v.extra(v.AddBOS, "BOS", v.BOS); err != nil {
		return nil, err
	}
	d.suffix, err = v.extra(v.AddEOS, "EOS", v.EOS)
	return d, err
}

// gpt2 reads a vocabulary with merges.
func (v *Vocabulary) gpt2(d *definition) error {
	pre, ok := v.preType()
	if !ok {
		return &UnsupportedError{Part: "pre-tokenizer", Name: fmt.Sprintf("%q", v.Pre)}
	}
	if err := pre.apply(d); err != nil {
		return err
	}
	d.byteLevel, d.byteFallback = !pre.spaces, pre.spaces
	d.decoder = byteLevelChain()
	if pre.spaces {
		d.decoder = spaceChain(false)
	}
	if err := v.readTokens(d, pre.spaces); err != nil {
		return err
	}
	m := newMerger(d.vocab, 0, len(v.Merges))
	for _, line := range v.Merges {
		if err := m.addLine([]byte(line)); err != nil {
			return err
		}
	}
	var err error
	d.merges, err = m.list()
	return err
}

// preType finds the pre-tokenizer. A vocabulary of the kind "gemma4" need not name one.
func (v *Vocabulary) preType() (preType, bool) {
	if v.Model == gemma4 && v.Pre == "" {
		return preTypeNamed(gemma4)
	}
	return preTypeNamed(v.Pre)
}

// gemma4 is the name of a kind of vocabulary and of its pre-tokenizer.
const gemma4 = "gemma4"

// llama reads a vocabulary with scores.
func (v *Vocabulary) llama(d *definition) error {
	if len(v.Scores) != len(v.Tokens) {
		return formatError("%d tokens and %d scores", len(v.Tokens), len(v.Scores))
	}
	replace := normalize.Replace{Pattern: normalize.Literal(" "), Content: string(separator)}
	d.normalizer, d.decoder = replace, spaceChain(false)
	if !v.NoSpacePrefix {
		d.normalizer, d.decoder = normalize.Sequence{normalize.Prepend(" "), replace}, spaceChain(true)
	}
	d.byteFallback, d.fuseUnknown = true, true
	if v.UNK != nil && uint64(*v.UNK) < uint64(len(v.Tokens)) {
		d.unknown = &v.Tokens[*v.UNK]
	}
	if err := v.readTokens(d, true); err != nil {
		return err
	}
	var pieces []rankedPiece
	for i, text := range v.Tokens {
		switch v.typeOf(i) { //nolint:exhaustive // what is not listed is text
		case TokenUnused, TokenByte, TokenControl, TokenUnknown:
			continue
		}
		pieces = append(pieces, rankedPiece{text, uint32(i)})
	}
	byScore(pieces, v.Scores)
	var err error
	d.merges, d.ranks, err = impliedMerges(pieces, func(text string, at int) bool { return utf8.RuneStart(text[at]) })
	return err
}

// spaceChain is the decoder of vocabularies that write a space as "▁". Strip says that the text loses a space at its
// beginning.
func spaceChain(strip bool) chain {
	c := chain{list: []link{each(spaced), byteFallback{}, fuse{}}, fused: 2, streams: true}
	if strip {
		c.list = append(c.list, stripEnds{content: " ", start: 1})
	}
	return c
}

// spaced writes a token's separators as spaces.
func spaced(token string, _ bool) string { return replaceSeparator(token) }

// readTokens enters the tokens and their types.
func (v *Vocabulary) readTokens(d *definition, withBytes bool) error {
	entries := make([]entry, 0, len(v.Tokens))
	at := make(map[string]int, len(v.Tokens))
	for i, text := range v.Tokens {
		if !utf8.ValidString(text) {
			return formatError("token %d, %q, is not valid UTF-8", i, text)
		}
		special := false
		switch kind := v.typeOf(i); kind {
		case TokenUnused:
			continue
		case TokenByte:
			if !withBytes {
				return &UnsupportedError{Part: "vocabulary", Name: fmt.Sprintf("with byte tokens (%q)", text)}
			}
		case TokenControl, TokenUserDefined:
			special = kind == TokenControl
			d.added = append(d.added, addedToken{Content: text, Special: special})
		case TokenNormal, TokenUnknown:
		default:
			return formatError("token %q has the unknown type %d", text, kind)
		}
		if other, ok := at[text]; ok {
			return formatError("token %q has the ids %d and %d", text, other, i)
		}
		at[text] = i
		entries = append(entries, entry{text, uint32(i)})
	}
	var err error
	d.vocab, err = newVocab(entries, 0)
	return err
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
