package setup

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestRunFillsCache(t *testing.T) {
	t.Parallel()
	wheels := goodWheels(t)
	in, converter := newInstaller(t, wheels)
	result := mustRun(t, in)
	home := in.Cache.Home()
	want := Result{
		RuntimeLibrary: filepath.Join(home, "runtime/rt.so"), ModelSource: filepath.Join(home, "downloads/model/m.gguf"),
		ModelDir: filepath.Join(home, "models/m"), Changed: true,
	}
	if diff := cmp.Diff(want, result); diff != "" {
		t.Errorf("result (-want +got):\n%s", diff)
	}
	wantContent(t, result.RuntimeLibrary, library.content)
	wantContent(t, filepath.Join(home, "runtime/LICENSE"), licence.content)
	wantContent(t, result.ModelSource, weights.content)
	wantContent(t, filepath.Join(result.ModelDir, "model.onnx"), "7765696768747320")
	wantContent(t, filepath.Join(home, "format"), "1\n")
	if info, err := os.Stat(home); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the cache has mode %v, %v", info.Mode(), err)
	}
	if left, _ := filepath.Glob(filepath.Join(home, ".tmp-*")); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}

	// A second run finds all in place: without wheels, and with a pip that does not exist.
	in.Wheels, in.Pip = "", []string{"/nonexistent/pip"}
	want.Changed = false
	if diff := cmp.Diff(want, mustRun(t, in)); diff != "" {
		t.Errorf("second run (-want +got):\n%s", diff)
	}
	if n := converter.calls.Load(); n != 1 {
		t.Errorf("converted %d times", n)
	}
}

func TestRunThroughPip(t *testing.T) {
	wheels := goodWheels(t)
	t.Setenv(fakePip, wheels)
	in, _ := newInstaller(t, "")
	var shown bytes.Buffer
	in.Progress = NewProgress(&shown, false)
	mustRun(t, in)
	log := pipLog(t, wheels)
	if len(log) != 2 {
		t.Fatalf("pip ran %d times: %v", len(log), log)
	}
	for _, part := range []string{
		"download --no-deps --only-binary=:all: --python-version 3.11 --implementation cp --abi cp311 ",
		" --platform manylinux_2_28_test some-runtime==1.0",
	} {
		if !strings.Contains(log[0], part) {
			t.Errorf("pip was asked %q, want %q in it", log[0], part)
		}
	}
	for _, line := range []string{"download Runtime 1.0", "extract Runtime 1.0 (78.1 KiB)", "download Model 2.0: done"} {
		if !strings.Contains(shown.String(), line+"\n") {
			t.Errorf("no line %q in\n%s", line, shown.String())
		}
	}
}

// TestCorruptedDownload lets pip's cache hold a damaged wheel: it is named, and fetched again past that cache.
func TestCorruptedDownload(t *testing.T) {
	wheels := goodWheels(t)
	t.Setenv(fakePip, wheels)
	writeWheel(t, filepath.Join(wheels, "cached"), libraryWheel, licence,
		member{library.path, strings.Repeat("infected", 10_000)})
	in, _ := newInstaller(t, "")
	var shown bytes.Buffer
	in.Progress = NewProgress(&shown, false)
	result := mustRun(t, in)
	wantContent(t, result.RuntimeLibrary, library.content)
	if log := pipLog(t, wheels); len(log) != 3 || !strings.Contains(log[1], "--no-cache-dir") {
		t.Errorf("pip was asked %v", log)
	}
	if !strings.Contains(shown.String(), libraryWheel+": rt/lib/rt.so is corrupted: its sha256 is ") {
		t.Errorf("the corrupted file is not named:\n%s", shown.String())
	}
}

