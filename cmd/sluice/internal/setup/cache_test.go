package setup

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestDefaultCache(t *testing.T) {
	t.Setenv("SLUICE_HOME", "/some/where")
	if c, err := DefaultCache(); err != nil || c.Home() != "/some/where" {
		t.Errorf("%v, %v", c, err)
	}
	t.Setenv("SLUICE_HOME", "")
	t.Setenv("XDG_CACHE_HOME", "/xdg")
	t.Setenv("HOME", "/home/someone")
	if c, err := DefaultCache(); err != nil || filepath.Base(c.Home()) != "sluice" {
		t.Errorf("%v, %v", c, err)
	}
}

// TestNotSetUp asks an empty cache for everything.
func TestNotSetUp(t *testing.T) {
	t.Parallel()
	home := filepath.Join(t.TempDir(), "none")
	cache := Cache{home: home}
	for what, ask := range map[string]func() (string, error){
		"sluice setup": func() (string, error) { return cache.ModelDir(DefaultModelName) },
	} {
		_, err := ask()
		var missing *NotSetUpError
		if !errors.As(err, &missing) || missing.Hint != what || !strings.Contains(err.Error(), "`"+what+"`") {
			t.Errorf("%v, want a NotSetUpError naming `%s`", err, what)
		}
	}
	if _, err := os.Stat(home); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("asking made the folder: %v", err)
	}
}

// TestRuntimeLibrary sets this machine's library up by hand.
func TestRuntimeLibrary(t *testing.T) {
	t.Parallel()
	asset, err := HostRuntime(CPU)
	if err != nil {
		t.Skip(err)
	}
	cache := Cache{home: t.TempDir()}
	var missing *NotSetUpError
	if _, err := cache.runtimeLibrary(CPU); !errors.As(err, &missing) || missing.Hint != "sluice setup" {
		t.Errorf("%v, want a NotSetUpError", err)
	}
	path := filepath.Join(cache.Home(), "runtime", asset.Main().Name)
	if err := errors.Join(os.Mkdir(filepath.Dir(path), 0o700), os.WriteFile(path, nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	if _, err := cache.runtimeLibrary(CPU); !errors.As(err, &missing) {
		t.Errorf("without a format: %v, want a NotSetUpError", err)
	}
	writeFormat(t, cache, "1\n")
	if got, err := cache.runtimeLibrary(CPU); err != nil || got != path {
		t.Errorf("%s, %v, want %s", got, err, path)
	}
	if _, err := cache.runtimeLibrary(CUDA); !errors.As(err, &missing) || missing.Hint != "sluice setup --device cuda" {
		t.Errorf("%v, want a NotSetUpError naming --device cuda", err)
	}
}

// TestFormats refuses a newer cache, untouched, and empties an older one.
func TestFormats(t *testing.T) {
	t.Parallel()
	in, _ := newInstaller(t, goodWheels(t))
	result := mustRun(t, in)
	writeFormat(t, in.Cache, "2\n")
	var newer *FormatError
	if _, err := in.Run(t.Context()); !errors.As(err, &newer) || newer.Found != 2 || newer.Known != 1 {
		t.Errorf("%v, want a FormatError", err)
	}
	if _, err := in.Cache.ModelDir("m"); !errors.As(err, &newer) {
		t.Errorf("%v, want a FormatError", err)
	}
	wantContent(t, result.ModelSource, weights.content)

	writeFormat(t, in.Cache, "0\n")
	var missing *NotSetUpError
	if _, err := in.Cache.ModelDir("m"); !errors.As(err, &missing) {
		t.Errorf("%v, want a NotSetUpError", err)
	}
	stale := filepath.Join(in.Cache.Home(), "models", "old")
	if err := os.Mkdir(stale, 0o700); err != nil {
		t.Fatal(err)
	}
	if again := mustRun(t, in); !again.Changed {
		t.Error("an old cache was kept")
	}
	if _, err := os.Stat(stale); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("an old model was kept: %v", err)
	}

	writeFormat(t, in.Cache, "one\n")
	var damaged *CorruptError
	if _, err := in.Run(t.Context()); !errors.As(err, &damaged) {
		t.Errorf("%v, want a CorruptError", err)
	}
}

// TestForeignFolder must not remove or change what is no cache.
func TestForeignFolder(t *testing.T) {
	t.Parallel()
	in, _ := newInstaller(t, goodWheels(t))
	home := in.Cache.Home()
	theirs := filepath.Join(home, "downloads", "thesis.txt")
	if err := errors.Join(os.MkdirAll(filepath.Dir(theirs), 0o755), os.WriteFile(theirs, []byte("x"), 0o600)); err != nil {
		t.Fatal(err)
	}
	var foreign *ForeignError
	if _, err := in.Run(t.Context()); !errors.As(err, &foreign) || foreign.Home != home {
		t.Errorf("%v, want a ForeignError", err)
	}
	wantContent(t, theirs, "x")
	if info, err := os.Stat(home); err != nil || info.Mode().Perm() != 0o755 {
		t.Errorf("the folder's mode was changed: %v, %v", info.Mode(), err)
	}
}

func writeFormat(t *testing.T, cache Cache, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(cache.Home(), "format"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
