package chat_test

import (
	"bufio"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sluiceml/sluice/inference/chat"
)

// goldenLine is one rendering by Hugging Face transformers; testdata/golden.py writes them.
type goldenLine struct {
	Template string
	Source   string // of a published template
	Name     string
	Args     json.RawMessage
	Text     *string
	Error    string
}

func readGolden(t *testing.T, path string) []goldenLine {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var lines []goldenLine
	scanner := bufio.NewScanner(f)
	scanner.Buffer(nil, 1<<20)
	for scanner.Scan() {
		var line goldenLine
		if err := json.Unmarshal(scanner.Bytes(), &line); err != nil {
			t.Fatal(err)
		}
		lines = append(lines, line)
	}
	if err := scanner.Err(); err != nil {
		t.Fatal(err)
	}
	if len(lines) == 0 {
		t.Fatalf("%s is empty: run testdata/golden.py", path)
	}
	return lines
}

// specials of several families: marking them must not change any text.
func specials() []string {
	return []string{
		"<|im_start|>", "<|im_end|>", "<|endoftext|>", "<s>", "</s>", "<unk>", "[INST]", "[/INST]", "<|user|>",
		"<|assistant|>", "<|system|>", "<|end|>", "<start_of_turn>", "<end_of_turn>", "<eos>", "<think>", "</think>",
		"<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>",
	}
}

// laxer are renderings that Python refuses because an undefined value has no attributes, while the library takes
// it for empty.
func laxer() map[string]bool { return map[string]bool{} }

func TestGolden(t *testing.T) {
	for _, line := range readGolden(t, filepath.Join("testdata", "golden.jsonl")) {
		t.Run(line.Template+"/"+line.Name, func(t *testing.T) {
			source, err := os.ReadFile(filepath.Join("testdata", "templates", line.Template))
			if err != nil {
				t.Fatal(err)
			}
			for _, special := range [][]string{nil, specials()} {
				got, err := line.render(string(source), special)
				if line.Text == nil {
					if err == nil && !laxer()[line.Template+"/"+line.Name] {
						t.Errorf("transformers fails with %q, we rendered %q", line.Error, got)
					}
					continue
				}
				if err != nil {
					t.Fatalf("%v", err)
				}
				if diff := cmp.Diff(*line.Text, got); diff != "" {
					t.Errorf("special tokens %v: -transformers +sluice\n%s", special != nil, diff)
				}
			}
		})
	}
}

// render renders the line's conversation, at the time at which transformers did.
func (l goldenLine) render(source string, special []string) (string, error) {
	template, err := chat.Parse(source, chat.Options{Special: special})
	if err != nil {
		return "", err
	}
	args, err := chat.ArgsFromJSON(l.Args)
	if err != nil {
		return "", err
	}
	_, continues := args["continue_final_message"] // always true
	delete(args, "continue_final_message")
	rendered, err := template.Render(chat.Input{
		Now: time.Date(2026, 3, 7, 9, 5, 4, 0, time.UTC), Args: args, ContinueFinalMessage: continues,
	})
	return rendered.Text, err
}
