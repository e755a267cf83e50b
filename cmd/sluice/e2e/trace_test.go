package e2e_test

import (
	"bufio"
	"context"
	"encoding/hex"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	trace "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/encoding/protojson"

	sluicev1 "github.com/sluiceml/sluice/proto/sluice/v1"
)

const traceID, parentID = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"

// receiver is an OTLP collector that keeps what it gets.
type receiver struct {
	collector.UnimplementedTraceServiceServer
	mu    sync.Mutex
	spans []*trace.Span
}

func (r *receiver) Export(_ context.Context, request *collector.ExportTraceServiceRequest) (*collector.ExportTraceServiceResponse, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, resource := range request.GetResourceSpans() {
		for _, scope := range resource.GetScopeSpans() {
			r.spans = append(r.spans, scope.GetSpans()...)
		}
	}
	return &collector.ExportTraceServiceResponse{}, nil
}

// TestTrace makes a request inside a caller's trace and reads the server's spans from an OTLP receiver: one trace, the
// tree of DESIGN, one decode span per step.
func TestTrace(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	received := &receiver{}
	backend := grpc.NewServer()
	collector.RegisterTraceServiceServer(backend, received)
	go func() { _ = backend.Serve(listener) }()
	t.Cleanup(backend.Stop)

	file := filepath.Join(t.TempDir(), "trace.jsonl")
	s := serve(t, []string{
		"OTEL_EXPORTER_OTLP_ENDPOINT=http://" + listener.Addr().String(), "OTEL_EXPORTER_OTLP_PROTOCOL=grpc",
		"OTEL_EXPORTER_OTLP_INSECURE=true", "OTEL_METRICS_EXPORTER=none",
	}, "--trace-file", file, "--chunk-tokens", "64", "--no-speculation") // a step for each token
	ctx := deadline(t)
	traced := metadata.AppendToOutgoingContext(ctx, "traceparent", "00-"+traceID+"-"+parentID+"-01")
	const secret = "xylophone"
	response, err := s.Generate(traced, prompt(strings.Repeat(secret+" ", 60), greedy(16)))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Generate(metadata.AppendToOutgoingContext(ctx, "traceparent", "00-"+strings.Repeat("ab", 16)+"-"+parentID+"-00"), prompt("Hello", greedy(4))); err != nil {
		t.Fatal(err)
	}
	s.signal(syscall.SIGTERM) // the exporters flush
	if code := s.wait(); code != 0 {
		t.Fatalf("the server ended with %d\n%s", code, s.logged())
	}
	received.mu.Lock()
	defer received.mu.Unlock()
	checkSpans(t, received.spans, response)
	if text, err := os.ReadFile(file); err != nil || !strings.Contains(string(text), traceID) {
		t.Errorf("the trace file does not name the trace in hexadecimal: %v", err)
	}
	fromFile := readTraceFile(t, file)
	if len(fromFile) != len(received.spans) {
		t.Errorf("the trace file has %d spans, the receiver got %d", len(fromFile), len(received.spans))
	}
	if strings.Contains(s.logged(), secret) {
		t.Error("the prompt is in the log")
	}
	for _, span := range received.spans {
		if strings.Contains(span.String(), secret) {
			t.Errorf("the prompt is in a span: %v", span)
		}
	}
}

