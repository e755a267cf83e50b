package model

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// ReadChatTemplates reads the chat templates of a model folder other than the default one, by name: those that
// tokenizer_config.json lists and the files of additional_chat_templates, as transformers does. nil: there are none.
func ReadChatTemplates(dir string) (map[string]string, error) {
	t, err := readTexts(dir)
	return t.templates, err
}

// additionalTemplates is the folder of named chat templates beside chat_template.jinja: NAME.jinja.
const additionalTemplates = "additional_chat_templates"

// maxTemplates bounds the named chat templates of a model.
const maxTemplates = 64

// addTemplates reads the chat templates of a folder, which may be missing.
func (t *texts) addTemplates(dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read the chat templates: %w", err)
	}
	for _, entry := range entries {
		name, ok := strings.CutSuffix(entry.Name(), ".jinja")
		if !ok || name == "" || name == defaultTemplateName {
			continue
		}
		data, err := readFile(filepath.Join(dir, entry.Name()), maxConfig)
		if err != nil {
			return fmt.Errorf("read the chat templates: %w", err)
		}
		if t.templates == nil {
			t.templates = map[string]string{}
		}
		t.templates[name] = string(data)
	}
	if len(t.templates) > maxTemplates {
		return fmt.Errorf("the model has %d named chat templates, more than %d", len(t.templates), maxTemplates)
	}
	return nil
}

// writeTemplates writes the further chat templates into a folder of their own.
func (a Assets) writeTemplates(dir string) error {
	if len(a.ChatTemplates) == 0 {
		return nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil { //nolint:gosec // a model folder is not secret
		return fmt.Errorf("write the chat templates: %w", err)
	}
	for name, source := range a.ChatTemplates {
		if name != filepath.Base(name) || strings.HasPrefix(name, ".") {
			return fmt.Errorf("write the chat templates: %q is no name of a file", name)
		}
		if err := writeFile(filepath.Join(dir, name+".jinja"), []byte(source)); err != nil {
			return err
		}
	}
	return nil
}
