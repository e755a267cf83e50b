package e2e_test

import (
	"context"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// The official OpenAI client works against the HTTP address as its own documentation says, and the stream that it leaves
// gives its slot back.
func TestOpenAIClient(t *testing.T) {
	t.Parallel()
	s := serve(t, nil)
	python, err := filepath.Abs(filepath.Join("..", "..", "..", ".venv", "bin", "python"))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	judge := exec.CommandContext(ctx, python, filepath.Join("testdata", "openai_judge.py"), "http://"+s.http+"/v1")
	if output, err := judge.CombinedOutput(); err != nil || len(output) > 0 {
		t.Fatalf("%v\n%s", err, output)
	}
	s.idle(ctx)
}
