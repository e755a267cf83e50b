package panics_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/sluiceml/sluice/internal/panics"
)

func explode() { panic("a bug") }

// A panic is an error that leads to its place; what is none stays what it is.
func TestCatch(t *testing.T) {
	t.Parallel()
	err := panics.Catch(func() error {
		explode()
		return nil
	})
	caught, ok := errors.AsType[*panics.Error](err)
	if !ok || caught.Value != "a bug" || err.Error() != "panic: a bug" || !strings.Contains(string(caught.Stack()), "panics_test.explode") {
		t.Errorf("got %v", err)
	}
	plain := errors.New("no panic")
	for _, want := range []error{plain, nil} {
		if got := panics.Catch(func() error { return want }); got != want { //nolint:errorlint // exactly that
			t.Errorf("%v became %v", want, got)
		}
	}
}
