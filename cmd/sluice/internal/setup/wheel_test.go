package setup

import (
	"archive/zip"
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestExtractTakesOnlyPins unpacks a hostile wheel.
func TestExtractTakesOnlyPins(t *testing.T) {
	t.Parallel()
	dir, out := t.TempDir(), t.TempDir()
	writeWheel(t, dir, "w.whl", member{"../../escaped", "x"}, member{"/etc/escaped", "x"}, member{"rt.so", "wrong one"},
		licence, library)
	if err := extract(t.Context(), filepath.Join(dir, "w.whl"), runtimeAsset(), out, noTask{}); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(out)
	if err != nil || len(entries) != 2 {
		t.Errorf("%v, %v, want the two pinned files", entries, err)
	}
	wantContent(t, filepath.Join(out, "rt.so"), library.content)
}

func TestExtractRefuses(t *testing.T) {
	t.Parallel()
	for name, members := range map[string][]member{
		"missing":  {licence},
		"short":    {licence, {library.path, "x"}},
		"long":     {licence, {library.path, library.content + "x"}},
		"changed":  {licence, {library.path, strings.Replace(library.content, "l", "L", 1)}},
		"a folder": {licence, {library.path + "/", ""}},
	} {
		dir := t.TempDir()
		writeWheel(t, dir, "w.whl", members...)
		err := extract(t.Context(), filepath.Join(dir, "w.whl"), runtimeAsset(), t.TempDir(), noTask{})
		var damaged *CorruptError
		if !errors.As(err, &damaged) || damaged.Path != "w.whl: "+library.path {
			t.Errorf("%s: %v, want a CorruptError about %s", name, err, library.path)
		}
	}
}

// TestExtractLyingSize unpacks a member that is longer than its header says, as an archive that wants to fill the disk.
func TestExtractLyingSize(t *testing.T) {
	t.Parallel()
	var buffer bytes.Buffer
	w := zip.NewWriter(&buffer)
	for _, m := range []member{licence, library} {
		header := &zip.FileHeader{
			Name: m.path, Method: zip.Store, UncompressedSize64: uint64(len(m.content)),
			CompressedSize64: uint64(len(m.content)) * 3,
		}
		f, err := w.CreateRaw(header)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Write([]byte(strings.Repeat(m.content, 3))); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	path, out := filepath.Join(t.TempDir(), "w.whl"), t.TempDir()
	if err := os.WriteFile(path, buffer.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	var damaged *CorruptError
	if err := extract(t.Context(), path, runtimeAsset(), out, noTask{}); !errors.As(err, &damaged) {
		t.Errorf("%v, want a CorruptError", err)
	}
	if info, err := os.Stat(filepath.Join(out, "LICENSE")); err == nil && info.Size() > int64(len(licence.content))+1 {
		t.Errorf("%d bytes were written of %d", info.Size(), len(licence.content))
	}
}

// FuzzExtract unpacks anything.
func FuzzExtract(f *testing.F) {
	var buffer bytes.Buffer
	w := zip.NewWriter(&buffer)
	small := member{"a", "b"}
	if m, err := w.Create(small.path); err != nil {
		f.Fatal(err)
	} else if _, err := m.Write([]byte(small.content)); err != nil {
		f.Fatal(err)
	}
	if err := w.Close(); err != nil {
		f.Fatal(err)
	}
	f.Add(buffer.Bytes())
	f.Add([]byte("PK"))
	f.Fuzz(func(t *testing.T, data []byte) {
		path, out := filepath.Join(t.TempDir(), "w.whl"), t.TempDir()
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		asset := Asset{Files: []File{pinned(small, "out")}}
		if err := extract(t.Context(), path, asset, out, noTask{}); err == nil {
			wantContent(t, filepath.Join(out, "out"), small.content)
		}
	})
}

// TestPinsAreComplete checks the form of the table; the tag network checks its truth.
func TestPinsAreComplete(t *testing.T) {
	t.Parallel()
	for _, a := range append(supported(t), DefaultModel()) {
		if a.Title == "" || a.Project == "" || a.Version == "" || a.Folder == "" || len(a.Platforms) == 0 || a.Bytes == 0 {
			t.Errorf("%+v is incomplete", a)
		}
		names := map[string]bool{}
		for _, file := range a.Files {
			if len(file.SHA256) != 64 || file.Size <= 0 || file.Name != filepath.Base(file.Member) || names[file.Name] {
				t.Errorf("%s: %+v", a.Title, file)
			}
			names[file.Name] = true
		}
		if !names["LICENSE"] {
			t.Errorf("%s comes without its licence", a.Title)
		}
	}
	var unsupported *UnsupportedError
	for _, bad := range [][2]string{{"windows", "amd64"}, {"darwin", "amd64"}, {"linux", "riscv64"}} {
		if _, err := runtimeFor(bad[0], bad[1], CPU); !errors.As(err, &unsupported) {
			t.Errorf("%v: %v, want an UnsupportedError", bad, err)
		}
	}
	if _, err := runtimeFor("darwin", "arm64", CUDA); !errors.As(err, &unsupported) {
		t.Errorf("CUDA on macOS: %v, want an UnsupportedError", err)
	}
}

// supported are the runtimes of all platforms.
func supported(t *testing.T) []Asset {
	t.Helper()
	var assets []Asset
	for _, p := range []struct {
		os, arch string
		provider Provider
	}{
		{"linux", "amd64", CPU},
		{"linux", "arm64", CPU},
		{"darwin", "arm64", CPU},
		{"linux", "amd64", CUDA},
		{"linux", "arm64", CUDA},
	} {
		a, err := runtimeFor(p.os, p.arch, p.provider)
		if err != nil {
			t.Fatal(err)
		}
		assets = append(assets, a)
	}
	return assets
}
