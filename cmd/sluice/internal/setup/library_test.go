package setup

import (
	"os"
	"path/filepath"
	"testing"
)

// TestFindLibrary looks for a library without a folder in the working directory, where the loader would not.
func TestFindLibrary(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	if err := os.WriteFile("lib.so", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := FindLibrary("lib.so", CPU)
	if err != nil {
		t.Fatal(err)
	}
	if want := filepath.Join(dir, "lib.so"); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
