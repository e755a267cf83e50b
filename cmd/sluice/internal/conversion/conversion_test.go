package conversion

import (
	"encoding/binary"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sluiceml/sluice/cmd/sluice/internal/setup"
)

// TestNotConverted names what is wrong first: an architecture that is not known, and not the vocabulary that lacks too.
func TestNotConverted(t *testing.T) {
	t.Parallel()
	const kindText = 8
	text := func(b []byte, s string) []byte {
		return append(binary.LittleEndian.AppendUint64(b, uint64(len(s))), s...)
	}
	gguf := binary.LittleEndian.AppendUint32([]byte("GGUF"), 3)
	gguf = binary.LittleEndian.AppendUint64(gguf, 0) // tensors
	gguf = binary.LittleEndian.AppendUint64(gguf, 1) // values
	gguf = binary.LittleEndian.AppendUint32(text(gguf, "general.architecture"), kindText)
	path := filepath.Join(t.TempDir(), "other.gguf")
	if err := os.WriteFile(path, text(gguf, "mamba"), 0o600); err != nil {
		t.Fatal(err)
	}
	progress := setup.NewProgress(io.Discard, false)
	defer progress.Close()
	err := Conversion{Source: path, Out: filepath.Join(t.TempDir(), "out")}.Run(t.Context(), progress)
	if err == nil || !strings.Contains(err.Error(), `the architecture "mamba" is not supported`) {
		t.Errorf("got error %v", err)
	}
}

func TestReplaceLosesNothing(t *testing.T) {
	for _, test := range []struct {
		name     string
		fail     int // this rename and those after it fail; 0: none
		failures int // how many fail
		at       string
		stranded bool
	}{
		{"replaced", 0, 0, "fresh", false},
		{"not moved away", 1, 1, "former", false},
		{"put back", 2, 1, "former", false},
		{"not put back", 2, 2, "", true},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			out, fresh, old := filepath.Join(dir, "out"), filepath.Join(dir, "new"), filepath.Join(dir, "old")
			for path, text := range map[string]string{out: "former", fresh: "fresh"} {
				if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			calls := 0
			err := replace(func(from, to string) error {
				calls++
				if calls >= test.fail && calls < test.fail+test.failures {
					return errors.New("no space left")
				}
				return os.Rename(from, to)
			}, fresh, out, old)
			if (err != nil) != (test.failures > 0) {
				t.Fatal(err)
			}
			if got, _ := os.ReadFile(out); string(got) != test.at {
				t.Errorf("at out is %q, want %q", got, test.at)
			}
			if stranded := errors.As(err, new(*strandedError)); stranded != test.stranded {
				t.Fatalf("stranded %v: %v", stranded, err)
			}
			if !test.stranded {
				return
			}
			if !strings.Contains(err.Error(), old) {
				t.Errorf("%v does not name %s", err, old)
			}
			if got, _ := os.ReadFile(old); string(got) != "former" {
				t.Errorf("at old is %q", got)
			}
		})
	}
}
