package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/sluiceml/sluice/inference/chat"
)

type renderCmd struct {
	Template string   `required:"" help:"Jinja chat template." placeholder:"FILE" type:"existingfile"`
	JSONL    bool     `required:"" help:"Read one conversation per line from stdin; required, as there is no other format yet." name:"jsonl"`
	Now      clockNow `help:"Time that strftime_now formats, as 2026-01-31T12:00:00 or 2026-01-31." placeholder:"TIME"`
}

// Help implements kong.HelpProvider.
func (renderCmd) Help() string {
	return `Each line is a JSON object of the template's variables: messages, tools, documents, bos_token, eos_token,
add_generation_prompt and any other. The answer is a line with the JSON string of the text, or {"error": "…"}.

Example:

  echo '{"messages": [{"role": "user", "content": "Hi"}], "add_generation_prompt": true}' |
    sluice render --template chat_template.jinja --jsonl --now 2026-01-31`
}

// clockNow is a time without a zone.
type clockNow struct{ time time.Time }

// UnmarshalText implements encoding.TextUnmarshaler.
func (c *clockNow) UnmarshalText(text []byte) error {
	if len(text) == 0 { // as an unset one is printed
		c.time = time.Time{}
		return nil
	}
	for _, layout := range []string{time.RFC3339, "2006-01-02T15:04:05", "2006-01-02 15:04:05", time.DateOnly} {
		if t, err := time.Parse(layout, string(text)); err == nil {
			c.time = t
			return nil
		}
	}
	return fmt.Errorf("%q is not a time such as 2026-01-31T12:00:00", text)
}

func (c clockNow) String() string {
	if c.time.IsZero() {
		return ""
	}
	return c.time.Format(time.RFC3339)
}

// renderError is the answer to a conversation that cannot be rendered.
type renderError struct {
	Error string `json:"error"`
}

// Run renders conversations.
func (c *renderCmd) Run(ctx context.Context, p *process) error {
	source, err := os.ReadFile(c.Template)
	if err != nil {
		return fmt.Errorf("render: %w", err)
	}
	template, err := chat.Parse(string(source), chat.Options{})
	if err != nil {
		return fmt.Errorf("%s: %w", c.Template, err)
	}
	return eachLine(ctx, p.stdin, p.stdout, func(line []byte) (any, error) {
		args, err := chat.ArgsFromJSON(line)
		if err != nil {
			return renderError{Error: err.Error()}, nil //nolint:nilerr // the answer to this line
		}
		rendered, err := template.Render(chat.Input{Now: c.Now.time, Args: args})
		if err != nil {
			return renderError{Error: err.Error()}, nil //nolint:nilerr // the answer to this line
		}
		return rendered.Text, nil
	})
}
