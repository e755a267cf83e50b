package tokenizer

import (
	"fmt"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/sluiceml/sluice/tokenizer/bpe"
	"github.com/sluiceml/sluice/tokenizer/normalize"
	"github.com/sluiceml/sluice/tokenizer/pattern"
)

// definition is what a tokenizer is, whatever it was read from.
type definition struct {
	vocab        *vocab
	merges       []bpe.Merge // by rank, unless ranks says otherwise
	ranks        []uint32    // by merge; nil: its place
	unknown      *string     // the token for characters without one, if there is any
	fuseUnknown  bool
	byteFallback bool
	ignoreMerges bool
	wordPrefix   string // continuing_subword_prefix
	wordSuffix   string // end_of_word_suffix
	added        []addedToken
	normalizer   normalize.Normalizer
	steps        []step
	byteLevel    bool     // the last step turns text into the characters of its bytes
	prefix       []uint32 // what AddSpecialTokens puts before the text
	suffix       []uint32 // and after it
	trims        []trim
	decoder      chain
	timed        bool // see Tokenizer
	notes        []string
}

// addedToken is a token that is found in the text before anything else is done to it.
type addedToken struct {
	Content    string `json:"content"`
	SingleWord bool   `json:"single_word"`
	LStrip     bool   `json:"lstrip"`
	RStrip     bool   `json:"rstrip"`
	Normalized bool   `json:"normalized"`
	Special    bool   `json:"special"`
	id         uint32
	match      string // what is looked for: the content, or what the normalizer makes of it
	decoded    string // what the decoder gets: the same, or what was looked for when it came before
	exact      bool   // normalized text is searched for the content itself
	hidden     bool   // another one that comes later has the same id
}

// build checks the definition and makes the tokenizer.
func (d *definition) build() (*Tokenizer, error) {
	words := d.vocab.count
	added, err := d.assignIDs()
	if err != nil {
		return nil, err
	}
	t := &Tokenizer{
		vocab:      d.vocab,
		normalizer: d.normalizer,
		steps:      d.steps,
		prefix:     d.prefix,
		suffix:     d.suffix,
		trims:      d.trims,
		decoder:    d.decoder,
		timed:      d.timed,
		notes:      d.notes,
		pool:       newPool(),
	}
	changed := d.normalizer != nil
	for _, s := range d.steps {
		switch s := s.(type) {
		case metaspace:
			if s.prepend == prependFirst && changed {
				t.spans = true // what is first is asked of the text before it was changed
			}
			changed = true
		case spacePrefix, byteCharacters:
			changed = true
		}
	}
	if len(t.steps) == 1 {
		if s, ok := t.steps[0].(scan); ok {
			t.lines = cutsLines(s.Splitter)
		}
	}
	letters := newAlphabet()
	if err = d.model(t, words, letters); err != nil {
		return nil, err
	}
	d.addTokens(t, added) // after the model, which knows the vocabulary alone
	for _, ids := range [][]uint32{d.prefix, d.suffix} {
		for _, id := range ids {
			if _, ok := t.Token(id); !ok {
				return nil, formatError("the post-processor adds id %d, which is not in the vocabulary", id)
			}
		}
	}
	if d.decoder.byteLevel { // else the bytes are made when they are asked for
		for i := range d.vocab.tokens {
			if tok := &d.vocab.tokens[i]; tok.known && tok.raw == "" {
				tok.raw = d.decoder.rawOf(tok.text, letters)
			}
		}
	}
	return t, nil
}

// maxAddedToken bounds the bytes of an added token, since a text is compared with it again and again, and maxAddedBytes
// those of all, each of which takes much memory to find.
const (
	maxAddedToken = 1 << 10
	maxAddedBytes = 4 << 20
)

// assignIDs gives the added tokens their ids as the reference does: a token of the vocabulary keeps its id, others
// follow after the vocabulary's length. The ids that a file states are not looked at. A token that comes twice counts
// as it came last, and of two that get the same id, as can happen if a vocabulary has gaps, only the last is found.
func (d *definition) assignIDs() ([]addedToken, error) {
	next := uint32(d.vocab.count)
	var added []addedToken
	at := map[string]int{}
	normalized := map[uint32]string{} // by id; what another token of the id left here counts
	room := maxAddedBytes
	end := time.Now().Add(pattern.TimeFor(maxAddedBytes))
	for _, a := range d.added {
		if a.Content == "" {
			continue
		}
		if room -= len(a.Content); len(a.Content) > maxAddedToken || room < 0 {
			return nil, &UnsupportedError{Part: "added tokens", Name: fmt.Sprintf("of more than %d bytes each, or %d in all", maxAddedToken, maxAddedBytes)}
		}
		i, again := at[a.Content]
		id, known := d.vocab.find(a.Content)
		switch {
		case again:
			a.id = added[i].id
			a.Special = a.Special || added[i].Special
		case known:
			a.id = id
		default:
			a.id = next
			next++
		}
		if a.Normalized && !a.exact && d.normalizer != nil {
			match, err := d.normalizedToken(a.Content, end)
			if err != nil {
				return nil, err
			}
			if match != a.Content {
				normalized[a.id] = match
			}
		}
		a.match, a.decoded = a.Content, a.Content
		if text, ok := normalized[a.id]; ok {
			if a.decoded = text; a.Normalized {
				a.match = text
			}
		}
		if again {
			added[i] = a
			continue
		}
		at[a.Content] = len(added)
		added = append(added, a)
	}
	last := map[uint32]int{}
	for i, a := range added {
		last[a.id] = i
	}
	for i := range added {
		added[i].hidden = last[added[i].id] != i
	}
	return added, nil
}

