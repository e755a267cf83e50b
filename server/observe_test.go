package server_test

import (
	"encoding/json"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"

	"go.opentelemetry.io/otel/attribute"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc/channelz/grpc_channelz_v1"
	"google.golang.org/grpc/codes"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	reflectv1 "google.golang.org/grpc/reflection/grpc_reflection_v1"
	reflectv1alpha "google.golang.org/grpc/reflection/grpc_reflection_v1alpha"
	"google.golang.org/grpc/status"

	"github.com/sluiceml/sluice/inference"
	sluicev1 "github.com/sluiceml/sluice/proto/sluice/v1"
	"github.com/sluiceml/sluice/server"
	"github.com/sluiceml/sluice/server/auth"
	"github.com/sluiceml/sluice/server/servertest"
)

// One trace per request: the RPC's span continues the caller's, and the model's span is its child.
func TestSpans(t *testing.T) {
	t.Parallel()
	spans := tracetest.NewSpanRecorder()
	provider := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans))
	i := start(t, servertest.Toy{TracerProvider: provider}, func(c *server.Config) { c.TracerProvider = provider })
	const parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	ctx := metadata.AppendToOutgoingContext(t.Context(), "traceparent", parent)
	if _, err := stream(ctx, t, generator(i), greedy("hi", 3)); err != nil {
		t.Fatal(err)
	}
	i.Server.Stop() // ends the RPC's span
	var rpc, model sdktrace.ReadOnlySpan
	for _, span := range spans.Ended() {
		switch span.SpanKind() {
		case trace.SpanKindServer:
			if rpc != nil {
				t.Errorf("a second RPC span %q", span.Name())
			}
			rpc = span
		default:
			if span.Name() == "text_completion toy" {
				model = span
			}
		}
	}
	if rpc == nil || model == nil {
		t.Fatalf("spans %v", spans.Ended())
	}
	if rpc.Name() != "sluice.v1.InferenceService/GenerateStream" {
		t.Errorf("the RPC's span is %q", rpc.Name())
	}
	if got := rpc.Parent(); got.TraceID().String() != parent[3:35] || got.SpanID().String() != parent[36:52] {
		t.Errorf("the RPC's span continues %v", got)
	}
	if model.Parent().SpanID() != rpc.SpanContext().SpanID() {
		t.Error("the model's span is not below the RPC's")
	}
	if !slices.ContainsFunc(rpc.Attributes(), func(a attribute.KeyValue) bool { return a.Key == "rpc.response.status_code" }) {
		t.Errorf("attributes %v", rpc.Attributes())
	}
}

// Calls of methods that nobody serves make no metrics and no spans of their own: a client could make as many as it likes.
func TestUnknownMethodsAreNotMeasured(t *testing.T) {
	t.Parallel()
	reader, spans := sdkmetric.NewManualReader(), tracetest.NewSpanRecorder()
	i := start(t, servertest.Toy{}, func(c *server.Config) {
		c.MeterProvider = sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader))
		c.TracerProvider = sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans))
		guard, err := auth.NewGuard(auth.Config{MeterProvider: c.MeterProvider}) // with which calls of no method have a handler
		if err != nil {
			t.Fatal(err)
		}
		c.Guard = guard
	})
	for _, method := range []string{"/any.Service/Any", "/sluice.v1.InferenceService/Any", "Any"} {
		err := i.Conn.Invoke(t.Context(), method, &sluicev1.GetModelRequest{}, &sluicev1.GetModelResponse{})
		if status.Code(err) != codes.Unimplemented {
			t.Errorf("%s: %v", method, err)
		}
	}
	if _, err := generator(i).Generate(t.Context(), greedy("hi", 1)); err != nil {
		t.Fatal(err)
	}
	i.Server.Stop() // measures what has ended
	var all metricdata.ResourceMetrics
	if err := reader.Collect(t.Context(), &all); err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	if err := json.NewEncoder(&text).Encode(all); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(text.String(), "Any") || !strings.Contains(text.String(), "sluice.v1.InferenceService/Generate") {
		t.Errorf("measured: %s", text.String())
	}
	if ended := spans.Ended(); len(ended) != 1 {
		t.Errorf("%d spans: %v", len(ended), ended)
	}
}

// A bug is logged with the trace under which the client was told to ask.
func TestInternalErrorNamesItsTrace(t *testing.T) {
	t.Parallel()
	provider := sdktrace.NewTracerProvider()
	i := start(t, servertest.Toy{}, func(c *server.Config) {
		c.TracerProvider = provider
		c.Registry = panicking{c.Registry}
	})
	_, err := sluicev1.NewModelServiceClient(i.Conn).GetModel(t.Context(), &sluicev1.GetModelRequest{Name: "x"})
	st := wantStatus(t, err, codes.Internal)
	_, id, found := strings.Cut(st.Message(), "under trace ")
	if !found || !strings.Contains(i.Log.String(), "trace_id="+id) {
		t.Errorf("message %q, log:\n%s", st.Message(), i.Log.String())
	}
	if strings.Contains(st.Message(), "registry") || !strings.Contains(i.Log.String(), "the registry is gone") {
		t.Errorf("message %q, log:\n%s", st.Message(), i.Log.String())
	}
	mustStream(t, generator(i), greedy("still there", 2))
}

// panicking is a registry that panics when a model is asked for by a name.
type panicking struct{ server.Registry }

