package main

import (
	"errors"
	"io"
	"os"
	"path/filepath"
)

// toolTemplate is a chat template that writes tools, in the form of Hermes' models.
const toolTemplate = `{%- if tools %}
{{- '<|im_start|>system\nCall one of these functions as <tool_call>{"name": …, "arguments": …}</tool_call>:\n' }}
{%- for tool in tools %}{{ tool | tojson }}
{% endfor %}
{{- '<|im_end|>\n' }}
{%- endif %}
{%- for message in messages %}
{{- '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>\n' }}
{%- endfor %}
{%- if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}
`

// writeToolModel makes the folder of a model that calls tools: the cache's one, whose own template writes none, with
// another template.
func writeToolModel(dir string) error {
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	home, err := cache()
	if err != nil {
		return err
	}
	// ONNX Runtime follows no links out of a model's folder.
	model := filepath.Join(home, "models", "smollm2-135m-instruct")
	entries, err := os.ReadDir(model)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		from, to := filepath.Join(model, entry.Name()), filepath.Join(dir, entry.Name())
		if os.Link(from, to) != nil {
			if err := copyFile(from, to); err != nil {
				return err
			}
		}
	}
	template := filepath.Join(dir, "chat_template.jinja")
	if err := os.Remove(template); err != nil { // it may be the cache's own file
		return err
	}
	return os.WriteFile(template, []byte(toolTemplate), 0o600)
}

// cache is the folder where `make setup` keeps the model.
func cache() (string, error) {
	if home := os.Getenv("SLUICE_HOME"); home != "" {
		return home, nil
	}
	dir, err := os.UserCacheDir()
	return filepath.Join(dir, "sluice"), err
}

func copyFile(from, to string) (err error) {
	source, err := os.Open(from)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, source.Close()) }()
	target, err := os.Create(to)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, target.Close()) }()
	_, err = io.Copy(target, source)
	return err
}
