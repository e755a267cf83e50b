//go:build templates

package answer_test

import (
	"bufio"
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/sluiceml/sluice/inference/answer"
	"github.com/sluiceml/sluice/inference/chat"
)

// TestPublished renders an assistant's calls with the templates of published models, and reads them back in the form that is told
// from the template. GOLDEN names the templates: run make test-templates.
func TestPublished(t *testing.T) {
	path := os.Getenv("GOLDEN")
	if path == "" {
		t.Fatal("GOLDEN names no file: run make test-templates")
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	scanner := bufio.NewScanner(f)
	scanner.Buffer(nil, 1<<20)
	sources := map[string]string{}
	for scanner.Scan() {
		var line struct{ Template, Source string }
		if err := json.Unmarshal(scanner.Bytes(), &line); err != nil {
			t.Fatal(err)
		}
		sources[line.Template] = line.Source
	}
	const arguments = `{"location": "Zürich \"<b>\"", "days": 3, "units": ["C", "F"], "exact": true}`
	unread := unreadTemplates()
	forms := map[answer.CallFormat]int{}
	for name, source := range sources {
		form := answer.DetectCalls(source, func(string) bool { return false })
		forms[form]++
		if form == answer.NoCalls {
			continue
		}
		text, err := renderedCall(source, arguments, "I look.")
		if !strings.Contains(text, "get_weather") { // some templates write a text or calls
			text, err = renderedCall(source, arguments, "")
		}
		if err != nil {
			if _, listed := unread[name]; !listed {
				t.Errorf("%s (%s): %v", name, form, err)
			}
			delete(unread, name)
			continue
		}
		c := config(form)
		c.IsText = func(_, argument string) bool { return argument == "location" }
		got := parse(t, c, pieces(text, 3)...)
		read := len(got.Calls) == 1 && strings.HasSuffix(got.Calls[0], ")") && sameJSON(strings.TrimSuffix(got.Calls[0][strings.IndexByte(got.Calls[0], '(')+1:], ")"), arguments)
		_, listed := unread[name]
		switch {
		case listed && read:
			t.Errorf("%s (%s) is read now", name, form)
		case !listed && !read:
			t.Errorf("%s (%s): %q is read as %q", name, form, text, got.Calls)
		}
		delete(unread, name)
	}
	for name := range unread {
		t.Errorf("there is no %s", name)
	}
	t.Logf("%d templates by form: %v; not read: %d", len(sources), forms, len(unreadTemplates()))
}

// renderedCall is what an assistant that calls a tool has written, as a template puts it.
func renderedCall(source, arguments, content string) (string, error) {
	template, err := chat.Parse(source, chat.Options{})
	if err != nil {
		return "", err
	}
	value := func(text string) any {
		v, err := chat.FromJSON([]byte(text))
		if err != nil {
			panic(err)
		}
		return v
	}
	tools := []chat.Tool{{Name: "get_weather", Description: "The weather", Parameters: value(`{"type": "object", "properties": {"location": {"type": "string"}, "days": {"type": "integer"}, "units": {"type": "array"}, "exact": {"type": "boolean"}}}`)}}
	user := chat.Message{Role: "user", Content: "How is the weather?"}
	render := func(prompt bool, messages ...chat.Message) (string, error) {
		r, err := template.Render(chat.Input{
			Messages: messages, Tools: tools, AddGenerationPrompt: prompt, BOSToken: "<s>", EOSToken: "</s>",
			Args: map[string]any{"functions": "", "datetime": ""},
		})
		return r.Text, err
	}
	before, err := render(true, user)
	if err != nil {
		return "", err
	}
	call := chat.ToolCall{ID: "abcdefghi", Name: "get_weather", Arguments: value(arguments)}
	after, err := render(false, user, chat.Message{Role: "assistant", Content: content, ToolCalls: []chat.ToolCall{call}})
	if err != nil {
		return "", err
	}
	common := 0
	for common < min(len(before), len(after)) && before[common] == after[common] {
		common++
	}
	if tag := strings.LastIndexByte(after[:common], '<'); tag >= 0 && !strings.Contains(after[tag:common], ">") {
		common = tag // both go on with a tag
	}
	return after[common:], nil
}

// sameJSON says whether two texts are the same JSON.
func sameJSON(a, b string) bool {
	var x, y any
	if json.Unmarshal([]byte(a), &x) != nil || json.Unmarshal([]byte(b), &y) != nil {
		return false
	}
	p, err1 := json.Marshal(x)
	q, err2 := json.Marshal(y)
	return err1 == nil && err2 == nil && slices.Equal(p, q)
}

// unreadTemplates are those whose calls are not read back, with the reason.
func unreadTemplates() map[string]string {
	const own, none = "a form of its own", "the template writes no call"
	return map[string]string{
		"Apertus-8B-Instruct.jinja":                      own,
		"CohereForAI-c4ai-command-r-plus-tool_use.jinja": none,
		"GigaChat3-10B-A1.8B.jinja":                      own,
		"Kimi-K3.jinja":                                  own,
		"LFM2.5-8B-A1B.jinja":                            own,
		"MiniMax-M3.jinja":                               own,
		"fireworks-ai-llama-3-firefunction-v2.jinja":     own,
		"ibm-granite-granite-3.3-2B-Instruct.jinja":      none,
		"meetkai-functionary-medium-v3.2.jinja":          none,
		"muse-glimmer.jinja":                             own,
		"openbmb-MiniCPM5-1B.jinja":                      own,
		"tencent-Hy3.jinja":                              own,
		"upstage-Solar-Open-100B.jinja":                  own,
	}
}
