package model_test

import (
	"maps"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluiceml/sluice/inference/model"
)

// TestChatTemplates reads a model's named templates from where transformers does, and writes what it has read.
func TestChatTemplates(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := model.ReadChatTemplates(dir); err != nil || len(got) != 0 {
		t.Errorf("an empty folder: %v, %v", got, err)
	}
	write("tokenizer_config.json", `{"chat_template": [{"name": "default", "template": "d"}, {"name": "tool_use", "template": "t"}]}`)
	write("additional_chat_templates/rag.jinja", "r")
	write("additional_chat_templates/README.md", "no template")
	want := map[string]string{"tool_use": "t", "rag": "r"}
	got, err := model.ReadChatTemplates(dir)
	if err != nil || !maps.Equal(got, want) {
		t.Errorf("got %v, want %v: %v", got, want, err)
	}

	to := t.TempDir()
	assets := model.Assets{ChatTemplate: "d", ChatTemplates: want}
	if err := assets.Write(to); err != nil {
		t.Fatal(err)
	}
	got, err = model.ReadChatTemplates(to)
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("-written +read\n%s: %v", diff, err)
	}
	assets.ChatTemplates = map[string]string{"../x": ""}
	if assets.Write(to) == nil {
		t.Error("a template is written outside of the folder")
	}
}
