package buildinfo

import (
	"runtime"
	"testing"
)

// TestRead: the linker's version wins over the module's, and the rest is always said.
func TestRead(t *testing.T) {
	t.Parallel()
	if b := Read("v1.2.3"); b.Version != "v1.2.3" || b.Go != runtime.Version() || b.Platform != runtime.GOOS+"/"+runtime.GOARCH || b.Commit == "" {
		t.Errorf("%+v", b)
	}
	if b := Read(""); b.Version == "" {
		t.Errorf("no version: %+v", b)
	}
}
