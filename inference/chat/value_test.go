package chat_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/sluiceml/sluice/inference/chat"
)

func TestFromJSONKeepsOrderAndNumbers(t *testing.T) {
	args, err := chat.ArgsFromJSON([]byte(`{"messages": [{"z": 1, "a": 2.0, "m": [9007199254740993, 1e2, true, null, "x"]}]}`))
	if err != nil {
		t.Fatal(err)
	}
	template, err := chat.Parse("{{ messages | tojson }} {{ messages }}", chat.Options{})
	if err != nil {
		t.Fatal(err)
	}
	rendered, err := template.Render(chat.Input{Args: args})
	if err != nil {
		t.Fatal(err)
	}
	want := `[{"z": 1, "a": 2.0, "m": [9007199254740993, 100.0, true, null, "x"]}] ` +
		`[{'z': 1, 'a': 2.0, 'm': [9007199254740993, 100.0, True, None, 'x']}]`
	if rendered.Text != want {
		t.Errorf("got  %s\nwant %s", rendered.Text, want)
	}
}

func TestFromJSONRefuses(t *testing.T) {
	for _, data := range []string{
		"", "{", `{"a" 1}`, "{} {}", "[]", "1", `{"a": nan}`, strings.Repeat("[", 100000), `{"a":` + strings.Repeat(`{"a":`, 100),
	} {
		if _, err := chat.ArgsFromJSON([]byte(data)); err == nil {
			t.Errorf("%.20q is taken for an object", data)
		}
	}
}

func TestArgsWinAndPlainGoValuesAreTaken(t *testing.T) {
	template, err := chat.Parse("{{ bos_token }}{{ n }}{{ l }}{{ m.b }}{{ add_generation_prompt }}{{ eos_token is defined }}", chat.Options{})
	if err != nil {
		t.Fatal(err)
	}
	rendered, err := template.Render(chat.Input{
		BOSToken: "<s>",
		Args: map[string]any{
			"bos_token": "<t>", "n": 1, "l": []any{int64(2), 0.5, nil}, "m": map[string]any{"b": "x"}, "add_generation_prompt": true,
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	if want := "<t>1[2, 0.5, None]xTrueFalse"; rendered.Text != want {
		t.Errorf("got %s, want %s", rendered.Text, want)
	}
}

func FuzzFromJSON(f *testing.F) {
	f.Add(`{"a": [1, 2.5, "x", null, true, {"b": {}}]}`)
	f.Fuzz(func(t *testing.T, data string) {
		if _, err := chat.FromJSON([]byte(data)); err == nil && !json.Valid([]byte(data)) {
			t.Errorf("%q is taken for JSON", data)
		}
	})
}
