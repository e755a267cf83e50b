//go:build templates

package chat_test

import (
	"fmt"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestPublished renders the templates of published models, as llama.cpp collects them, and compares with transformers.
// `make test-templates` fetches them and renders them there; GOLDEN names the file.
func TestPublished(t *testing.T) {
	path := os.Getenv("GOLDEN")
	if path == "" {
		t.Fatal("GOLDEN names no file: run make test-templates")
	}
	templates, equal, refused, lenient := map[string]bool{}, 0, 0, 0
	left := differing()
	for _, line := range readGolden(t, path) {
		templates[line.Template] = true
		name := line.Template + "/" + line.Name
		outcome := line.compare()
		switch reason, listed := left[name]; {
		case listed && outcome == "":
			t.Errorf("%s does not differ any more", name)
		case listed:
			t.Logf("%s differs: %s", name, reason)
			delete(left, name)
		case outcome != "" && line.Text == nil && leniencies()[line.Error] != "":
			lenient++
		case outcome != "":
			t.Errorf("%s: %s", name, outcome)
		case line.Text == nil:
			refused++
		default:
			equal++
		}
	}
	for name := range left {
		t.Errorf("there is no %s", name)
	}
	t.Logf("%d templates: %d texts equal, %d conversations refused by both, %d by transformers alone, %d texts different",
		len(templates), equal, refused, lenient, len(differing()))
	if len(templates) < 60 {
		t.Errorf("only %d templates", len(templates))
	}
}

// compare renders a published template and says how that is not what transformers made; "" if it is the same.
func (l goldenLine) compare() string {
	for _, special := range [][]string{nil, specials()} {
		got, err := l.render(l.Source, special)
		switch {
		case l.Text == nil && err == nil:
			return fmt.Sprintf("transformers fails with %q, we rendered %q", l.Error, got)
		case l.Text == nil:
		case err != nil:
			return err.Error()
		case *l.Text != got:
			return fmt.Sprintf("special tokens %v: -transformers +sluice\n%s", special != nil, cmp.Diff(*l.Text, got))
		}
	}
	return ""
}

// differing are the texts that are not as Python's, each with the reason.
func differing() map[string]string {
	const escaped = "its filter safe makes a text of class Markup, and Python then escapes what is added to it as HTML; here it stays text"
	return map[string]string{
		"meetkai-functionary-medium-v3.1.jinja/tools":         escaped,
		"meetkai-functionary-medium-v3.1.jinja/tools offered": escaped,
		"meetkai-functionary-medium-v3.1.jinja/two calls":     escaped,
	}
}

// leniencies are the errors of Python's jinja2 on which conversations are rendered all the same, each with the reason.
func leniencies() map[string]string {
	const none = "the template goes through tools, documents or a content that is none; the library takes that for empty"
	return map[string]string{
		"TypeError: 'NoneType' object is not iterable":                            none,
		"TypeError: object of type 'NoneType' has no len()":                       none,
		"TypeError: argument of type 'NoneType' is not iterable":                  none,
		"UndefinedError: None has no element 0":                                   none,
		"TypeError: Object of type generator is not JSON serializable":            "the filters map and select give lists here, and generators there",
		"SecurityError: access to attribute 'append' of 'list' object is unsafe.": "a list of the template's own may grow here, within the limits",
	}
}
