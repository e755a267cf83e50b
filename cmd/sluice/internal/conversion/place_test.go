package conversion

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sluiceml/sluice/cmd/sluice/internal/usage"
)

// TestInputsAreNotReplaced: what a conversion reads may not lie in the folder that it replaces.
func TestInputsAreNotReplaced(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	out := filepath.Join(dir, "out")
	if err := os.MkdirAll(filepath.Join(out, "sub"), 0o700); err != nil {
		t.Fatal(err)
	}
	inside, beside := filepath.Join(out, "sub", "a.gguf"), filepath.Join(dir, "outer.gguf")
	for _, path := range []string{inside, beside} {
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	link := filepath.Join(dir, "link.gguf")
	if err := os.Symlink(inside, link); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name   string
		c      Conversion
		refuse bool
	}{
		{"a source in it", Conversion{Source: inside, Out: out}, true},
		{"the folder itself", Conversion{Source: out, Out: out}, true},
		{"a link into it", Conversion{Source: link, Out: out}, true},
		{"calibration texts", Conversion{Source: beside, Texts: inside, Out: out}, true},
		{"the text of a report", Conversion{Source: beside, Report: inside, Out: out}, true},
		{"a licence", Conversion{Source: beside, Licences: []string{inside}, Out: out}, true},
		{"a name that begins alike", Conversion{Source: beside, Out: out}, false},
		{"a folder that is not there", Conversion{Source: inside, Out: filepath.Join(dir, "new")}, false},
	} {
		err := test.c.checkInputs(test.c.Out)
		if _, ok := errors.AsType[*usage.Error](err); ok != test.refuse || !test.refuse && err != nil {
			t.Errorf("%s: %v", test.name, err)
		}
	}
}

// TestPlaceReplacesNothing: of two conversions into one place that nobody asked to replace, the second fails.
func TestPlaceReplacesNothing(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	folder := func(name string) string {
		path := filepath.Join(dir, name)
		if err := os.Mkdir(path, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(path, "file"), []byte(name), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	first, second, out := folder("first"), folder("second"), filepath.Join(dir, "out")
	if err := place(first, out); err != nil {
		t.Fatal(err)
	}
	err := place(second, out)
	if _, ok := errors.AsType[*usage.Error](err); !ok || !strings.Contains(err.Error(), out) {
		t.Errorf("got %v", err)
	}
	if got, _ := os.ReadFile(filepath.Join(out, "file")); string(got) != "first" {
		t.Errorf("at out is %q", got)
	}
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := place(second, file); err == nil {
		t.Error("a file was replaced")
	}
}