func (p panicking) Find(name string) (inference.Entry, error) {
	if name != "" {
		panic("the registry is gone")
	}
	return p.Registry.Find(name) //nolint:wrapcheck // a test's wrapper
}

// The line of a finished call names the request and the model, and repeats nothing of its texts, also when the call is
// refused.
func TestCallLine(t *testing.T) {
	t.Parallel()
	i := start(t, servertest.Toy{})
	in := greedy("confidential words", 3)
	in.RequestId = "req-7"
	if _, err := generator(i).Generate(t.Context(), in); err != nil {
		t.Fatal(err)
	}
	mustStream(t, generator(i), in)
	refused := greedy(strings.Repeat("confidential ", 50), 3)
	refused.RequestId, refused.Model = "req-8", "default"
	_, err := generator(i).Generate(t.Context(), refused)
	wantStatus(t, err, codes.InvalidArgument)
	i.Server.Stop()
	text := i.Log.String()
	lines := strings.Split(strings.TrimSpace(text), "\n")
	if len(lines) != 3 {
		t.Fatalf("%d lines:\n%s", len(lines), text)
	}
	for n, id := range []string{"req-7", "req-7", "req-8"} {
		if !strings.Contains(lines[n], "request_id="+id) || !strings.Contains(lines[n], "model=toy") {
			t.Errorf("line %d does not name request and model: %s", n, lines[n])
		}
	}
	for n, want := range []string{"prompt_tokens=19 ", "prompt_tokens=19 ", ""} {
		if !strings.Contains(lines[n], want) || strings.Contains(lines[n], " completion_tokens=3 ") != (want != "") {
			t.Errorf("line %d does not count the tokens: %s", n, lines[n])
		}
	}
	if strings.Contains(text, "confidential") {
		t.Errorf("the log repeats a prompt:\n%s", text)
	}
}

// The machinery is there, and makes neither spans nor log lines.
func TestInfrastructure(t *testing.T) {
	t.Parallel()
	spans := tracetest.NewSpanRecorder()
	i := start(t, servertest.Toy{}, func(c *server.Config) {
		c.TracerProvider = sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans))
	})
	want := []string{
		"grpc.channelz.v1.Channelz", "grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection",
		"grpc.reflection.v1alpha.ServerReflection", "inference.GRPCInferenceService", "sluice.v1.InferenceService", "sluice.v1.ModelService",
		"sluice.v1.TokenizerService", "vllm.Control", "vllm.Inference", "xds.service.orca.v3.OpenRcaService",
	}
	if got := reflected(t, i); !slices.Equal(got, want) {
		t.Errorf("reflection v1 lists %v, want %v", got, want)
	}
	if got := reflectedAlpha(t, i); !slices.Equal(got, want) {
		t.Errorf("reflection v1alpha lists %v, want %v", got, want)
	}
	servers, err := grpc_channelz_v1.NewChannelzClient(i.Conn).GetServers(t.Context(), &grpc_channelz_v1.GetServersRequest{})
	if err != nil || len(servers.GetServer()) == 0 {
		t.Errorf("channelz: %v, %v", servers, err)
	}
	if got := check(t, i, ""); got != healthpb.HealthCheckResponse_SERVING {
		t.Errorf("health %v", got)
	}
	if _, err := healthpb.NewHealthClient(i.Conn).List(t.Context(), &healthpb.HealthListRequest{}); err != nil {
		t.Error(err)
	}
	i.Server.Stop()
	if ended := spans.Ended(); len(ended) > 0 {
		t.Errorf("%d spans, the first %q", len(ended), ended[0].Name())
	}
	if text := i.Log.String(); text != "" {
		t.Errorf("log:\n%s", text)
	}
}

func TestNoReflection(t *testing.T) {
	t.Parallel()
	i := start(t, servertest.Toy{}, func(c *server.Config) { c.NoReflection = true })
	call, err := reflectv1.NewServerReflectionClient(i.Conn).ServerReflectionInfo(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := call.Recv(); status.Code(err) != codes.Unimplemented {
		t.Errorf("got %v", err)
	}
}

func reflected(t *testing.T, i *servertest.Instance) []string {
	t.Helper()
	call, err := reflectv1.NewServerReflectionClient(i.Conn).ServerReflectionInfo(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := call.Send(&reflectv1.ServerReflectionRequest{
		MessageRequest: &reflectv1.ServerReflectionRequest_ListServices{},
	}); err != nil {
		t.Fatal(err)
	}
	answer, err := call.Recv()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, service := range answer.GetListServicesResponse().GetService() {
		names = append(names, service.GetName())
	}
	if err := call.CloseSend(); err != nil {
		t.Error(err)
	}
	if _, err := call.Recv(); !errors.Is(err, io.EOF) {
		t.Errorf("got %v", err)
	}
	slices.Sort(names)
	return names
}

func reflectedAlpha(t *testing.T, i *servertest.Instance) []string {
	t.Helper()
	call, err := reflectv1alpha.NewServerReflectionClient(i.Conn).ServerReflectionInfo(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := call.Send(&reflectv1alpha.ServerReflectionRequest{ //nolint:staticcheck // the older tools' own
		MessageRequest: &reflectv1alpha.ServerReflectionRequest_ListServices{},
	}); err != nil {
		t.Fatal(err)
	}
	answer, err := call.Recv()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, service := range answer.GetListServicesResponse().GetService() { //nolint:staticcheck // the older tools' own
		names = append(names, service.GetName()) //nolint:staticcheck // the older tools' own
	}
	slices.Sort(names)
	return names
}
