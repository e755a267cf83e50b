package e2e_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	metriccollector "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"

	sluicev1 "github.com/sluiceml/sluice/proto/sluice/v1"
)

// backend is an OTLP collector that keeps all that it gets, as text.
type backend struct {
	metriccollector.UnimplementedMetricsServiceServer

	receiver
	mu      sync.Mutex
	metrics strings.Builder // guarded by mu
}

func (b *backend) Export(_ context.Context, request *metriccollector.ExportMetricsServiceRequest) (*metriccollector.ExportMetricsServiceResponse, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.metrics.WriteString(protojson.Format(request))
	return &metriccollector.ExportMetricsServiceResponse{}, nil
}

// startBackend starts a collector of traces and metrics and returns the environment that sends to it.
func startBackend(t *testing.T) (*backend, []string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b, s := &backend{}, grpc.NewServer()
	collector.RegisterTraceServiceServer(s, &b.receiver)
	metriccollector.RegisterMetricsServiceServer(s, b)
	go func() { _ = s.Serve(listener) }()
	t.Cleanup(s.Stop)
	return b, []string{
		"OTEL_EXPORTER_OTLP_ENDPOINT=http://" + listener.Addr().String(), "OTEL_EXPORTER_OTLP_PROTOCOL=grpc",
		"OTEL_EXPORTER_OTLP_INSECURE=true", "OTEL_METRIC_EXPORT_INTERVAL=500", "OTEL_TRACES_SAMPLER=always_on",
	}
}

const canary = "Zanzibarquux"

// TestPrivacy sends a canary in every field of a request that takes text, with the log at debug and every span
// sampled. No log, span, metric or trace file may have it, or the answer; with --record-content the spans have both,
// and still nothing else.
func TestPrivacy(t *testing.T) {
	for _, recording := range []bool{false, true} {
		t.Run(fmt.Sprintf("recording=%v", recording), func(t *testing.T) { testPrivacy(t, recording) })
	}
}

func testPrivacy(t *testing.T, recording bool) {
	collected, environment := startBackend(t)
	file := filepath.Join(t.TempDir(), "traces.jsonl")
	arguments := []string{"--log-level", "debug", "--trace-file", file}
	if recording {
		arguments = append(arguments, "--record-content")
	}
	s := serve(t, environment, arguments...)
	answers := tell(t, s)
	scraped := s.scrape("application/openmetrics-text; version=1.0.0") + s.scrape("text/plain")
	s.signal(syscall.SIGTERM) // the exporters flush
	if code := s.wait(); code != 0 {
		t.Fatalf("the server ended with %d\n%s", code, s.logged())
	}
	var spans strings.Builder
	for _, span := range collected.spans {
		spans.WriteString(protojson.Format(span))
	}
	traces, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if spans.Len() == 0 || len(traces) == 0 || collected.metrics.Len() == 0 || !strings.Contains(s.logged(), "finished call") {
		t.Fatal("nothing was collected")
	}
	for _, metric := range []string{"sluice_requests", "gen_ai.server.time_to_first_token", "go_goroutines", "process_cpu_seconds", "sluice_build_info"} {
		if !strings.Contains(collected.metrics.String(), metric) {
			t.Errorf("OTLP has no %s", metric)
		}
	}
	for place, text := range map[string]string{
		"log": s.logged(), "scrape": scraped, "metrics": collected.metrics.String(), "spans": spans.String(), "trace file": string(traces),
	} {
		asked := recording && (place == "spans" || place == "trace file")
		for what, secret := range map[string]string{"prompt": canary, "answer": answers[0], "answer to the chat": answers[1]} {
			if has := strings.Contains(text, secret); has != asked {
				t.Errorf("%s in the %s: %v, want %v", what, place, has, asked)
			}
		}
	}
}

// tell makes requests with the canary in every text field, good ones and refused ones, and returns the answers to the
// good ones as they would look in JSON inside of JSON.
func tell(t *testing.T, s *server) (answers []string) {
	t.Helper()
	ctx := deadline(t)
	plain := prompt("My friend "+canary+" likes to say that", greedy(24))
	plain.Stop = &sluicev1.Stop{Strings: []string{canary + " stop"}}
	plain.Sampling.BadWords = []string{canary + " bad"}
	plain.Cache = &sluicev1.CacheOptions{Salt: canary}
	chat := prompt("", greedy(24))
	chat.Input = &sluicev1.GenerateRequest_Chat{Chat: &sluicev1.Chat{Messages: []*sluicev1.Message{
		{Role: "system", Content: "You are " + canary + "."}, {Role: "user", Content: "Who is " + canary + "?"},
	}}}
	for _, request := range []*sluicev1.GenerateRequest{plain, chat} {
		response, err := s.Generate(ctx, request)
		if err != nil {
			t.Fatal(err)
		}
		text := response.GetOutputs()[0].GetText()
		if len(text) < 20 {
			t.Fatalf("the answer %q is too short to look for", text)
		}
		answers = append(answers, nested(t, text))
	}
	long := prompt(strings.Repeat(canary+" ", 20_000), greedy(8))
	model := prompt(canary, greedy(8))
	model.Model = "no-such-model"
	role := prompt("", greedy(8))
	role.Input = &sluicev1.GenerateRequest_Chat{Chat: &sluicev1.Chat{Messages: []*sluicev1.Message{{Role: canary, Content: canary}}}}
	impossible := prompt(canary, greedy(8))
	impossible.Sampling.MinTokens = new(uint32(9))
	constrained := prompt(canary, greedy(8))
	constrained.Constraint = &sluicev1.Constraint{Kind: &sluicev1.Constraint_Regex{Regex: canary + "("}}
	for name, request := range map[string]*sluicev1.GenerateRequest{"long": long, "model": model, "min_tokens": impossible, "constraint": constrained} {
		if _, err := s.Generate(ctx, request); err == nil {
			t.Errorf("%s was taken", name)
		}
	}
	_, _ = s.Generate(ctx, role) // whether a template takes any role is its own affair
	cut, cancel := context.WithCancel(ctx)
	stream, err := s.GenerateStream(cut, prompt(canary+" and "+canary, greedy(200)))
	if err == nil {
		_, err = stream.Recv()
	}
	cancel()
	if err != nil && status.Code(err) != codes.Canceled {
		t.Error(err)
	}
	if _, err := s.tokenizer.Tokenize(ctx, &sluicev1.TokenizeRequest{Text: canary}); err != nil {
		t.Error(err)
	}
	s.idle(ctx)
	return answers
}

// nested is a text as it is spelled within a JSON document: one level of escapes is undone by whoever prints the spans,
// so only what needs no second one is kept.
func nested(t *testing.T, text string) string {
	t.Helper()
	for part := range strings.FieldsFuncSeq(text, func(r rune) bool { return strings.ContainsRune("\"\\\n\t<>&'", r) || r > '~' }) {
		if len(part) >= 16 {
			return part
		}
	}
	t.Fatalf("the answer %q has no long piece without escapes", text)
	return ""
}
