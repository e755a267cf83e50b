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
	judge(t, s, "openai_judge.py", "http://"+s.http+"/v1")
}

// So does Triton's client against the gRPC address.
func TestTritonClient(t *testing.T) {
	t.Parallel()
	s := serve(t, nil)
	judge(t, s, "triton_judge.py", s.grpc)
}

// judge runs a client in Python, which must find nothing to say, and waits until the server has nothing left of it.
func judge(t *testing.T, s *server, script string, arguments ...string) {
	t.Helper()
	python, err := filepath.Abs(filepath.Join("..", "..", "..", ".venv", "bin", "python"))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	command := exec.CommandContext(ctx, python, append([]string{filepath.Join("testdata", script)}, arguments...)...)
	if output, err := command.CombinedOutput(); err != nil || len(output) > 0 {
		t.Fatalf("%v\n%s", err, output)
	}
	s.idle(ctx)
}
