package gateway_test

import (
	"net/http"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	grpcstatus "google.golang.org/grpc/status"

	sluicev1 "github.com/sluiceml/sluice/proto/sluice/v1"
	"github.com/sluiceml/sluice/server/servertest"
	"github.com/sluiceml/sluice/server/status"
)

// TestServerGone: a request that comes between the end of the server and that of its HTTP address is told to come again, as one
// during the drain is, in the form of each API.
func TestServerGone(t *testing.T) {
	t.Parallel()
	d := open(t, servertest.Toy{}, "")
	d.Server.Stop()
	const generate, stream = sluicev1.InferenceService_Generate_FullMethodName, sluicev1.InferenceService_GenerateStream_FullMethodName
	const openAI = `{"error":{"message":"the server is going away","type":"server_error","param":null,"code":"unavailable"}}`
	const native = `{"code":"unavailable","message":"the server is going away","details":[{"type":"google.rpc.ErrorInfo",`
	for _, c := range []struct{ path, body, accept, want string }{
		{"/v1/completions", `{"prompt":"one"}`, "", openAI},
		{"/v1/completions", `{"prompt":"one","stream":true}`, "", openAI},
		{"/generate_text", `{"prompt":"one"}`, "", `{"error":"the server is going away"}`},
		{generate, `{"prompt":"one"}`, "", native},
		{stream, `{"prompt":"one"}`, "text/event-stream", native},
	} {
		res, text := d.post(t, c.path, c.body, "Accept", c.accept)
		if res.StatusCode != http.StatusServiceUnavailable || res.Header.Get("Retry-After") != "1" || !strings.HasPrefix(text, c.want) {
			t.Errorf("%s %s: %s, Retry-After %q: %s", c.path, c.body, res.Status, res.Header.Get("Retry-After"), text)
		}
	}
	res, text := d.do(t, http.MethodPost, stream, "\x00\x00\x00\x00\x00", "Content-Type", "application/connect+proto")
	if res.StatusCode != http.StatusOK || !strings.Contains(text, `"code":"unavailable","message":"the server is going away"`) {
		t.Errorf("Connect's stream: %s: %q", res.Status, text)
	}
	conn, err := grpc.NewClient(strings.TrimPrefix(d.url, "http://"), grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithDisableRetry())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close() //nolint:errcheck // nothing is in flight
	_, err = sluicev1.NewInferenceServiceClient(conn).Generate(t.Context(), request("one", 1))
	got := grpcstatus.Convert(err)
	if got.Code() != codes.Unavailable || got.Message() != "the server is going away" || status.Pushback(got) == nil {
		t.Errorf("gRPC: %v, %v", err, got.Details())
	}
}

// TestSentences: what is wrong with a field goes on from its name, whichever verb it begins with.
func TestSentences(t *testing.T) {
	t.Parallel()
	d := open(t, servertest.Toy{}, "")
	for body, want := range map[string]string{
		`"add_generation_prompt":true,"continue_final_message":true`: `"message":"continue_final_message excludes add_generation_prompt"`,
		`"tool_choice":"required"`:                                   `"message":"tool_choice.mode requires a call, and `,
	} {
		res, text := d.post(t, "/v1/chat/completions", `{"messages":[{"role":"assistant","content":"x"}],`+body+`}`)
		if res.StatusCode != http.StatusBadRequest || !strings.Contains(text, want) {
			t.Errorf("%s: %s: %s", body, res.Status, text)
		}
	}
}
