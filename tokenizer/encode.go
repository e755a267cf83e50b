package tokenizer

import (
	"errors"
	"time"
	"unicode/utf8"

	"github.com/sluiceml/sluice/tokenizer/bpe"
	"github.com/sluiceml/sluice/tokenizer/normalize"
	"github.com/sluiceml/sluice/tokenizer/pattern"
)

// SpecialPolicy says how special tokens that are written in a text are treated. Added tokens that are not special, such as
// runs of spaces or "<think>" in some vocabularies, are always recognised.
type SpecialPolicy uint8

const (
	// ParseSpecial recognises special tokens in the text, as Hugging Face does by default.
	ParseSpecial SpecialPolicy = iota
	// SpecialAsText treats special tokens in the text as ordinary characters (encode_special_tokens in Hugging Face).
	SpecialAsText
	// ForbidSpecial makes a special token in the text a [SpecialTokenError].
	ForbidSpecial
)

// Range is a range of a text in bytes: from Start up to, not including, End.
type Range struct{ Start, End int }

// EncodeOptions say how to encode. The zero value is Hugging Face's encode(text, add_special_tokens=False).
type EncodeOptions struct {
	// AddSpecialTokens adds the tokens of the post-processor, such as a BOS before the text.
	AddSpecialTokens bool
	// Special says how special tokens in the text are treated.
	Special SpecialPolicy
	// Literal lists ranges of the text, in any order, in which the policy is SpecialAsText. A special token that overlaps
	// one of them, even by one byte, is not recognised, and the search for special tokens continues as if it were not
	// there; one next to a range, such as a chat template's own, is. White space that a token strips (lstrip, rstrip) may
	// lie in a literal range.
	Literal []Range
}

// Encode returns the token ids of a text. It fails only with a [SpecialTokenError], a [RangeError] or, if the tokenizer has
// patterns without a scanner (see [Tokenizer.Notes]) or normalizers that lengthen a text, a [LimitError].
func (t *Tokenizer) Encode(text string, o EncodeOptions) ([]uint32, error) {
	return t.AppendEncode(make([]uint32, 0, len(text)/3+len(t.prefix)+len(t.suffix)+1), text, o)
}

// AppendEncode appends the token ids of a text to dst and returns the extended slice, or dst itself with an error. The unused
// capacity of dst may be overwritten.
func (t *Tokenizer) AppendEncode(dst []uint32, text string, o EncodeOptions) ([]uint32, error) {
	e := t.encoder()
	defer e.release()
	e.dst = dst
	if err := e.run(text, o); err != nil {
		return dst, err
	}
	return e.dst, nil
}

// Count returns the number of tokens that Encode would return, without holding them.
func (t *Tokenizer) Count(text string, o EncodeOptions) (int, error) {
	e := t.encoder()
	defer e.release()
	e.counting = true
	if err := e.run(text, o); err != nil {
		return 0, err
	}
	return e.counted + len(e.dst), nil
}

// encoder is one call's state, and what is kept for the next one: scratch and words.
type encoder struct {
	t        *Tokenizer
	scratch  *bpe.Scratch
	words    *wordBatch
	dst      []uint32
	counting bool // drop the ids and count them
	counted  int
	tracked  bool // note which part of the text each token stands for
	spans    []normalize.Span
	surfaces []surfaceText // of added tokens whose text is not their content
	lengths  []int         // scratch
	policy   SpecialPolicy
	literal  []Range   // disjoint
	deadline time.Time // of a tokenizer with patterns that backtrack
	err      error     // of a pre-tokenizer
}

// surfaceText is the text that a token was found as: an added token with the white space that it strips.
type surfaceText struct {
	index int // in spans
	text  string
}

