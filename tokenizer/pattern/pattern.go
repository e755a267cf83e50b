package pattern

import (
	"fmt"

	"github.com/dlclark/regexp2/v2"
)

// Regexp is a compiled pattern. It is immutable and safe for concurrent use.
type Regexp struct{ re *regexp2.Regexp }

// maxPattern bounds the length of a pattern in bytes.
const maxPattern = 1 << 13

// Compile translates a pattern of Oniguruma. What it does not know is a [SyntaxError].
func Compile(pattern string) (*Regexp, error) {
	if len(pattern) > maxPattern {
		return nil, &SyntaxError{Pattern: pattern[:64] + "…", Reason: fmt.Sprintf("a pattern of %d bytes", len(pattern))}
	}
	translated, err := translate(pattern)
	if err != nil {
		return nil, err
	}
	// Without a limit: the text bounds it already, and a match that gave up would be a wrong one.
	re, err := regexp2.Compile(translated, regexp2.OptionMaxBacktrackingStackSize(-1))
	if err != nil {
		return nil, fmt.Errorf("pattern %q: %w", pattern, err)
	}
	return &Regexp{re: re}, nil
}

// Match calls yield with the byte offsets of each match, in order, until yield returns false. A match of nothing
// that touches the end of the match before it does not count. The text must be valid UTF-8.
func (r *Regexp) Match(text string, yield func(start, end int) bool) {
	last := -1
	m, err := r.re.FindStringMatch(text) // fails only by a time limit, and there is none
	for err == nil && m != nil {
		start, length := m.ByteRange()
		if length > 0 || start != last {
			if !yield(start, start+length) {
				return
			}
			last = start + length
		}
		m, err = r.re.FindNextMatch(m)
	}
}
