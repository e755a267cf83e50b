package tokenizer

import (
	"slices"
	"unicode/utf8"

	"github.com/sluiceml/sluice/tokenizer/bpe"
	"github.com/sluiceml/sluice/tokenizer/pretoken"
)

// SpecialPolicy says what becomes of special tokens that stand in a text. Added tokens that are not special, such as
// runs of spaces or "<think>" in some vocabularies, are always recognised.
type SpecialPolicy uint8

const (
	// ParseSpecial recognises special tokens in the text, as Hugging Face does by default.
	ParseSpecial SpecialPolicy = iota
	// SpecialAsText takes special tokens in the text for ordinary characters (encode_special_tokens there).
	SpecialAsText
	// ForbidSpecial makes a special token in the text a [SpecialTokenError].
	ForbidSpecial
)

// Range is a range of a text in bytes: from Start up to, not including, End.
type Range struct{ Start, End int }

// EncodeOptions say how to encode. The zero value is Hugging Face's encode(text, add_special_tokens=False).
type EncodeOptions struct {
	// AddSpecialTokens adds what the post-processor adds, such as a BOS before the text.
	AddSpecialTokens bool
	// Special says what becomes of special tokens in the text.
	Special SpecialPolicy
	// Literal lists ranges of the text, in any order, in which the policy is SpecialAsText: a special token that
	// overlaps one of them, be it by a byte, is not recognised, and what follows in the text is read as if it had not been
	// there. A template's own special tokens next to such a range are recognised. White space that a token strips (lstrip,
	// rstrip) may lie in a literal range.
	Literal []Range
}

// Encode returns the token ids of a text. It fails only with a [SpecialTokenError] or [RangeError].
func (t *Tokenizer) Encode(text string, o EncodeOptions) ([]uint32, error) {
	return t.AppendEncode(make([]uint32, 0, len(text)/3+len(t.prefix)+len(t.suffix)+1), text, o)
}

// AppendEncode appends the token ids of a text to dst and returns the extended slice; after an error that is dst.
func (t *Tokenizer) AppendEncode(dst []uint32, text string, o EncodeOptions) ([]uint32, error) {
	e := encoder{t: t, dst: dst}
	if err := e.run(text, o); err != nil {
		return dst, err
	}
	return e.dst, nil
}

// Count returns the number of tokens that Encode would return, without holding them.
func (t *Tokenizer) Count(text string, o EncodeOptions) (int, error) {
	e := encoder{t: t, counting: true}
	if err := e.run(text, o); err != nil {
		return 0, err
	}
	return e.counted + len(e.dst), nil
}

// encoder is one call's state.
type encoder struct {
	t        *Tokenizer
	dst      []uint32
	counting bool // drop the ids and count them
	counted  int
	policy   SpecialPolicy
	literal  []Range // disjoint
	scratch  *bpe.Scratch
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
	e.literal = disjoint(e.literal)
	e.scratch = e.t.scratch.get()
	defer e.t.scratch.put(e.scratch)
	if o.AddSpecialTokens {
		e.dst = append(e.dst, e.t.prefix...)
	}
	if err := e.extract(text, 0, 0); err != nil {
		if broken {
			err.Offset = originalOffset(original, err.Offset)
		}
		return err
	}
	if o.AddSpecialTokens {
		e.dst = append(e.dst, e.t.suffix...)
	}
	return nil
}

// extract encodes text, which begins at base of the whole text, level by level: first come the added tokens that match
// the text as it is, then, in what is left, those that match normalised text, then words. The quirks are the
// reference's (AddedVocabulary::find_matches): a token that is passed over still hides those inside it, and the search
// goes on after the token, not after the white space that it strips.
func (e *encoder) extract(text string, base, level int) *SpecialTokenError {
	if level == len(e.t.added) {
		e.words(text)
		return nil
	}
	m := e.t.added[level]
	if m == nil {
		return e.extract(text, base, level+1)
	}
	var skip func(start, end int, token *addedToken) bool
	if len(e.literal) > 0 {
		skip = func(start, end int, token *addedToken) bool {
			return token.Special && overlaps(e.literal, base+start, base+end)
		}
	}
	done, padding := 0, 0 // padding: up to where the last white space stripped on a right goes
	for pos := 0; ; {
		start, end, token := m.next(text, pos, skip)
		if token == nil {
			break
		}
		pos = end
		if token.Special {
			switch e.policy {
			case ParseSpecial:
			case SpecialAsText:
				continue
			case ForbidSpecial:
				return &SpecialTokenError{Token: token.Content, Offset: base + start}
			}
		}
		if token.SingleWord && (endsWithWord(text[:start]) || startsWithWord(text[end:])) {
			continue
		}
		if token.LStrip {
			start = done + trimmedEnd(text[done:max(start, done)])
		}
		if token.RStrip {
			if end >= padding { // else the match lies in white space that was measured already
				padding = end + paddingLen(text[end:])
			}
			end = padding
		}
		if done < start {
			if err := e.extract(text[done:start], base+done, level+1); err != nil {
				return err
			}
		}
		e.dst = append(e.dst, token.id)
		done = end
	}
	if done == len(text) {
		return nil
	}
	return e.extract(text[done:], base+done, level+1)
}

// words encodes text that holds no added tokens.
func (e *encoder) words(text string) {
	e.t.splitter.Split(text, func(_ int, word string) bool {
		e.dst = e.t.model.Append(e.dst, word, e.scratch)
		if e.counting {
			e.counted += len(e.dst)
			e.dst = e.dst[:0]
		}
		return true
	})
}

// disjoint returns the same ranges sorted and without overlaps and empty ones, so that a search for one is fast
// however many there are.
func disjoint(ranges []Range) []Range {
	var list []Range
	for _, r := range slices.SortedFunc(slices.Values(ranges), func(a, b Range) int { return a.Start - b.Start }) {
		switch last := len(list) - 1; {
		case r.Start == r.End:
		case last >= 0 && r.Start < list[last].End:
			list[last].End = max(list[last].End, r.End)
		default:
			list = append(list, r)
		}
	}
	return list
}

// overlaps reports whether [start, end) shares a byte with one of the ranges, which are disjoint.
func overlaps(ranges []Range, start, end int) bool {
	n, _ := slices.BinarySearchFunc(ranges, end, func(r Range, end int) int { return r.Start - end })
	return n > 0 && ranges[n-1].End > start
}

func endsWithWord(text string) bool {
	r, n := utf8.DecodeLastRuneInString(text)
	return n > 0 && pretoken.ClassOf(r)&pretoken.Word != 0
}

func startsWithWord(text string) bool {
	r, n := utf8.DecodeRuneInString(text)
	return n > 0 && pretoken.ClassOf(r)&pretoken.Word != 0
}

// trimmedEnd returns the length of text without the white space at its end.
func trimmedEnd(text string) int {
	for len(text) > 0 {
		r, n := utf8.DecodeLastRuneInString(text)
		if pretoken.ClassOf(r)&pretoken.Padding == 0 {
			break
		}
		text = text[:len(text)-n]
	}
	return len(text)
}

// paddingLen returns the length of the white space at the beginning of text.
func paddingLen(text string) int {
	for i, r := range text {
		if pretoken.ClassOf(r)&pretoken.Padding == 0 {
			return i
		}
	}
	return len(text)
}
