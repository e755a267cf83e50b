package parity

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/sluiceml/sluice/tokenizer/pretoken"
)

// python finds the interpreter that has the pinned tokenizers package: $SLUICE_PYTHON, or .venv beside go.mod.
func python(t *testing.T) string {
	t.Helper()
	if p := os.Getenv("SLUICE_PYTHON"); p != "" {
		return p
	}
	root, err := filepath.Abs(filepath.Join("..", "..", "..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	p := filepath.Join(root, ".venv", "bin", "python")
	if _, err := os.Stat(p); err != nil {
		t.Fatalf("no Python environment at %s: run \"make setup\", or set SLUICE_PYTHON", p)
	}
	return p
}

// splitter makes the scanner of a list of patterns.
func splitter(t *testing.T, patterns []string, lookup func(string) (pretoken.Splitter, bool)) pretoken.Splitter {
	t.Helper()
	var parts []pretoken.Splitter
	for _, p := range patterns {
		s, ok := lookup(p)
		if !ok {
			t.Fatalf("no scanner for %q", p)
		}
		parts = append(parts, s)
	}
	return pretoken.Sequence(parts...)
}

// TestPatterns compares every pattern, and the sequences of patterns in use.
func TestPatterns(t *testing.T) {
	if testing.Short() {
		t.Skip("needs Python; run without -short")
	}
	var judges [][]string
	var splitters []pretoken.Splitter
	for _, p := range pretoken.Patterns() {
		judges = append(judges, []string{p})
		splitters = append(splitters, splitter(t, []string{p}, pretoken.Lookup))
	}
	for _, list := range sequences() {
		judges = append(judges, list)
		splitters = append(splitters, splitter(t, list, pretoken.Lookup))
	}
	for _, p := range pretoken.TiktokenPatterns() {
		judge := inOniguruma(p)
		judges = append(judges, []string{judge})
		splitters = append(splitters, splitter(t, []string{p}, pretoken.LookupTiktoken))
	}
	input, err := json.Marshal(judges)
	if err != nil {
		t.Fatal(err)
	}
	var stderr bytes.Buffer
	cmd := exec.CommandContext(t.Context(), python(t), "oracle.py", filepath.Join("..", "..", "..", "internal", "parity", "testdata", "prose.txt"), strconv.Itoa(scale))
	cmd.Stdin, cmd.Stderr = bytes.NewReader(input), &stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	n, size := compare(t, out, judges, splitters)
	if err := cmd.Wait(); err != nil {
		t.Fatalf("oracle.py: %v\n%s", err, stderr.String())
	}
	t.Logf("%d patterns and sequences, %d texts, %d bytes", len(judges), n, size)
}

// compare reads the judge's lines.
func compare(t *testing.T, out io.Reader, judges [][]string, splitters []pretoken.Splitter) (n, size int) {
	t.Helper()
	wrong := make([]int, len(judges))
	for lines := json.NewDecoder(out); ; n++ {
		var line struct {
			Text  string  `json:"text"`
			Words [][]int `json:"words"`
		}
		if err := lines.Decode(&line); errors.Is(err, io.EOF) {
			return n, size
		} else if err != nil {
			t.Fatal(err)
		}
		size += len(line.Text)
		for i, want := range line.Words {
			if text, got, ok := differ(splitters[i], line.Text, want); ok {
				if wrong[i]++; wrong[i] <= 3 {
					t.Errorf("%q: at %q the word is %q", judges[i], text, got)
				}
			}
		}
	}
}

// differ finds the first word that is not of the length wanted, and the text from a little before it.
func differ(s pretoken.Splitter, text string, want []int) (around, word string, found bool) {
	s.Split(text, func(start int, w string) bool {
		if len(want) == 0 || len(w) != want[0] {
			around, word, found = text[start:min(start+24, len(text))], w, true
			return false
		}
		want = want[1:]
		return true
	})
	if !found && len(want) > 0 {
		return "", "(none)", true
	}
	return around, word, found
}

// sequences are the lists of patterns in use.
func sequences() [][]string {
	coder := []string{`[\r\n]`, `\s?\p{L}+`, `\s?\p{P}+`, `[一-龥ࠀ-一가-퟿]+`, `\p{N}`}
	return [][]string{
		{pretoken.DeepSeekNumbers, pretoken.DeepSeekKana, pretoken.DeepSeekV3}, // DeepSeek V3, R1
		coder, // DeepSeek Coder
		{`\p{N}`, pretoken.GPT2},
		{`\p{N}{1,3}`, pretoken.CL100K},
		{`[^\n]+|[\n]+`, pretoken.Qwen2},
	}
}

// inOniguruma writes a pattern of tiktoken as the judge's engine understands it: there {1,3}+ is not possessive, and $
// is also before a line end.
func inOniguruma(pattern string) string {
	s := bytes.ReplaceAll([]byte(pattern), []byte(`{1,3}+`), []byte(`{1,3}`))
	return string(bytes.ReplaceAll(s, []byte(`\s++$`), []byte(`\s++\z`)))
}