// TestCorruptedTwice gives up after one more try, with nothing in place.
func TestCorruptedTwice(t *testing.T) {
	wheels := t.TempDir()
	t.Setenv(fakePip, wheels)
	writeWheel(t, wheels, libraryWheel, licence, member{library.path, "too short"})
	in, _ := newInstaller(t, "")
	_, err := in.Run(t.Context())
	var damaged *CorruptError
	if !errors.As(err, &damaged) || !strings.Contains(err.Error(), "rt/lib/rt.so") {
		t.Errorf("%v, want a CorruptError that names the file", err)
	}
	if log := pipLog(t, wheels); len(log) != 2 {
		t.Errorf("pip was asked %v", log)
	}
	if _, err := os.Stat(filepath.Join(in.Cache.Home(), "runtime")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("something is in place: %v", err)
	}
	if left, _ := filepath.Glob(filepath.Join(in.Cache.Home(), ".tmp-*")); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

// TestCorruptedCache damages files that were right: the next run names them and puts them right.
func TestCorruptedCache(t *testing.T) {
	t.Parallel()
	in, converter := newInstaller(t, goodWheels(t))
	result := mustRun(t, in)
	for _, damage := range []struct {
		path string
		do   func(string) error
	}{
		{result.RuntimeLibrary, func(p string) error { return os.Truncate(p, 100) }},
		{result.RuntimeLibrary, func(p string) error {
			return os.WriteFile(p, []byte(strings.Repeat("infected", 10_000)), 0o600)
		}},
		{result.ModelSource, os.Remove},
		{filepath.Join(filepath.Dir(result.RuntimeLibrary), "LICENSE"), os.Remove},
		{result.RuntimeLibrary, func(p string) error { return errors.Join(os.Remove(p), os.Mkdir(p, 0o700)) }},
	} {
		if err := damage.do(damage.path); err != nil {
			t.Fatal(err)
		}
		var shown bytes.Buffer
		in.Progress = NewProgress(&shown, false)
		_, missing := os.Stat(damage.path)
		if again := mustRun(t, in); !again.Changed {
			t.Errorf("%s: nothing was changed", damage.path)
		}
		if missing == nil && !strings.Contains(shown.String(), damage.path+" is corrupted") {
			t.Errorf("the corrupted file is not named:\n%s", shown.String())
		}
		wantContent(t, result.RuntimeLibrary, library.content)
		wantContent(t, result.ModelSource, weights.content)
	}
	if n := converter.calls.Load(); n != 1 {
		t.Errorf("converted %d times", n)
	}
}

// TestBadModelFolder has a converted folder made again that the program cannot read.
func TestBadModelFolder(t *testing.T) {
	t.Parallel()
	in, converter := newInstaller(t, goodWheels(t))
	result := mustRun(t, in)
	bad := errors.New("it is from last year")
	in.Check = func(dir string) error {
		if dir != result.ModelDir {
			t.Errorf("checked %s", dir)
		}
		return bad
	}
	if again := mustRun(t, in); !again.Changed || converter.calls.Load() != 2 {
		t.Errorf("changed %v, converted %d times", again.Changed, converter.calls.Load())
	}
	bad = nil
	if again := mustRun(t, in); again.Changed {
		t.Error("a good folder was made again")
	}
}

// TestFailedConversion leaves no folder behind.
func TestFailedConversion(t *testing.T) {
	t.Parallel()
	in, good := newInstaller(t, goodWheels(t))
	failure := errors.New("disk full")
	in.Convert = func(_ context.Context, _, outDir string) error {
		return errors.Join(os.Mkdir(outDir, 0o700), failure)
	}
	if _, err := in.Run(t.Context()); !errors.Is(err, failure) {
		t.Errorf("%v, want the conversion's error", err)
	}
	var missing *NotSetUpError
	if _, err := in.Cache.ModelDir("m"); !errors.As(err, &missing) {
		t.Errorf("%v, want a NotSetUpError", err)
	}
	in.Convert = good.convert
	mustRun(t, in)
	if _, err := in.Cache.ModelDir("m"); err != nil {
		t.Error(err)
	}
}

// TestConcurrentSetups runs several at once in one cache: each succeeds, and the work is done once.
func TestConcurrentSetups(t *testing.T) {
	t.Parallel()
	in, converter := newInstaller(t, goodWheels(t))
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			if _, err := in.Run(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := converter.calls.Load(); n != 1 {
		t.Errorf("converted %d times", n)
	}
}

// TestWaitingEnds stops a setup that waits for another.
func TestWaitingEnds(t *testing.T) {
	t.Parallel()
	in, _ := newInstaller(t, goodWheels(t))
	ctx, cancel := context.WithCancelCause(t.Context())
	stop := errors.New("stop")
	convert := in.Convert
	in.Convert = func(ctx context.Context, source, outDir string) error {
		waiting, cancelled := context.WithCancel(ctx)
		cancelled()
		if _, err := in.Run(waiting); !errors.Is(err, context.Canceled) {
			t.Errorf("a second setup: %v, want context.Canceled", err)
		}
		cancel(stop)
		return convert(ctx, source, outDir)
	}
	if _, err := in.Run(ctx); err != nil {
		t.Errorf("the first setup, whose work was done: %v", err)
	}
}

// TestInterrupted stops a setup in its extraction.
func TestInterrupted(t *testing.T) {
	t.Parallel()
	in, _ := newInstaller(t, goodWheels(t))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := in.Run(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("%v, want context.Canceled", err)
	}
	if left, _ := filepath.Glob(filepath.Join(in.Cache.Home(), ".tmp-*")); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
	mustRun(t, in)
}

func TestNoPip(t *testing.T) {
	t.Parallel()
	in, _ := newInstaller(t, "")
	in.Pip = []string{"/nonexistent/pip"}
	_, err := in.Run(t.Context())
	var bad *PipError
	if !errors.As(err, &bad) || !strings.Contains(err.Error(), "--wheels DIR") ||
		!strings.Contains(err.Error(), "some-runtime==1.0") {
		t.Errorf("%v, want a PipError that names the wheel and --wheels", err)
	}
}

// TestPipFails shows what pip said.
func TestPipFails(t *testing.T) {
	t.Setenv(fakePip, t.TempDir())
	in, _ := newInstaller(t, "")
	_, err := in.Run(t.Context())
	var bad *PipError
	if !errors.As(err, &bad) || !strings.Contains(err.Error(), "No matching distribution found for some-runtime==1.0") {
		t.Errorf("%v, want a PipError with pip's words", err)
	}
}

func TestMissingWheel(t *testing.T) {
	t.Parallel()
	in, _ := newInstaller(t, t.TempDir())
	_, err := in.Run(t.Context())
	var missing *WheelError
	if !errors.As(err, &missing) || missing.Requirement != "some-runtime==1.0" {
		t.Errorf("%v, want a WheelError", err)
	}
}

// TestRuntimeOnly looks at no model.
func TestRuntimeOnly(t *testing.T) {
	t.Parallel()
	in, converter := newInstaller(t, goodWheels(t))
	in.RuntimeOnly, in.Model, in.ModelName, in.Convert = true, Asset{}, "", nil
	result := mustRun(t, in)
	wantContent(t, result.RuntimeLibrary, library.content)
	if result.ModelDir != "" || converter.calls.Load() != 0 {
		t.Errorf("%+v", result)
	}
}
