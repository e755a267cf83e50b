package conversation

import (
	"io"
	"strings"
	"unicode"
	"unicode/utf8"
)

// screen writes answers. A model's text may hold anything, and a terminal would obey its control characters: only line
// ends and tabs get through.
type screen struct {
	to   io.Writer
	dark bool // dimmed text is being written
	last rune // written
	err  error
}

const (
	dimOn  = "\x1b[2m"
	dimOff = "\x1b[0m"
)

// plain writes text of the answer.
func (s *screen) plain(text string) {
	if text != "" && s.dark {
		s.dark = false
		s.raw(dimOff + "\n")
		s.last = '\n'
	}
	s.visible(text)
}

// dim writes text beside the answer.
func (s *screen) dim(text string) {
	if !s.dark {
		s.dark = true
		s.raw(dimOn)
	}
	s.visible(text)
}

// end ends the line and the dimming that text has begun.
func (s *screen) end() {
	if s.dark {
		s.dark = false
		s.raw(dimOff)
	}
	if s.last != 0 && s.last != '\n' {
		s.raw("\n")
	}
}

func (s *screen) visible(text string) {
	text = printable(text)
	if text != "" {
		s.last, _ = utf8.DecodeLastRuneInString(text)
	}
	s.raw(text)
}

// printable is a text without what a terminal would obey.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) && r != '\n' && r != '\t' {
			return unicode.ReplacementChar
		}
		return r
	}, text)
}

func (s *screen) raw(text string) {
	if s.err == nil && text != "" {
		_, s.err = io.WriteString(s.to, text)
	}
}