func (e *encoder) run(text string, o EncodeOptions) error {
	for _, r := range o.Literal {
		if r.Start < 0 || r.Start > r.End || r.End > len(text) {
			return &RangeError{Range: r, Len: len(text)}
		}
	}
	e.policy, e.literal = o.Special, o.Literal
	original, broken := text, !utf8.ValidString(text)
	if broken {
		text, e.literal = repair(text, o.Literal)
	}
	if len(e.literal) > 0 {
		e.literal = disjoint(e.literal)
	}
	if o.AddSpecialTokens {
		e.dst = append(e.dst, e.t.prefix...)
	}
	first := len(e.dst)
	if e.t.timed {
		e.deadline = time.Now().Add(pattern.TimeFor(len(text)))
	}
	if err := e.extract(normalize.New(text, 0, e.tracks()), 0); err != nil {
		if special, ok := errors.AsType[*SpecialTokenError](err); ok && broken {
			special.Offset = originalOffset(original, special.Offset)
		}
		return err
	}
	if e.tracked {
		e.trim(e.dst[first:], text, o.AddSpecialTokens)
		if broken {
			e.restore(original)
		}
	}
	if o.AddSpecialTokens {
		e.dst = append(e.dst, e.t.suffix...)
	}
	return nil
}

// tracks says whether it must be known where normalized text came from.
func (e *encoder) tracks() bool {
	if e.tracked || e.t.spans {
		return true
	}
	asked := len(e.literal) > 0 || e.policy == ForbidSpecial
	return asked && e.t.normalizer != nil && e.t.added[1] != nil
}

// extract encodes text level by level: first come the added tokens that match the text as it is, then, in what is left
// and normalized, those that match normalized text, then words. The quirks are the reference's
// (AddedVocabulary::find_matches): a token that is passed over still hides those inside it, and the search goes on after
// the token, not after the white space that it strips.
func (e *encoder) extract(s normalize.String, level int) error {
	if level == 1 && e.t.normalizer != nil {
		var err error
		if s, err = e.normalized(s); err != nil {
			return err
		}
	}
	if level == len(e.t.added) {
		e.pieces(s, 0)
		return e.err
	}
	m := e.t.added[level]
	if m == nil {
		return e.extract(s, level+1)
	}
	skip := e.literalTokens(s)
	strip := stripper{text: s.Text}
	for pos := 0; ; {
		start, end, token := m.next(s.Text, pos, skip)
		if token == nil {
			break
		}
		pos = end
		if ok, err := e.takes(s, start, end, token); err != nil {
			return err
		} else if !ok {
			continue
		}
		start, end = strip.widen(start, end, token)
		if start >= end {
			continue // all of it is white space that the token before has taken
		}
		if strip.done < start {
			if err := e.extract(s.Slice(strip.done, start), level+1); err != nil {
				return err
			}
		}
		e.appendAdded(s, start, end, token)
		strip.done = end
	}
	if strip.done == len(s.Text) {
		return nil
	}
	return e.extract(s.Slice(strip.done, len(s.Text)), level+1)
}

// normalized returns normalized text, as a piece of its own, which begins where what is left of it began.
func (e *encoder) normalized(s normalize.String) (normalize.String, error) {
	s, err := e.t.normalizer.Normalize(s)
	if err == nil {
		err = e.late()
	}
	if err != nil {
		return s, &LimitError{Part: "normalizer", Err: err}
	}
	return s.Slice(0, len(s.Text)), nil
}

// literalTokens returns which matches of added tokens are passed over, since they are special and lie in literal text; nil: none.
func (e *encoder) literalTokens(s normalize.String) func(start, end int, token *addedToken) bool {
	if len(e.literal) == 0 {
		return nil
	}
	return func(start, end int, token *addedToken) bool {
		if !token.Special {
			return false
		}
		span := s.Span(start, end)
		return overlaps(e.literal, span.Start, span.End)
	}
}

// takes says whether a match becomes its token. A special one may be text instead, or forbidden.
func (e *encoder) takes(s normalize.String, start, end int, token *addedToken) (bool, error) {
	if token.Special {
		switch e.policy {
		case ParseSpecial:
		case SpecialAsText:
			return false, nil
		case ForbidSpecial:
			return false, &SpecialTokenError{Token: token.Content, Offset: s.Span(start, end).Start}
		}
	}
	return !token.SingleWord || (!endsWithWord(s.Text[:start]) && !startsWithWord(s.Text[end:])), nil
}

