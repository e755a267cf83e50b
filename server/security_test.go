package server_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	reflectionpb "google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	"github.com/sluiceml/sluice/inference"
	sluicev1 "github.com/sluiceml/sluice/proto/sluice/v1"
	"github.com/sluiceml/sluice/server"
	"github.com/sluiceml/sluice/server/auth"
	"github.com/sluiceml/sluice/server/servertest"
)

// guarded is a server of two models with clients that a test describes, {KEY} standing for the hash of a key.
type guarded struct {
	*servertest.Instance

	guard  *auth.Guard
	reader *sdkmetric.ManualReader
	keys   map[string]string // by the client's name
}

// startGuarded starts a server with a policy; each client of names has a key, whose hash is {NAME} in the policy.
func startGuarded(t *testing.T, policy string, names []string, configure ...func(*server.Config)) *guarded {
	t.Helper()
	g := &guarded{reader: sdkmetric.NewManualReader(), keys: map[string]string{}}
	for _, name := range names {
		g.keys[name] = auth.NewKey()
		hash, err := auth.HashKey(g.keys[name])
		if err != nil {
			t.Fatal(err)
		}
		policy = strings.ReplaceAll(policy, "{"+name+"}", hash)
	}
	parsed, err := auth.ParsePolicy([]byte(policy))
	if err != nil {
		t.Fatal(err)
	}
	meters := sdkmetric.NewMeterProvider(sdkmetric.WithReader(g.reader))
	if g.guard, err = auth.NewGuard(auth.Config{Policy: parsed, MeterProvider: meters}); err != nil {
		t.Fatal(err)
	}
	g.Instance = servertest.Start(t, []*inference.Model{
		servertest.Toy{Name: "first"}.Model(t), servertest.Toy{Name: "second"}.Model(t),
	}, append([]func(*server.Config){func(c *server.Config) { c.Guard = g.guard }}, configure...)...)
	return g
}

// as is a context that sends a client's key.
func (g *guarded) as(ctx context.Context, name string) context.Context {
	return metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+g.keys[name])
}

// refusals is how many were counted for a reason.
func (g *guarded) refusals(t *testing.T, reason auth.Reason) int64 {
	t.Helper()
	var all metricdata.ResourceMetrics
	if err := g.reader.Collect(context.Background(), &all); err != nil {
		t.Fatal(err)
	}
	for _, scope := range all.ScopeMetrics {
		for _, m := range scope.Metrics {
			sum, ok := m.Data.(metricdata.Sum[int64])
			for i := 0; ok && m.Name == "sluice.auth.refusals" && i < len(sum.DataPoints); i++ {
				if v, _ := sum.DataPoints[i].Attributes.Value(attribute.Key("reason")); v.AsString() == strings.ToLower(string(reason)) {
					return sum.DataPoints[i].Value
				}
			}
		}
	}
	t.Fatalf("no count for %s", reason)
	return 0
}

// refused checks a call's status and that its reason was told and counted once more.
func (g *guarded) refused(t *testing.T, code codes.Code, reason auth.Reason, call func() error) {
	t.Helper()
	before := g.refusals(t, reason)
	st := wantStatus(t, call(), code)
	if got := detail[*errdetails.ErrorInfo](t, st); got.GetReason() != string(reason) {
		t.Errorf("the reason is %s, want %s", got.GetReason(), reason)
	}
	if got := g.refusals(t, reason); got != before+1 {
		t.Errorf("%s was counted %d times", reason, got-before)
	}
}

func TestModelRights(t *testing.T) {
	t.Parallel()
	g := startGuarded(t, `clients:
- {name: narrow, key_sha256: "{narrow}", models: [second]}
- {name: wide, key_sha256: "{wide}"}`, []string{"narrow", "wide"})
	models, tokenizer := sluicev1.NewModelServiceClient(g.Conn), sluicev1.NewTokenizerServiceClient(g.Conn)
	narrow, wide := g.as(t.Context(), "narrow"), g.as(t.Context(), "wide")
	for ctx, want := range map[context.Context]string{narrow: "second", wide: "first second"} {
		list, err := models.ListModels(ctx, &sluicev1.ListModelsRequest{})
		var names []string
		for _, m := range list.GetModels() {
			names = append(names, m.GetName())
		}
		if got := strings.Join(names, " "); err != nil || got != want {
			t.Errorf("models %q, %v, want %q", got, err, want)
		}
	}
	// The default model is "first": its aliases are resolved before the right is looked at. Of a name that is nobody's, the
	// client learns no more than of another's.
	for _, name := range []string{"", "default", "first", "nobody's"} {
		in := greedy("hello", 4)
		in.Model = name
		for what, call := range map[string]func() error{
			"Generate": func() error { _, err := generator(g.Instance).Generate(narrow, in); return err },
			"GenerateStream": func() error {
				stream, err := generator(g.Instance).GenerateStream(narrow, in)
				if err != nil {
					return err
				}
				_, err = stream.Recv()
				return err
			},
			"GetModel": func() error { _, err := models.GetModel(narrow, &sluicev1.GetModelRequest{Name: name}); return err },
			"Tokenize": func() error {
				_, err := tokenizer.Tokenize(narrow, &sluicev1.TokenizeRequest{Model: name, Text: "x"})
				return err
			},
			"Detokenize": func() error {
				_, err := tokenizer.Detokenize(narrow, &sluicev1.DetokenizeRequest{Model: name, Ids: []uint32{65}})
				return err
			},
			"CountTokens": func() error {
				_, err := tokenizer.CountTokens(narrow, &sluicev1.CountTokensRequest{Model: name, Input: &sluicev1.CountTokensRequest_Prompt{Prompt: "x"}})
				return err
			},
		} {
			t.Logf("%s of %q", what, name)
			g.refused(t, codes.PermissionDenied, auth.ReasonModel, call)
		}
	}
	in := greedy("hello", 4)
	in.Model = "second"
	if _, err := generator(g.Instance).Generate(narrow, in); err != nil {
		t.Error(err)
	}
	in.Model = "nobody's"
	_, err := generator(g.Instance).Generate(wide, in)
	wantStatus(t, err, codes.NotFound)
	if log := g.Log.String(); !strings.Contains(log, "client=narrow") || strings.Contains(log, g.keys["narrow"]) {
		t.Errorf("the log names no client, or a key:\n%s", log)
	}
}

