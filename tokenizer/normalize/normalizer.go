package normalize

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/sluiceml/sluice/tokenizer/pretoken"
)

// Normalizer changes a text. Implementations are immutable and safe for concurrent use. The text must be valid UTF-8.
type Normalizer interface {
	// Normalize fails if a pattern does, or with a [GrowthError].
	Normalize(s String) (String, error)
}

// GrowthError says that normalizers make a text many times as long as it was: a few that each put two letters in the
// place of one would take all memory.
type GrowthError struct{ Limit int } // in bytes

func (e *GrowthError) Error() string {
	return fmt.Sprintf("what it makes of a text is longer than %d bytes", e.Limit)
}

// growth and spare bound the length of a changed text: so many times that of the original, and so many bytes. Of what
// the field uses NFKC grows the most, to the elevenfold in one character's case.
const (
	growth = 32
	spare  = 1 << 8
)

// Matcher finds the places of a text that a pattern matches.
type Matcher interface {
	// Match calls yield with the byte offsets of each match, in order and without overlaps, until yield returns false. It
	// fails if the search takes too long.
	Match(text string, yield func(start, end int) bool) error
}

// Literal matches a text, which must not be empty.
type Literal string

// Match finds the text.
func (l Literal) Match(text string, yield func(start, end int) bool) error {
	for pos := 0; ; {
		i := strings.Index(text[pos:], string(l))
		if i < 0 || !yield(pos+i, pos+i+len(l)) {
			return nil
		}
		pos += i + len(l)
	}
}

// Sequence applies normalizers one after another.
type Sequence []Normalizer

// Normalize applies them.
func (n Sequence) Normalize(s String) (String, error) {
	for _, next := range n {
		var err error
		if s, err = next.Normalize(s); err != nil {
			return s, err
		}
		if len(s.Text) > s.limit {
			return s, &GrowthError{s.limit}
		}
	}
	return s, nil
}

// Prepend puts a text before every text that is not empty.
type Prepend string

// Normalize puts it there.
func (n Prepend) Normalize(s String) (String, error) { return s.Prepend(string(n)), nil }

// Replace puts Content in the place of each match of Pattern.
type Replace struct {
	Pattern Matcher
	Content string
}

// Normalize replaces. What is put in is taken to come from the last character of what it replaces.
func (n Replace) Normalize(s String) (String, error) {
	if s.Text == "" { // where the reference finds nothing, not even a match of nothing
		return s, nil
	}
	if literal, ok := n.Pattern.(Literal); ok && !s.tracked && (len(s.Text)/len(literal)+1)*len(n.Content) <= s.limit {
		s.Text = strings.ReplaceAll(s.Text, string(literal), n.Content)
		return s, nil
	}
	var b *builder
	err := n.Pattern.Match(s.Text, func(start, end int) bool {
		if b == nil {
			b = newBuilder(s)
		}
		b.keep(start)
		b.pos = end
		b.text = append(b.text, n.Content...)
		if len(b.text) > s.limit {
			return false
		}
		if s.tracked {
			for span := b.before(); len(b.to) < len(b.text); {
				b.to = append(b.to, span)
			}
		}
		return true
	})
	if err != nil || b == nil {
		return s, err
	}
	if b.keep(len(s.Text)); len(b.text) > s.limit {
		return s, &GrowthError{s.limit}
	}
	return b.done(), nil
}

// Strip takes white space away at the ends of a text.
type Strip struct{ Left, Right bool }

// Normalize strips.
func (n Strip) Normalize(s String) (String, error) {
	start, end := 0, len(s.Text)
	for n.Left && start < end {
		r, width := utf8.DecodeRuneInString(s.Text[start:end])
		if pretoken.ClassOf(r)&pretoken.Padding == 0 {
			break
		}
		start += width
	}
	for n.Right && start < end {
		r, width := utf8.DecodeLastRuneInString(s.Text[start:end])
		if pretoken.ClassOf(r)&pretoken.Padding == 0 {
			break
		}
		end -= width
	}
	return s.cut(start, end), nil
}

// Map replaces each character by others, of which the first stands for it and the rest are new. The function appends
// them.
type Map func(dst []rune, r rune) []rune

// Normalize replaces them.
func (n Map) Normalize(s String) (String, error) { return n.Apply(s), nil }

// Apply is Normalize, which cannot fail here.
func (n Map) Apply(s String) String {
	b := newBuilder(s)
	var buffer [8]rune
	for _, r := range s.Text {
		for i, to := range n(buffer[:0], r) {
			b.push(to, min(i, 1))
		}
	}
	return b.done()
}

// Lowercase makes each character lower case by itself, without regard to its neighbours.
type Lowercase struct{}

// Normalize makes lower case.
func (Lowercase) Normalize(s String) (String, error) {
	lower := tables().lower
	changes := false
	for i, r := range s.Text {
		if r < utf8.RuneSelf {
			changes = s.Text[i] >= 'A' && s.Text[i] <= 'Z'
		} else {
			_, changes = lower[r]
		}
		if changes {
			break
		}
	}
	if !changes {
		return s, nil
	}
	return Map(func(dst []rune, r rune) []rune {
		switch to, ok := lower[r]; {
		case r < utf8.RuneSelf:
			if r >= 'A' && r <= 'Z' {
				r += 'a' - 'A'
			}
			return append(dst, r)
		case ok:
			return append(dst, []rune(to)...)
		}
		return append(dst, r)
	}).Normalize(s)
}
