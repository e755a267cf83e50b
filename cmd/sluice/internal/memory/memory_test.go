package memory

import (
	"os"
	"runtime"
	"testing"
)

// TestThisMachine: what the machine that the test runs on says is of a believable size.
func TestThisMachine(t *testing.T) {
	const least = 1 << 20
	if n := Limit(); n < least {
		t.Errorf("the limit is %d bytes", n)
	}
	if n := Available(os.DirFS("/")); n < least {
		t.Errorf("%d bytes are available", n)
	}
	if n := Resident(); runtime.GOOS == "linux" && n < least {
		t.Errorf("%d bytes are resident", n)
	}
}
