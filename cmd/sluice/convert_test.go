package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

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