func TestQuotas(t *testing.T) {
	t.Parallel()
	g := startGuarded(t, `clients:
- {name: calls, key_sha256: "{calls}", requests: {rate: 0.001, burst: 2}}
- {name: tokens, key_sha256: "{tokens}", tokens: {rate: 0.001, burst: 100}}
- {name: other, key_sha256: "{other}"}`, []string{"calls", "tokens", "other"})
	generate := func(name string, maxTokens uint32) func() error {
		return func() error {
			_, err := generator(g.Instance).Generate(g.as(t.Context(), name), greedy("hello", maxTokens))
			return err
		}
	}
	health := healthpb.NewHealthClient(g.Conn)
	for range 2 {
		if err := generate("calls", 1)(); err != nil {
			t.Fatal(err)
		}
		if _, err := health.Check(g.as(t.Context(), "calls"), &healthpb.HealthCheckRequest{}); err != nil {
			t.Fatal(err) // takes nothing
		}
	}
	g.refused(t, codes.ResourceExhausted, auth.ReasonRequestQuota, generate("calls", 1))
	if err := generate("other", 1)(); err != nil {
		t.Errorf("another client's call: %v", err)
	}

	// Each call reserves 2 tokens for "hello" and max_tokens, and is charged its 5 bytes and what it generated.
	for range 2 {
		if err := generate("tokens", 20)(); err != nil {
			t.Fatal(err)
		}
	}
	err := generate("tokens", 70)()
	st := wantStatus(t, err, codes.ResourceExhausted)
	if wait := detail[*errdetails.RetryInfo](t, st).GetRetryDelay().AsDuration(); wait <= 0 || wait > time.Hour {
		t.Errorf("try again after %s", wait)
	}
	g.refused(t, codes.ResourceExhausted, auth.ReasonTokenQuota, generate("tokens", 70))
	if err := generate("tokens", 1)(); err != nil { // some 50 are left: a refusal takes nothing
		t.Error(err)
	}
	// A request that is refused for another reason is not charged.
	bad := greedy("hello", 1)
	top := float32(7)
	bad.Sampling.TopP = &top
	for range 20 {
		_, err := generator(g.Instance).Generate(g.as(t.Context(), "tokens"), bad)
		wantStatus(t, err, codes.InvalidArgument)
	}
	if err := generate("tokens", 1)(); err != nil {
		t.Error(err)
	}
}

// TestEveryMethodHasAPermission: a service that is registered and that package auth does not know would be open to no
// one; better to notice here.
func TestEveryMethodHasAPermission(t *testing.T) {
	t.Parallel()
	g := startGuarded(t, `clients:
- {name: all, key_sha256: "{all}", allow: [inference, tokenizer, models, health, load, reflection, channelz, admin]}`, []string{"all"})
	stream, err := reflectionpb.NewServerReflectionClient(g.Conn).ServerReflectionInfo(g.as(t.Context(), "all"))
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Send(&reflectionpb.ServerReflectionRequest{
		MessageRequest: &reflectionpb.ServerReflectionRequest_ListServices{},
	}); err != nil {
		t.Fatal(err)
	}
	list, err := stream.Recv()
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, service := range list.GetListServicesResponse().GetService() {
		found, err := protoregistry.GlobalFiles.FindDescriptorByName(protoreflect.FullName(service.GetName()))
		if err != nil {
			t.Fatal(err)
		}
		methods := found.(protoreflect.ServiceDescriptor).Methods()
		for i := range methods.Len() {
			n++
			name := fmt.Sprintf("/%s/%s", service.GetName(), methods.Get(i).Name())
			call := auth.Call{Method: name, Header: func(header string) []string {
				return map[string][]string{"x-api-key": {g.keys["all"]}}[header]
			}}
			if _, err := g.guard.Check(t.Context(), call); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	if n < 10 {
		t.Errorf("only %d methods", n)
	}
}
