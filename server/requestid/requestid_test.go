package requestid_test

import (
	"strings"
	"testing"

	"github.com/sluiceml/sluice/server/requestid"
)

func TestCheck(t *testing.T) {
	t.Parallel()
	for id, want := range map[string]string{
		"":                       "",
		"edge 1/~":               "",
		strings.Repeat("x", 128): "",
		strings.Repeat("x", 129): "must have at most 128 characters",
		"Zürich":                 "must be printable ASCII",
		"a\nb":                   "must be printable ASCII",
		"a\x7f":                  "must be printable ASCII",
	} {
		got := ""
		if err := requestid.Check(id); err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("%q: %q, want %q", id, got, want)
		}
	}
}
