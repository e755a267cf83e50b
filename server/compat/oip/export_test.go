package oip

import (
	"testing"

	oippb "github.com/sluiceml/sluice/proto/inference"
)

// Parse reads a request, for the fuzzer.
func Parse(t *testing.T, in *oippb.ModelInferRequest) {
	t.Helper()
	if r, err := parse(in); (r == nil) == (err == nil) {
		t.Errorf("%v and %v", r, err)
	}
}
