package chat

import (
	"errors"
	"strings"
	"testing"
)

// TestPanicIsTyped: a panic of the library comes back as an error that callers can tell from the template's own, with
// its stack.
func TestPanicIsTyped(t *testing.T) {
	err := func() (err error) {
		defer recoverInto(&err)
		panic("index out of range")
	}()
	caught, ok := errors.AsType[*PanicError](err)
	if !ok || !strings.Contains(err.Error(), "index out of range") || !strings.Contains(string(caught.Stack()), "TestPanicIsTyped") {
		t.Errorf("got %v", err)
	}
}