func checkSpans(t *testing.T, spans []*trace.Span, response *sluicev1.GenerateResponse) {
	t.Helper()
	byName := map[string][]*trace.Span{}
	for _, span := range spans {
		if span.GetName() == "engine.step" {
			byName[span.GetName()] = append(byName[span.GetName()], span)
			if len(span.GetLinks()) == 0 {
				t.Error("an engine.step span links to nothing")
			}
			continue
		}
		if hex.EncodeToString(span.GetTraceId()) != traceID {
			t.Errorf("span %s is in trace %x: an unsampled request must make none", span.GetName(), span.GetTraceId())
		}
		byName[span.GetName()] = append(byName[span.GetName()], span)
	}
	one := func(name string) *trace.Span {
		t.Helper()
		if len(byName[name]) != 1 {
			t.Fatalf("%d spans are called %q; there are %v", len(byName[name]), name, names(byName))
		}
		return byName[name][0]
	}
	rpc := one("sluice.v1.InferenceService/Generate")
	if hex.EncodeToString(rpc.GetParentSpanId()) != parentID || rpc.GetKind() != trace.Span_SPAN_KIND_SERVER {
		t.Errorf("the RPC span has parent %x and kind %v", rpc.GetParentSpanId(), rpc.GetKind())
	}
	operation := one("text_completion smollm2-135m-instruct")
	if string(operation.GetParentSpanId()) != string(rpc.GetSpanId()) || operation.GetKind() != trace.Span_SPAN_KIND_INTERNAL {
		t.Errorf("the operation's span has parent %x and kind %v", operation.GetParentSpanId(), operation.GetKind())
	}
	completion, promptTokens := int64(response.GetUsage().GetCompletionTokens()), int64(response.GetUsage().GetPromptTokens())
	if integer(operation, "gen_ai.usage.output_tokens") != completion || integer(operation, "gen_ai.usage.input_tokens") != promptTokens {
		t.Errorf("the operation's span counts %v", operation.GetAttributes())
	}
	for _, name := range []string{"tokenize", "queue", "detokenize"} {
		one(name)
	}
	for _, name := range []string{"tokenize", "queue", "prefill", "decode", "detokenize"} {
		for _, span := range byName[name] {
			if string(span.GetParentSpanId()) != string(operation.GetSpanId()) {
				t.Errorf("%s is not a child of the operation", name)
			}
		}
	}
	for _, span := range byName["engine.step"] {
		for _, link := range span.GetLinks() {
			if hex.EncodeToString(link.GetTraceId()) != traceID || string(link.GetSpanId()) != string(operation.GetSpanId()) {
				t.Errorf("a step links to %x in trace %x", link.GetSpanId(), link.GetTraceId())
			}
		}
	}
	if chunks := (promptTokens + 63) / 64; int64(len(byName["prefill"])) != chunks {
		t.Errorf("%d prefill spans for %d chunks", len(byName["prefill"]), chunks)
	}
	if sum(byName["prefill"]) != promptTokens {
		t.Errorf("the prefill spans processed %d tokens of %d", sum(byName["prefill"]), promptTokens)
	}
	decode := byName["decode"]
	if int64(len(decode)) != completion-1 || sum(decode) != completion-1 {
		t.Errorf("%d decode spans yielded %d tokens, completion_tokens is %d", len(decode), sum(decode), completion)
	}
	seen := map[int64]bool{}
	for _, span := range decode {
		seen[integer(span, "sluice.token.index")] = true
		if integer(span, "sluice.batch.size") < 1 || integer(span, "sluice.slot") < 0 || integer(span, "sluice.context.length") <= promptTokens-1 {
			t.Errorf("decode span with %v", span.GetAttributes())
		}
	}
	for i := int64(1); i < completion; i++ {
		if !seen[i] {
			t.Errorf("no decode span has token index %d", i)
		}
	}
	if steps := int64(len(byName["engine.step"])); steps < completion-1+(promptTokens+63)/64 {
		t.Errorf("%d engine.step spans", steps)
	}
}

func names(spans map[string][]*trace.Span) map[string]int {
	counts := map[string]int{}
	for name, list := range spans {
		counts[name] = len(list)
	}
	return counts
}

// integer returns an integer attribute of a span, or -1.
func integer(span *trace.Span, key string) int64 {
	for _, attribute := range span.GetAttributes() {
		if attribute.GetKey() == key {
			if value, ok := attribute.GetValue().GetValue().(*common.AnyValue_IntValue); ok {
				return value.IntValue
			}
		}
	}
	return -1
}

func sum(spans []*trace.Span) int64 {
	total := int64(0)
	for _, span := range spans {
		total += integer(span, "sluice.tokens")
	}
	return total
}

// readTraceFile reads a file of one OTLP/JSON TracesData a line. OTLP/JSON writes ids in hexadecimal where protojson
// expects base64, so that they are compared by number alone.
func readTraceFile(t *testing.T, path string) []*trace.Span {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	var spans []*trace.Span
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var data trace.TracesData
		if err := protojson.Unmarshal(lines.Bytes(), &data); err != nil {
			t.Fatal(err)
		}
		for _, resource := range data.GetResourceSpans() {
			for _, scope := range resource.GetScopeSpans() {
				spans = append(spans, scope.GetSpans()...)
			}
		}
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	return spans
}