// appendAdded appends an added token and, if asked for, where it was.
func (e *encoder) appendAdded(s normalize.String, start, end int, token *addedToken) {
	e.dst = append(e.dst, token.id)
	if !e.tracked {
		return
	}
	e.spans = append(e.spans, s.Span(min(start, end-1), end))
	if surface := s.Text[start:end]; surface != e.t.vocab.modelText(token.id) {
		e.surfaces = append(e.surfaces, surfaceText{len(e.spans) - 1, surface})
	}
}

// stripper widens matches of added tokens by the white space that the tokens strip.
type stripper struct {
	text    string
	done    int // up to where tokens have taken the text
	padding int // up to where the last white space stripped on a right goes: it is measured once
}

func (p *stripper) widen(start, end int, token *addedToken) (from, to int) {
	if token.LStrip {
		start = p.done + trimmedEnd(p.text[p.done:max(start, p.done)])
	}
	if token.RStrip {
		if end >= p.padding { // else the match lies in white space that was measured already
			p.padding = end + paddingLen(p.text[end:])
		}
		end = p.padding
	}
	return start, end
}

// errLate says that the patterns of a tokenizer take too long for a text, though each match by itself does not.
var errLate = errors.New("its patterns backtrack too long on the text")

// late returns an error if the patterns have had all their time.
func (e *encoder) late() error {
	if e.t.timed && time.Now().After(e.deadline) {
		return errLate
	}
	return nil
}

// pieces hands a piece of text through the steps from the i-th on, and its words to the model. After an error it does
// nothing.
func (e *encoder) pieces(s normalize.String, i int) {
	if s.Text == "" || e.err != nil {
		return
	}
	if i == len(e.t.steps) {
		e.word(s)
		return
	}
	if p, ok := e.t.steps[i].(scan); ok && i == len(e.t.steps)-1 && !e.tracked && e.t.cuts == nil {
		if e.t.lines && len(s.Text) >= minShared && e.share(s.Text, nextLine, func(e *encoder, dst []uint32, part string) []uint32 { return e.words.scan(dst, part, p) }) {
			return
		}
		e.words.counting = e.counting
		e.dst = e.words.scan(e.dst, s.Text, p)
		e.counted += e.words.counted
		e.words.counted, e.words.counting = 0, false
		e.count()
		return
	}
	err := e.late()
	if err == nil {
		err = e.t.steps[i].apply(s, func(s normalize.String) { e.pieces(s, i+1) })
	}
	if err != nil && e.err == nil {
		e.err = &LimitError{Part: "pre_tokenizer", Err: err}
	}
}

// count drops the ids of a call that only counts.
func (e *encoder) count() {
	if e.counting {
		e.counted += len(e.dst)
		e.dst = e.dst[:0]
	}
}

// word encodes one word.
func (e *encoder) word(s normalize.String) {
	before, t := len(e.dst), e.t
	switch id, ok := t.wholeWord(s.Text); {
	case ok:
		e.dst = append(e.dst, id)
	case t.cuts == nil:
		e.dst = t.model.Append(e.dst, s.Text, e.scratch)
	case len(s.Text) >= minShared && e.share(s.Text, t.cuts.next, func(e *encoder, dst []uint32, part string) []uint32 { return t.cutWord(dst, part, e.scratch) }):
	default:
		e.dst = t.cutWord(e.dst, s.Text, e.scratch)
	}
	if e.tracked {
		e.track(s, e.dst[before:])
	}
	e.count()
}

// wholeWord returns the token that a word is before it is cut.
func (t *Tokenizer) wholeWord(word string) (uint32, bool) {
	if !t.whole {
		return 0, false
	}
	return t.vocab.findModel(word)
}
