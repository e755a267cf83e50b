package ort

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestCheckVersion(t *testing.T) {
	t.Parallel()
	for _, version := range []string{"1.24.0", "1.24.1", "1.32.0", "1.100", "2.0.0", "1.33.0-dev"} {
		if err := checkVersion(version); err != nil {
			t.Errorf("%s: %v", version, err)
		}
	}
	for _, version := range []string{"1.23.2", "1.9.0", "0.30.0"} {
		var old *VersionError
		if err := checkVersion(version); !errors.As(err, &old) || old.Found != version {
			t.Errorf("%s: %v, want a VersionError", version, err)
		}
	}
	for _, version := range []string{"", "1", "x.24", "1.x"} {
		if err := checkVersion(version); err == nil {
			t.Errorf("%q is accepted", version)
		}
	}
}

// TestBadLibrary wants an error that says what is wrong and what to do.
func TestBadLibrary(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	text := filepath.Join(dir, "text.so")
	if err := os.WriteFile(text, []byte("not a library"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{filepath.Join(dir, "nothing.so"), text, dir} {
		_, err := OpenEnvironment(path)
		var bad *LibraryError
		if !errors.As(err, &bad) || bad.Path != path || !strings.Contains(err.Error(), "sluice setup") {
			t.Errorf("%s: %v, want a LibraryError naming `sluice setup`", path, err)
		}
	}
	_, err := OpenEnvironment(filepath.Join(dir, "nothing.so"))
	if !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a missing library: %v, want fs.ErrNotExist", err)
	}
}

// TestForeignLibrary loads a library that is not ONNX Runtime: the C library, which every process has.
func TestForeignLibrary(t *testing.T) {
	t.Parallel()
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		t.Skip("this system does not list a process's libraries")
	}
	for line := range strings.Lines(string(maps)) {
		at := strings.IndexByte(line, '/')
		if at < 0 || !strings.Contains(line, "libc.so") {
			continue
		}
		_, err := OpenEnvironment(strings.TrimSpace(line[at:]))
		if err == nil || !strings.Contains(err.Error(), "OrtGetApiBase") {
			t.Errorf("the C library: %v", err)
		}
		return
	}
}

func TestEnvironmentOncePerProcess(t *testing.T) {
	env, err := OpenEnvironment(library(t))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(env.Version(), "1.") {
		t.Errorf("version %q", env.Version())
	}
	if _, err := OpenEnvironment(library(t)); !errors.Is(err, ErrInUse) {
		t.Errorf("a second environment: %v, want ErrInUse", err)
	}
	s, err := env.Open(tinyConfig())
	if err != nil {
		t.Fatal(err)
	}
	wantMisuse(t, "closing an environment in use", ErrInUse, env.Close)
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if err := env.Close(); err != nil {
		t.Error(err)
	}
	wantMisuse(t, "closing an environment twice", ErrClosed, env.Close)
	wantMisuse(t, "a session of a closed environment", ErrClosed, func() error {
		_, err := env.Open(tinyConfig())
		return err
	})

	again, err := OpenEnvironment(library(t))
	if err != nil {
		t.Fatalf("after closing: %v", err)
	}
	if err := again.Close(); err != nil {
		t.Error(err)
	}
}

// wantMisuse runs what a program must not do: an error, or a panic where invariants are checked.
func wantMisuse(t *testing.T, what string, want error, run func() error) {
	t.Helper()
	err := func() (err error) {
		defer func() {
			if p := recover(); p != nil {
				if !invariants {
					t.Errorf("%s panics: %v", what, p)
				}
				err, _ = p.(error)
			} else if invariants {
				t.Errorf("%s does not panic", what)
			}
		}()
		return run()
	}()
	if !errors.Is(err, want) {
		t.Errorf("%s: %v, want %v", what, err, want)
	}
}
