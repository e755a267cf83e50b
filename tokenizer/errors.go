package tokenizer

import (
	"errors"
	"fmt"
	"unicode/utf8"
)

// UnsupportedError says that a tokenizer needs something that this package does not do.
type UnsupportedError struct {
	Part string // where it stands, such as "normalizer"
	Name string // what it is, such as "NFKC"
}

func (e *UnsupportedError) Error() string {
	return fmt.Sprintf("tokenizer: %s %s is not supported", e.Part, clip(e.Name))
}

// SpecialTokenError says that a text contains a special token although the policy is [ForbidSpecial].
type SpecialTokenError struct {
	Token  string
	Offset int // in bytes, where the token begins in the text
}

func (e *SpecialTokenError) Error() string {
	return fmt.Sprintf("tokenizer: special token %q at byte %d of the text", e.Token, e.Offset)
}

// RangeError says that a literal range does not lie within the text.
type RangeError struct {
	Range Range
	Len   int // of the text, in bytes
}

func (e *RangeError) Error() string {
	return fmt.Sprintf("tokenizer: literal range [%d, %d) outside the text of %d bytes", e.Range.Start, e.Range.End, e.Len)
}

// LimitError says that encoding a text would take too much time or memory: a pattern backtracks too long, or a normalizer
// makes the text many times as long. No tokenizer in common use is known to do that; a malicious file can.
type LimitError struct {
	Part string // where it stands, such as "normalizer"
	Err  error  // what happened: a *pattern.LimitError, a *normalize.GrowthError, or that all of it takes too long
}

func (e *LimitError) Error() string { return fmt.Sprintf("tokenizer: %s: %v", e.Part, e.Err) }

// Unwrap returns what happened.
func (e *LimitError) Unwrap() error { return e.Err }

// maxQuoted bounds the length in bytes of what an error quotes of a file.
const maxQuoted = 1 << 10

// clip shortens a message that quotes a file.
func clip(s string) string {
	if len(s) <= maxQuoted {
		return s
	}
	end := maxQuoted
	for end > 0 && !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end] + "…"
}

// formatError reports malformed input: "tokenizer: " and the message.
func formatError(format string, args ...any) error {
	err := fmt.Errorf("tokenizer: "+format, args...)
	if text := err.Error(); len(text) > maxQuoted {
		return errors.New(clip(text))
	}
	return err
}
