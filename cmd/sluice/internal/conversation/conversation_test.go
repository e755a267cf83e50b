package conversation_test

import (
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	client "github.com/sluiceml/sluice/clients/go"
	"github.com/sluiceml/sluice/cmd/sluice/internal/conversation"
	"github.com/sluiceml/sluice/inference"
	"github.com/sluiceml/sluice/inference/answer"
	"github.com/sluiceml/sluice/inference/inferencetest"
	"github.com/sluiceml/sluice/inference/runner"
	sluicev1 "github.com/sluiceml/sluice/proto/sluice/v1"
	"github.com/sluiceml/sluice/server/servertest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// talk runs a conversation of some lines with a model that always says the same.
func talk(t *testing.T, says string, change func(*conversation.Config), lines ...string) (out, notes string) {
	t.Helper()
	i := servertest.Start(t, []*inference.Model{servertest.Toy{
		Reasoning: answer.Reasonings()[0],
		Session: inferencetest.ToyConfig{
			Limits: runner.Limits{Slots: 4, MaxLength: 512, MaxChunk: 64}, Script: servertest.Says("assistant\n", says),
		},
	}.Model(t)})
	var shown, told bytes.Buffer
	config := conversation.Config{
		Client:    client.NewFromConn(i.Conn),
		Request:   &sluicev1.GenerateRequest{Sampling: &sluicev1.Sampling{MaxTokens: new(uint32(100)), Temperature: new(float32(0))}},
		Answering: context.WithCancel,
		Out:       &shown, Notes: &told,
		ReadLine: func() (string, error) {
			if len(lines) == 0 {
				return "", io.EOF
			}
			line := lines[0]
			lines = lines[1:]
			return line, nil
		},
	}
	if change != nil {
		change(&config)
	}
	if err := conversation.Run(t.Context(), config); err != nil {
		t.Fatal(err)
	}
	return shown.String(), told.String()
}

func TestTurns(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "talk.json")
	out, notes := talk(t, "Yes.", nil,
		"/system Be brief.", "first", `second \`, "line", "/undo", "third", "/retry", "", "/save "+file, "/reset", "/show", "/load "+file, "/show", "/bye", "never")
	if want := strings.Repeat("Yes.\n", 4); out != want {
		t.Errorf("out %q, want %q", out, want)
	}
	if want := "user: first\nassistant: Yes.\nuser: third\nassistant: Yes.\n"; notes != want {
		t.Errorf("notes %q, want %q", notes, want)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if want := `[
  {
    "role": "system",
    "content": "Be brief."
  },`; !strings.HasPrefix(string(text), want) {
		t.Errorf("saved %s", text)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
}

// Reasoning is dimmed where there is a terminal, and left out otherwise; control characters reach neither.
func TestScreen(t *testing.T) {
	t.Parallel()
	const says = "<think>\nHm.\n</think>\n\nA\x1b[2J\tB\x07"
	out, _ := talk(t, says, func(c *conversation.Config) { c.Dim = true }, "x")
	if diff := cmp.Diff("\x1b[2mHm.\x1b[0m\nA\uFFFD[2J\tB\uFFFD\n", out); diff != "" {
		t.Error(diff)
	}
	if out, _ = talk(t, says, nil, "x"); out != "A\uFFFD[2J\tB\uFFFD\n" {
		t.Errorf("%q", out)
	}
}

// What goes wrong is told, and the turn is taken back.
func TestFaults(t *testing.T) {
	t.Parallel()
	_, notes := talk(t, "Yes.", nil, "/dance", "/set temperature hot", "/set colour red", "/load nowhere", "/save", "/retry",
		"/set temperature 9", "x", "/set temperature", strings.Repeat("long ", 200), "/show", "/model other", "x", "/stats", "/model", "x")
	for _, want := range []string{
		"There is no command /dance", `"hot" is not a valid number`, "/set knows max_tokens", "/load: open nowhere", "/save needs a file",
		"There is nothing to answer.", "temperature", "/undo takes back a turn", `"other"`, " tokens/s, first after ",
	} {
		if !strings.Contains(notes, want) {
			t.Errorf("%q is missing in\n%s", want, notes)
		}
	}
	if strings.Contains(notes, "user:") {
		t.Errorf("a turn that failed stays:\n%s", notes)
	}
}
