package sluice_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	sluice "github.com/sluiceml/sluice/clients/go"
	sluicev1 "github.com/sluiceml/sluice/proto/sluice/v1"
)

// model is the cache's model, which the server of these tests serves.
const model = "smollm2-135m-instruct"

// endToken is the token with which that model ends a text.
const endToken = 2

func TestMain(m *testing.M) {
	code := m.Run()
	if err := shared.stop(); err != nil {
		fmt.Fprintln(os.Stderr, "stopping the server:", err)
		code = 1
	}
	if err := goleak.Find(); code == 0 && err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// shared is the one real server of these tests, started by the first that asks for it.
var shared process

// process is `sluice serve`.
type process struct {
	once    sync.Once
	cmd     *exec.Cmd
	addr    string
	drained chan struct{} // closed when all of its log is read
	err     error
}

// server returns a client of the real server.
func server(t *testing.T) *sluice.Client {
	t.Helper()
	if testing.Short() {
		t.Skip("needs the real model; run without -short")
	}
	shared.once.Do(shared.start)
	if shared.err != nil {
		t.Fatal(shared.err)
	}
	client, err := sluice.New(shared.addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := client.Close(); err != nil {
			t.Error(err)
		}
	})
	return client
}

// start starts the server and waits until it serves: its log says where.
func (p *process) start() {
	binary := os.Getenv("SLUICE_BIN")
	if binary == "" {
		binary = filepath.Join("..", "..", "bin", "sluice")
	}
	p.cmd = exec.Command(binary, "serve",
		"--grpc-addr", "127.0.0.1:0", "--http-addr", "127.0.0.1:0", "--drain-delay", "0s", "--log-format", "json")
	stderr, err := p.cmd.StderrPipe()
	if err == nil {
		err = p.cmd.Start()
	}
	if err != nil {
		p.cmd, p.err = nil, fmt.Errorf("no server to test against, run `make setup`: %w", err)
		return
	}
	var said strings.Builder
	p.drained = make(chan struct{})
	lines := bufio.NewScanner(stderr)
	for p.addr == "" && lines.Scan() {
		var event struct {
			Addr string `json:"grpc_addr"`
		}
		if json.Unmarshal(lines.Bytes(), &event) == nil {
			p.addr = event.Addr
		}
		said.WriteString(lines.Text() + "\n")
	}
	if p.addr == "" {
		close(p.drained)
		p.err = fmt.Errorf("the server does not serve (not set up? run `make setup`): %w\n%s", p.stop(), said.String())
		return
	}
	go func() {
		defer close(p.drained)
		for lines.Scan() {
		}
	}()
}

// stop drains the server, if it runs.
func (p *process) stop() error {
	if p.cmd == nil {
		return nil
	}
	cmd := p.cmd
	p.cmd = nil
	late := time.AfterFunc(time.Minute, func() { _ = cmd.Process.Kill() })
	defer late.Stop()
	_ = cmd.Process.Signal(syscall.SIGTERM)
	<-p.drained
	return cmd.Wait()
}

// prompts are texts whose answers hold characters of one to four bytes and more.
var prompts = []string{
	"The capital of France is",
	"Translate to Chinese: 你好，世界。今天天气很好，我们去公园吧。",
	"Repeat these emoji: 😀🎉👩‍👩‍👧‍👦🇨🇭 😀🎉👩‍👩‍👧‍👦🇨🇭 😀",
}

// greedy asks for n of the likeliest tokens.
func greedy(prompt string, n uint32) *sluicev1.GenerateRequest {
	req := sluice.Prompt(prompt)
	req.Sampling = &sluicev1.Sampling{MaxTokens: &n, Temperature: new(float32(0)), IgnoreEos: new(true)}
	return req
}

func TestServerJoinedStreamEqualsUnary(t *testing.T) {
	client := server(t)
	for _, prompt := range prompts {
		want, err := client.Generate(t.Context(), greedy(prompt, 48))
		if err != nil {
			t.Fatal(err)
		}
		stream := client.Stream(t.Context(), greedy(prompt, 48))
		got, err := read(stream.Deltas())
		if err != nil {
			t.Fatal(err)
		}
		output := want.GetOutputs()[0]
		if got != output.GetText() {
			t.Errorf("%q:\nstream %q\nunary  %q", prompt, got, output.GetText())
		}
		usage := stream.Summary().GetUsage()
		usage.CachedTokens = want.GetUsage().GetCachedTokens() // the first call has left the prompt in the cache
		if !proto.Equal(usage, want.GetUsage()) {
			t.Errorf("usage: stream %v, unary %v", usage, want.GetUsage())
		}
		if stream.Started().GetModel() != model || stream.Started().GetId() == "" {
			t.Errorf("started: %v", stream.Started())
		}
		if f := stream.Finished(); len(f) != 1 || f[0].GetFinishReason() != output.GetFinishReason() {
			t.Errorf("finished: stream %v, unary %v", f, output.GetFinishReason())
		}
		if ttft := stream.Summary().GetTimings().GetTimeToFirstToken().AsDuration(); ttft <= 0 {
			t.Errorf("time to the first token: %v", ttft)
		}
	}
}

