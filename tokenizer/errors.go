package tokenizer

import (
	"fmt"
)

// UnsupportedError says that a tokenizer needs something that this package does not do.
type UnsupportedError struct {
	Part string // where it stands, such as "normalizer"
	Name string // what it is, such as "NFKC"
}

func (e *UnsupportedError) Error() string {
	return fmt.Sprintf("tokenizer: %s %s is not supported", e.Part, e.Name)
}

// SpecialTokenError says that a text holds a special token although [ForbidSpecial] was asked.
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

// formatError reports malformed input: "tokenizer: " and the message.
func formatError(format string, args ...any) error {
	return fmt.Errorf("tokenizer: "+format, args...)
}
