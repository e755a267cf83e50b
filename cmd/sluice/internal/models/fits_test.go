package models

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/sluiceml/sluice/inference/model"
)

// TestFits: what is left must hold half as much again as the graph and its weights, and what a model takes besides. The
// weights are holes in files.
func TestFits(t *testing.T) {
	t.Parallel()
	const mib = 1 << 20
	folder := func(graph int64, data ...int64) *model.Folder {
		t.Helper()
		dir := t.TempDir()
		file := func(name string, size int64) string {
			t.Helper()
			path := filepath.Join(dir, name)
			if err := os.WriteFile(path, nil, 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Truncate(path, size); err != nil {
				t.Fatal(err)
			}
			return path
		}
		f := &model.Folder{ModelPath: file("model.onnx", graph)}
		for i, size := range data {
			f.DataPaths = append(f.DataPaths, file("data"+string(rune('0'+i)), size))
		}
		return f
	}
	for _, test := range []struct {
		name      string
		folder    *model.Folder
		available int
		want      string // "": it fits
	}{
		{"to the byte", folder(100 * mib), 150*mib + loadOverhead, ""},
		{"a byte less", folder(100 * mib), 150*mib + loadOverhead - 1, "the model needs about 246MiB of memory, and 246MiB is left"},
		{"all of its files", folder(100*mib, 200*mib, 300*mib), 900*mib + loadOverhead, ""},
		{"all of its files but one", folder(100*mib, 200*mib, 300*mib), 450*mib + loadOverhead, "the model needs about 996MiB of memory, and 546MiB is left"},
		{"more than 32 bits", folder(mib, 8<<30), 12 << 30, "the model needs about 12386MiB of memory, and 12288MiB is left"},
		{"nothing is left", folder(0), 0, "the model needs about 96MiB of memory, and 0MiB is left"},
	} {
		err := Fits(test.folder, test.available)
		if got := message(err); got != test.want {
			t.Errorf("%s: %q, want %q", test.name, got, test.want)
		}
	}
	gone := folder(mib)
	if err := os.Remove(gone.ModelPath); err != nil {
		t.Fatal(err)
	}
	if err := Fits(gone, 1<<40); err == nil {
		t.Error("a folder without its graph fits")
	}
}

func message(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
