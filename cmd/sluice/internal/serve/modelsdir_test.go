package serve

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluiceml/sluice/cmd/sluice/internal/setup"
)

// modelFolders makes folders with a manifest, and returns the directory that holds them.
func modelFolders(t *testing.T, names ...string) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range names {
		folder := filepath.Join(dir, name)
		if err := os.MkdirAll(folder, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(folder, "sluice.json"), []byte("{}"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestModelsToServe(t *testing.T) {
	t.Parallel()
	several := modelFolders(t, "small", "large", ".hidden")
	for _, name := range []string{"empty", "large/inner"} { // neither is a model in the directory
		if err := os.MkdirAll(filepath.Join(several, name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(filepath.Join(several, "small"), filepath.Join(several, "linked")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("nowhere", filepath.Join(several, "dangling")); err != nil {
		t.Fatal(err)
	}
	single := modelFolders(t, ".", "within")
	own := []modelFlag{{name: "mine", dir: "/mine"}}
	others := t.TempDir() // whose folders others made
	for _, file := range []string{
		"genai/genai_config.json", "community/config.json", "community/onnx/model_q4.onnx", // served as they are
		"graph/model.onnx", "checkpoint/config.json", "checkpoint/model.safetensors", // not
	} {
		path := filepath.Join(others, file)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for name, c := range map[string]struct {
		cmd  Flags
		want []modelFlag
	}{
		"by name": {Flags{ModelsDir: several}, []modelFlag{
			{name: "large", dir: filepath.Join(several, "large")},
			{name: "linked", dir: filepath.Join(several, "linked")},
			{name: "small", dir: filepath.Join(several, "small")},
		}},
		"of others": {Flags{ModelsDir: others}, []modelFlag{
			{name: "community", dir: filepath.Join(others, "community")},
			{name: "genai", dir: filepath.Join(others, "genai")},
		}},
		"itself":       {Flags{ModelsDir: single}, []modelFlag{{name: filepath.Base(single), dir: single}}},
		"--model wins": {Flags{ModelsDir: several, Model: own}, own},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := c.cmd.modelsToServe()
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, got, cmp.AllowUnexported(modelFlag{})); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestModelsDirWithoutModels(t *testing.T) {
	t.Parallel()
	for name, dir := range map[string]string{
		"empty":   t.TempDir(),
		"missing": filepath.Join(t.TempDir(), "missing"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := (&Flags{ModelsDir: dir}).modelsToServe()
			if _, ok := errors.AsType[*setup.NotSetUpError](err); !ok || got != nil {
				t.Errorf("got %v, %v", got, err)
			}
		})
	}
}
