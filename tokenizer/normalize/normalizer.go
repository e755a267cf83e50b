package normalize

import (
	"strings"
	"unicode/utf8"

	"github.com/sluiceml/sluice/tokenizer/pretoken"
)

// Normalizer changes a text. Implementations are immutable and safe for concurrent use. The text must be valid UTF-8.
type Normalizer interface {
	Normalize(s String) String
}

// Matcher finds the places of a text that a pattern matches.
type Matcher interface {
	// Match calls yield with the byte offsets of each match, in order and without overlaps, until yield returns false.
	Match(text string, yield func(start, end int) bool)
}

// Literal matches a text, which must not be empty.
type Literal string

// Match finds the text.
func (l Literal) Match(text string, yield func(start, end int) bool) {
	for pos := 0; ; {
		i := strings.Index(text[pos:], string(l))
		if i < 0 || !yield(pos+i, pos+i+len(l)) {
			return
		}
		pos += i + len(l)
	}
}

// Sequence applies normalizers one after another.
type Sequence []Normalizer

// Normalize applies them.
func (n Sequence) Normalize(s String) String {
	for _, next := range n {
		s = next.Normalize(s)
	}
	return s
}

// Prepend puts a text before every text that is not empty.
type Prepend string

// Normalize puts it there.
func (n Prepend) Normalize(s String) String { return s.Prepend(string(n)) }

// Replace puts Content in the place of each match of Pattern.
type Replace struct {
	Pattern Matcher
	Content string
}

// Normalize replaces. What is put in is taken to come from the last character of what it replaces.
func (n Replace) Normalize(s String) String {
	if s.Text == "" { // where the reference finds nothing, not even a match of nothing
		return s
	}
	if literal, ok := n.Pattern.(Literal); ok && !s.tracked {
		s.Text = strings.ReplaceAll(s.Text, string(literal), n.Content)
		return s
	}
	var b *builder
	n.Pattern.Match(s.Text, func(start, end int) bool {
		if b == nil {
			b = newBuilder(s)
		}
		b.keep(start)
		b.pos = end
		b.text = append(b.text, n.Content...)
		if s.tracked {
			for span := b.before(); len(b.to) < len(b.text); {
				b.to = append(b.to, span)
			}
		}
		return true
	})
	if b == nil {
		return s
	}
	b.keep(len(s.Text))
	return b.done()
}

// Strip takes white space away at the ends of a text.
type Strip struct{ Left, Right bool }

// Normalize strips.
func (n Strip) Normalize(s String) String {
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
	return s.cut(start, end)
}

// Map replaces each character by others, of which the first stands for it and the rest are new. The function appends
// them.
type Map func(dst []rune, r rune) []rune

// Normalize replaces them.
func (n Map) Normalize(s String) String {
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
func (Lowercase) Normalize(s String) String {
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
		return s
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