// normalizedToken normalizes the content of an added token, for which there is time until end.
func (d *definition) normalizedToken(content string, end time.Time) (string, error) {
	s, err := d.normalizer.Normalize(normalize.New(content, 0, false))
	if err == nil && d.timed && time.Now().After(end) {
		err = errLate
	}
	if err != nil {
		return "", fmt.Errorf("%w (of the added token %q)", &LimitError{Part: "normalizer", Err: err}, clip(content))
	}
	if s.Text == "" {
		return "", &UnsupportedError{Part: "added token", Name: fmt.Sprintf("%q, which the normalizer makes empty", content)}
	}
	return s.Text, nil
}

// addTokens enters the added tokens.
func (d *definition) addTokens(t *Tokenizer, added []addedToken) {
	special := map[string]bool{}
	for _, a := range added {
		if a.Special {
			special[a.Content] = true
		}
	}
	var plain, normalized []addedToken
	for _, a := range added {
		if a.hidden {
			continue
		}
		d.vocab.add(a.Content, a.id)
		tok := &d.vocab.tokens[a.id]
		tok.special = special[a.decoded] // the reference asks for the text that it decodes
		if a.decoded != a.Content {
			tok.raw = ""
			if d.decoder.byteLevel {
				tok.raw = d.decoder.rawOf(a.decoded, newAlphabet())
			}
			d.decoder.rename(a.id, a.decoded)
		}
		if a.Normalized {
			normalized = append(normalized, a)
		} else {
			plain = append(plain, a)
		}
	}
	t.decoder = d.decoder
	t.added = [2]*matcher{newMatcher(plain), newMatcher(normalized)}
	for i := range d.vocab.tokens {
		if tok := &d.vocab.tokens[i]; tok.special {
			t.special = append(t.special, tok.text)
		}
	}
}

// model makes the merge engine. The vocabulary's bytes are entered with it.
func (d *definition) model(t *Tokenizer, words int, letters *alphabet) error {
	find := func(token string) uint32 {
		if id, ok := d.vocab.find(token); ok {
			return id
		}
		return bpe.None
	}
	c := bpe.Config{Unknown: bpe.None, FuseUnknown: d.fuseUnknown, IgnoreMerges: d.ignoreMerges, Merges: d.merges, Ranks: d.ranks}
	if d.unknown != nil {
		if c.Unknown = find(*d.unknown); c.Unknown == bpe.None {
			return formatError("the unknown token %q is not in the vocabulary", *d.unknown)
		}
	}
	complete := true
	for b := range c.Bytes {
		c.Bytes[b] = find(letters.symbol(byte(b)))
		complete = complete && c.Bytes[b] != bpe.None
	}
	if d.byteLevel && (!d.byteFallback || complete) && d.wordPrefix == "" && d.wordSuffix == "" {
		c.Words = d.byteWords(words, letters)
		t.letters = letters
		if !complete {
			t.symbols = newSymbols(d, c.Unknown)
		}
	} else {
		if d.byteLevel {
			t.steps = append(slices.Clip(t.steps), byteCharacters{letters})
		}
		t.symbols = newSymbols(d, c.Unknown)
		c.Symbols = t.symbols.append
		c.Words = d.textWords(words)
		t.cuts = newJunctions(d, t.symbols, c.Unknown)
	}
	if t.cuts != nil { // the model sees parts of words, which are not to be taken for words
		t.whole, c.IgnoreMerges = c.IgnoreMerges, false
	}
	var err error
	t.model, err = bpe.New(c)
	return err
}

// byteWords returns the words of a model over bytes, and notes the bytes of every token of the vocabulary.
func (d *definition) byteWords(n int, letters *alphabet) []bpe.Word {
	words := make([]bpe.Word, 0, n)
	arena := make([]byte, 0, 8*n)
	for i := range d.vocab.tokens {
		tok := &d.vocab.tokens[i]
		if !tok.known {
			continue
		}
		raw, ok := letters.appendBytes(&arena, tok.text)
		if ok {
			words = append(words, bpe.Word{Text: raw, ID: uint32(i)})
			if d.decoder.byteLevel {
				tok.raw = raw
			}
		}
	}
	return words
}

// textWords returns the words of a model over characters.
func (d *definition) textWords(n int) []bpe.Word {
	words := make([]bpe.Word, 0, n)
	for i := range d.vocab.tokens {
		if tok := &d.vocab.tokens[i]; tok.known {
			words = append(words, bpe.Word{Text: tok.text, ID: uint32(i)})
		}
	}
	return words
}

// lastRune and firstRune return the characters at the ends of a text that is not empty.
func lastRune(text string) rune {
	r, _ := utf8.DecodeLastRuneInString(text)
	return r
}

func firstRune(text string) rune {
	r, _ := utf8.DecodeRuneInString(text)
	return r
}
