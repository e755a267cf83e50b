package tokenizer

import (
	"strings"

	"github.com/sluiceml/sluice/tokenizer/normalize"
	"github.com/sluiceml/sluice/tokenizer/pretoken"
)

// step is one pre-tokenizer: it cuts or changes a piece of text and hands the pieces on.
type step interface {
	// apply fails if a pattern does.
	apply(s normalize.String, next func(normalize.String)) error
}

// scan cuts by a scanner, which covers the whole text.
type scan struct{ pretoken.Splitter }

func (p scan) apply(s normalize.String, next func(normalize.String)) error {
	p.Split(s.Text, func(start int, word string) bool {
		next(s.Slice(start, start+len(word)))
		return true
	})
	return nil
}

// spacePrefix puts a space before a text that does not begin with one.
type spacePrefix struct{}

func (spacePrefix) apply(s normalize.String, next func(normalize.String)) error {
	if s.Text != "" && s.Text[0] != ' ' {
		s = s.Prepend(" ")
	}
	next(s)
	return nil
}

// byteCharacters turns a text into the characters of its bytes.
type byteCharacters struct{ letters *alphabet }

func (p byteCharacters) apply(s normalize.String, next func(normalize.String)) error {
	next(p.letters.write(s))
	return nil
}

// prepend says when the Metaspace pre-tokenizer puts its character before a text.
type prepend uint8

const (
	prependAlways prepend = iota
	prependFirst          // before the text that the whole one begins with
	prependNever
)

// metaspace writes spaces as another character and cuts before it.
type metaspace struct {
	replace normalize.Replace // of a space
	prepend prepend
	split   bool
}

func (p metaspace) apply(s normalize.String, next func(normalize.String)) error {
	s, err := p.replace.Normalize(s)
	if err != nil {
		return err
	}
	mark := p.replace.Content
	has := len(s.Text) >= len(mark) && s.Text[:len(mark)] == mark
	if !has && (p.prepend == prependAlways || (p.prepend == prependFirst && s.Start() == 0)) {
		s = s.Prepend(mark)
	}
	if !p.split {
		if s.Text != "" {
			next(s)
		}
		return nil
	}
	return delimiter{match: normalize.Literal(mark), behavior: mergedWithNext}.apply(s, next)
}

// behavior says what becomes of the delimiters that cut a text.
type behavior uint8

const (
	removed            behavior = iota
	isolated                    // each is a piece
	mergedWithPrevious          // each ends the piece before it
	mergedWithNext              // each begins the piece after it
	contiguous                  // neighbours are one piece
)

// delimiter cuts a text at the matches of a pattern, or, inverted, at what lies between.
type delimiter struct {
	match    normalize.Matcher
	behavior behavior
	invert   bool
}

// part is a match, or what lies between two.
type part struct {
	start, end int
	matched    bool
}

// apply cuts. One part is kept back, since the next may join it.
func (d delimiter) apply(s normalize.String, next func(normalize.String)) error {
	if literal, ok := d.match.(normalize.Literal); ok && !d.invert && !strings.Contains(s.Text, string(literal)) {
		if s.Text != "" {
			next(s)
		}
		return nil
	}
	c := cutter{text: s, next: next, behavior: d.behavior}
	done := 0
	err := d.match.Match(s.Text, func(start, end int) bool {
		if done < start {
			c.add(part{done, start, d.invert})
		}
		c.add(part{start, end, !d.invert})
		done = end
		return true
	})
	if err != nil {
		return err
	}
	if done < len(s.Text) {
		c.add(part{done, len(s.Text), d.invert})
	}
	c.flush()
	return nil
}

// cutter joins the parts of one text to pieces by a behavior.
type cutter struct {
	text     normalize.String
	next     func(normalize.String)
	behavior behavior
	held     part
	holds    bool
	previous bool // what the reference calls previous_match
}

func (c *cutter) flush() {
	if c.holds && c.held.start < c.held.end {
		c.next(c.text.Slice(c.held.start, c.held.end))
	}
	c.holds = false
}

// add takes the next part.
func (c *cutter) add(p part) {
	join := false
	switch c.behavior {
	case removed:
		if p.matched {
			return
		}
	case isolated:
	case contiguous:
		join = c.holds && p.matched == c.previous
	case mergedWithPrevious:
		join = c.holds && p.matched && !c.previous
	case mergedWithNext:
		// A match joins what comes after it, unless that is a match too. The reference goes through the parts from the
		// last to the first: of neighbouring matches only the last joins, and a match before one stands alone.
		join = c.holds && c.previous && !p.matched
	}
	c.previous = p.matched
	if join {
		c.held.end = p.end
		return
	}
	c.flush()
	c.held, c.holds = p, true
}

// characters matches each character that a function chooses.
type characters func(r rune) bool

// Match finds them.
func (f characters) Match(text string, yield func(start, end int) bool) error {
	for i := 0; i < len(text); {
		r, n := decodeRune(text, i)
		if f(r) && !yield(i, i+n) {
			return nil
		}
		i += n
	}
	return nil
}

// wordOrPunctuation matches runs of word characters, and runs of what is neither a word character nor white space:
// the pattern \w+|[^\w\s]+ of the Whitespace pre-tokenizer.
type wordOrPunctuation struct{}

// Match finds them.
func (wordOrPunctuation) Match(text string, yield func(start, end int) bool) error {
	const kinds = pretoken.Word | pretoken.Padding
	for i := 0; i < len(text); {
		r, n := decodeRune(text, i)
		kind := pretoken.ClassOf(r) & kinds
		end := i + n
		if kind&pretoken.Word != 0 {
			kind = pretoken.Word
		}
		for end < len(text) {
			r, n := decodeRune(text, end)
			k := pretoken.ClassOf(r) & kinds
			if k&pretoken.Word != 0 {
				k = pretoken.Word
			}
			if k != kind {
				break
			}
			end += n
		}
		if kind != pretoken.Padding && !yield(i, end) {
			return nil
		}
		i = end
	}
	return nil
}

func isWhiteSpace(r rune) bool { return pretoken.ClassOf(r)&pretoken.Padding != 0 }