func TestServerChat(t *testing.T) {
	client := server(t)
	req := sluice.Chat(sluice.User("What is the capital of France?"))
	req.Sampling = &sluicev1.Sampling{MaxTokens: new(uint32(24)), Temperature: new(float32(0))}
	text, err := read(client.Stream(t.Context(), req).Deltas())
	// Which city so small a model names is a matter of its weights' rounding.
	if err != nil || len(text) < 20 || strings.Contains(text, "<|im_") {
		t.Errorf("got %q, %v", text, err)
	}
}

func TestServerModelsAndTokens(t *testing.T) {
	client := server(t)
	models, err := client.Models(t.Context())
	if err != nil || len(models) != 1 || models[0].GetName() != model {
		t.Fatalf("models %v, %v", models, err)
	}
	if m, err := client.Model(t.Context(), ""); err != nil || m.GetName() != model {
		t.Errorf("default model %v, %v", m, err)
	}
	const text = "你好 👩‍👩‍👧‍👦!"
	tokens, err := client.Tokenize(t.Context(), &sluicev1.TokenizeRequest{Text: text, AddSpecialTokens: new(false)})
	if err != nil {
		t.Fatal(err)
	}
	var ids []uint32
	var joined []byte
	for _, token := range tokens {
		ids = append(ids, token.GetId())
		joined = append(joined, token.GetBytes()...)
	}
	if string(joined) != text {
		t.Errorf("the tokens' bytes are %q", joined)
	}
	if got, err := client.Detokenize(t.Context(), &sluicev1.DetokenizeRequest{Ids: ids}); err != nil || got != text {
		t.Errorf("detokenized %q, %v", got, err)
	}
	count, err := client.CountTokens(t.Context(), &sluicev1.CountTokensRequest{
		Input: &sluicev1.CountTokensRequest_Prompt{Prompt: prompts[0]},
	})
	if err != nil {
		t.Fatal(err)
	}
	res, err := client.Generate(t.Context(), greedy(prompts[0], 1))
	if err != nil || res.GetUsage().GetPromptTokens() != count.GetCount() {
		t.Errorf("counted %d, generated from %d, %v", count.GetCount(), res.GetUsage().GetPromptTokens(), err)
	}
}

func TestServerErrors(t *testing.T) {
	client := server(t)
	bad := greedy("x", 1)
	bad.Sampling.TopP = new(float32(1.5))
	unknown := greedy("x", 1)
	unknown.Model = "gpt-9"
	for _, c := range []struct {
		name            string
		req             *sluicev1.GenerateRequest
		code            codes.Code
		field, resource string
	}{
		{"bad field", bad, codes.InvalidArgument, "sampling.top_p", ""},
		{"empty prompt", greedy("", 1), codes.InvalidArgument, "prompt", ""},
		{"unknown model", unknown, codes.NotFound, "", "gpt-9"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, unary := client.Generate(t.Context(), c.req)
			_, streamed := read(client.Stream(t.Context(), c.req).Deltas())
			for _, err := range []error{unary, streamed} {
				e, ok := errors.AsType[*sluice.Error](err)
				if !ok || e.Code() != c.code || e.Resource() != c.resource {
					t.Fatalf("got %v", err)
				}
				if c.field != "" && (len(e.FieldViolations()) != 1 || e.FieldViolations()[0].GetField() != c.field) {
					t.Errorf("violations %v", e.FieldViolations())
				}
			}
		})
	}
}

// running counts the sequences that hold a slot of the server.
func running(t *testing.T, client *sluice.Client) (n uint32) {
	t.Helper()
	m, err := client.Model(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	for _, replica := range m.GetReplicas() {
		n += replica.GetRunning()
	}
	return n
}

// waitIdle asks until no sequence holds a slot; the test's deadline bounds it.
func waitIdle(t *testing.T, client *sluice.Client) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for running(t, client) > 0 {
		<-tick.C
	}
}

func TestServerLeavingTheLoopFreesTheSlot(t *testing.T) {
	client := server(t)
	for _, err := range client.Stream(t.Context(), greedy(prompts[0], 2000)).Deltas() {
		if err != nil {
			t.Fatal(err)
		}
		if n := running(t, client); n != 1 {
			t.Errorf("%d sequences run", n)
		}
		break
	}
	waitIdle(t, client)
}

func TestServerCancel(t *testing.T) {
	client := server(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var last error
	for _, err := range client.Stream(ctx, greedy(prompts[0], 2000)).Deltas() {
		cancel()
		last = err
	}
	if !errors.Is(last, context.Canceled) {
		t.Errorf("the stream ended with %v", last)
	}
	waitIdle(t, client)
}

func TestServerDeadline(t *testing.T) {
	client := server(t)
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	// With ignore_eos the server would know that it takes too long, and refuse it.
	req := greedy(prompts[0], 2000)
	req.Sampling.IgnoreEos, req.Sampling.LogitBias = nil, map[uint32]float32{endToken: -100}
	_, err := client.Generate(ctx, req)
	if !errors.Is(err, context.DeadlineExceeded) || status.Code(err) != codes.DeadlineExceeded {
		t.Errorf("got %v", err)
	}
	waitIdle(t, client)
}

func TestServerParallelStreams(t *testing.T) {
	client := server(t)
	want, err := client.Generate(t.Context(), greedy(prompts[0], 16))
	if err != nil {
		t.Fatal(err)
	}
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			got, err := read(client.Stream(t.Context(), greedy(prompts[0], 16)).Deltas())
			if err != nil || got != want.GetOutputs()[0].GetText() {
				t.Errorf("got %q, %v", got, err)
			}
		})
	}
	group.Wait()
}
