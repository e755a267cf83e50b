package pattern

import (
	"fmt"
	"time"

	"github.com/dlclark/regexp2/v2"
)

// Regexp is a compiled pattern. It is immutable and safe for concurrent use.
type Regexp struct {
	re     *regexp2.Regexp
	source string
	time   func(n int) time.Duration // TimeFor, but for tests
}

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
	re, err := regexp2.Compile(translated, regexp2.OptionMaxBacktrackingStackSize(maxStack))
	if err != nil {
		return nil, fmt.Errorf("pattern %q: %w", pattern, err)
	}
	re.MatchTimeout = baseTime
	return &Regexp{re: re, source: pattern, time: TimeFor}, nil
}

// Match calls yield with the byte offsets of each match, in order, until yield returns false. A match of nothing
// that touches the end of the match before it does not count. The text must be valid UTF-8. A search that takes too
// long, or too much memory, ends with a [LimitError]: a match that gave up would be a wrong one.
func (r *Regexp) Match(text string, yield func(start, end int) bool) error {
	last := -1
	end := time.Now().Add(r.time(len(text)))
	m, err := r.re.FindStringMatch(text)
	for err == nil && m != nil {
		if time.Now().After(end) {
			return &LimitError{Pattern: r.source}
		}
		start, length := m.ByteRange()
		if length > 0 || start != last {
			if !yield(start, start+length) {
				return nil
			}
			last = start + length
		}
		m, err = r.re.FindNextMatch(m)
	}
	if err != nil {
		return &LimitError{Pattern: r.source}
	}
	return nil
}

// What a search may take. The engine does about a million bytes a second on the patterns of the field, a tenth of the
// time that is allowed; only backtracking that is more than linear in the text takes longer.
const (
	baseTime    = 2 * time.Second
	timePerByte = 10 * time.Microsecond
	// maxStack is the number of integers that the engine may backtrack to: 128 MiB, a few for each turn of a loop.
	maxStack = 1 << 24
)

// TimeFor returns the time that a search of a text of n bytes may take, a single match no more than
// what an empty text may.
func TimeFor(n int) time.Duration { return baseTime + time.Duration(n)*timePerByte }

// LimitError says that a pattern took more time or memory for a text than is allowed.
type LimitError struct{ Pattern string }

func (e *LimitError) Error() string {
	return fmt.Sprintf("the pattern %q backtracks too long on the text", e.Pattern)
}
