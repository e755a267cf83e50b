package gateway_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/sluiceml/sluice/inference/inferencetest"
	"github.com/sluiceml/sluice/inference/runner"
	sluicev1 "github.com/sluiceml/sluice/proto/sluice/v1"
	"github.com/sluiceml/sluice/server/auth"
	"github.com/sluiceml/sluice/server/gateway"
	"github.com/sluiceml/sluice/server/servertest"
)

func request(prompt string, tokens uint32) *sluicev1.GenerateRequest {
	return &sluicev1.GenerateRequest{
		Input:    &sluicev1.GenerateRequest_Prompt{Prompt: prompt},
		Sampling: &sluicev1.Sampling{MaxTokens: new(tokens), Temperature: new(float32(0))},
	}
}

// Connect's own client speaks each of its protocols to the gateway, whole answers and streams, and gets the details of errors.
func TestConnectClients(t *testing.T) {
	t.Parallel()
	d := open(t, servertest.Toy{}, "")
	want := d.greedyText(t, "one", 20)
	for name, c := range rpcProtocols(t) {
		unary := connect.NewClient[sluicev1.GenerateRequest, sluicev1.GenerateResponse](
			c.client, d.url+sluicev1.InferenceService_Generate_FullMethodName, c.options...)
		got, err := unary.CallUnary(t.Context(), connect.NewRequest(request("one", 20)))
		if err != nil || got.Msg.GetOutputs()[0].GetText() != want {
			t.Errorf("%s: %v, %v", name, got, err)
		}
		_, err = unary.CallUnary(t.Context(), connect.NewRequest(request("", 20)))
		if connect.CodeOf(err) != connect.CodeInvalidArgument || len(details(err)) != 1 {
			t.Errorf("%s: %v", name, err)
		}
		if _, err = unary.CallUnary(t.Context(), connect.NewRequest(request(strings.Repeat("x", 17<<20), 1))); connect.CodeOf(err) != connect.CodeResourceExhausted {
			t.Errorf("%s: too large: %v", name, err)
		}
		streaming := connect.NewClient[sluicev1.GenerateRequest, sluicev1.GenerateStreamResponse](
			c.client, d.url+sluicev1.InferenceService_GenerateStream_FullMethodName, c.options...)
		stream, err := streaming.CallServerStream(t.Context(), connect.NewRequest(request("one", 20)))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		var text strings.Builder
		for stream.Receive() {
			text.WriteString(stream.Msg().GetDelta().GetText())
		}
		if err := stream.Err(); err != nil || text.String() != want {
			t.Errorf("%s: streamed %q, %v", name, text.String(), err)
		}
		if err := stream.Close(); err != nil {
			t.Error(err)
		}
		if err := streamError(t, streaming, request(strings.Repeat("x", 17<<20), 1)); connect.CodeOf(err) != connect.CodeResourceExhausted {
			t.Errorf("%s: too large a stream: %v", name, err)
		}
	}
}

// An answer may be larger than a request: each byte of a text may be a token, with its bytes and its id.
func TestLargeAnswers(t *testing.T) {
	t.Parallel()
	d := open(t, servertest.Toy{}, "")
	text := strings.Repeat("x", 420<<10)
	res, answer := d.post(t, sluicev1.TokenizerService_Tokenize_FullMethodName, `{"text":"`+text+`","addSpecialTokens":false}`)
	if n := strings.Count(answer, `"id":`); res.StatusCode != http.StatusOK || n != len(text) || len(answer) <= 16<<20 {
		t.Errorf("%s: %d tokens in %d bytes, want %d in more than 16 MiB", res.Status, n, len(answer), len(text))
	}
}

// rpcProtocol is a client's way to speak.
type rpcProtocol struct {
	client  *http.Client
	options []connect.ClientOption
}

func rpcProtocols(t *testing.T) map[string]rpcProtocol {
	t.Helper()
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	http2 := &http.Transport{Protocols: protocols}
	t.Cleanup(http2.CloseIdleConnections)
	return map[string]rpcProtocol{
		"connect":      {http.DefaultClient, nil},
		"connect JSON": {http.DefaultClient, []connect.ClientOption{connect.WithProtoJSON()}},
		"grpc-web":     {http.DefaultClient, []connect.ClientOption{connect.WithGRPCWeb()}},
		"grpc":         {&http.Client{Transport: http2}, []connect.ClientOption{connect.WithGRPC()}},
	}
}

// Who is refused before the call begins learns why, in each protocol, of a stream too.
func TestConnectRefusals(t *testing.T) {
	t.Parallel()
	d := open(t, servertest.Toy{}, "", guarded(t, `clients: [{name: a, key_sha256: "`+hash(t, auth.NewKey())+`"}]`))
	for name, c := range rpcProtocols(t) {
		unary := connect.NewClient[sluicev1.GenerateRequest, sluicev1.GenerateResponse](
			c.client, d.url+sluicev1.InferenceService_Generate_FullMethodName, c.options...)
		_, err := unary.CallUnary(t.Context(), connect.NewRequest(request("one", 1)))
		if connect.CodeOf(err) != connect.CodeUnauthenticated || len(details(err)) != 1 {
			t.Errorf("%s: %v", name, err)
		}
		streaming := connect.NewClient[sluicev1.GenerateRequest, sluicev1.GenerateStreamResponse](
			c.client, d.url+sluicev1.InferenceService_GenerateStream_FullMethodName, c.options...)
		err = streamError(t, streaming, request("one", 1))
		if connect.CodeOf(err) != connect.CodeUnauthenticated || len(details(err)) != 1 {
			t.Errorf("%s: stream: %v", name, err)
		}
	}
}

// streamError is how a stream fails, whether at its begin or later.
func streamError(t *testing.T, client *connect.Client[sluicev1.GenerateRequest, sluicev1.GenerateStreamResponse], in *sluicev1.GenerateRequest) error {
	t.Helper()
	stream, err := client.CallServerStream(t.Context(), connect.NewRequest(in))
	if err != nil {
		return err //nolint:wrapcheck // it is the result
	}
	defer stream.Close() //nolint:errcheck // so is Err
	for stream.Receive() {
		t.Error("an event of a stream that must fail")
	}
	return stream.Err() //nolint:wrapcheck // it is the result
}

func details(err error) []*connect.ErrorDetail {
	e, ok := errors.AsType[*connect.Error](err)
	if !ok {
		return nil
	}
	return e.Details()
}

// joinDeltas joins deltas that follow each other: how many tokens one has hangs on when its reader comes.
func joinDeltas(events []*sluicev1.GenerateStreamResponse) []*sluicev1.GenerateStreamResponse {
	var out []*sluicev1.GenerateStreamResponse
	for _, event := range events {
		delta := event.GetDelta()
		if last := len(out) - 1; delta != nil && last >= 0 && out[last].GetDelta() != nil {
			out[last].GetDelta().Text += delta.GetText()
			continue
		}
		out = append(out, event)
	}
	return out
}

// The events of a stream are those of gRPC, as JSON.
func TestServerSentEvents(t *testing.T) {
	t.Parallel()
	d := open(t, servertest.Toy{}, "")
	stream, err := d.native.GenerateStream(t.Context(), request("one", 5))
	if err != nil {
		t.Fatal(err)
	}
	var want []*sluicev1.GenerateStreamResponse
	for event, err := stream.Recv(); err == nil; event, err = stream.Recv() {
		want = append(want, event)
	}
	const path = "/sluice.v1.InferenceService/GenerateStream"
	res, text := d.post(t, path, `{"prompt":"one","sampling":{"maxTokens":5,"temperature":0}}`, "Accept", "text/event-stream")
	if res.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s", res.Status, text)
	}
	var got []*sluicev1.GenerateStreamResponse
	for _, e := range sse(t, text) {
		event := &sluicev1.GenerateStreamResponse{}
		if err := protojson.Unmarshal([]byte(e.data), event); err != nil {
			t.Fatalf("%v in %s", err, e.data)
		}
		if !strings.HasPrefix(e.data, `{"`+e.kind+`":`) {
			t.Errorf("event %q has %s", e.kind, e.data)
		}
		got = append(got, event)
	}
	if diff := cmp.Diff(joinDeltas(want), joinDeltas(got), protocmp.Transform(), protocmp.IgnoreFields(&sluicev1.Started{}, "id"),
		protocmp.IgnoreFields(&sluicev1.Finished{}, "seed"), protocmp.IgnoreFields(&sluicev1.Summary{}, "timings", "usage")); diff != "" {
		t.Errorf("(-gRPC +events):\n%s", diff)
	}
	for body, want := range map[string][]string{
		`{"prompt":""}`:              {`"code":"invalid_argument"`, `"fieldViolations":[{"field":"prompt","description":"must not be empty"}]`},
		`{"prompt":`:                 {`"code":"invalid_argument"`, `"message":"the request is not a sluice.v1.GenerateRequest in JSON: unexpected EOF"`},
		`{"prompt":"x","model":"m"}`: {`"code":"not_found"`, `"message":"model \"m\" is not served here"`, `"resourceName":"m"`},
	} {
		_, text := d.post(t, path, body, "Accept", "text/event-stream")
		for _, part := range want {
			if !strings.Contains(text, part) {
				t.Errorf("%s: no %s in %s", body, part, text)
			}
		}
	}
}

// An answer may take longer than the HTTP server's deadlines, which are for short exchanges.
func TestSlowAnswer(t *testing.T) {
	t.Parallel()
	d := open(t, servertest.Toy{Session: slow()}, "")
	d.url = d.serve(t, 400*time.Millisecond)
	for _, stream := range []string{"", `,"stream":true`} {
		started := time.Now()
		res, text := d.post(t, "/v1/completions", `{"prompt":"x","max_tokens":60,"ignore_eos":true`+stream+`}`)
		if res.StatusCode != http.StatusOK || time.Since(started) < 400*time.Millisecond || !strings.Contains(text, `"length"`) {
			t.Errorf("%s after %v: %s", res.Status, time.Since(started), text)
		}
	}
}

// A client that goes away ends its request.
func TestDisconnect(t *testing.T) {
	t.Parallel()
	d := open(t, servertest.Toy{Session: slow()}, "")
	for path, body := range map[string]string{
		"/v1/completions": `{"prompt":"x","max_tokens":200,"ignore_eos":true}`,
		sluicev1.InferenceService_Generate_FullMethodName: `{"prompt":"x","sampling":{"maxTokens":200,"ignoreEos":true}}`,
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, d.url+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/json")
		if res, err := http.DefaultClient.Do(req); err == nil {
			_ = res.Body.Close()
			t.Errorf("%s: %s before the client went away", path, res.Status)
		}
		cancel()
		d.waitIdle(t)
	}
}

// slow takes 10 ms for a step.
func slow() inferencetest.ToyConfig {
	return inferencetest.ToyConfig{BeforeStep: func(runner.Step) error {
		time.Sleep(10 * time.Millisecond) //nolint:forbidigo // it is what the test is about
		return nil
	}}
}

// waitIdle waits until no request runs.
func (d *door) waitIdle(t *testing.T) {
	t.Helper()
	models := sluicev1.NewModelServiceClient(d.Conn)
	for {
		res, err := models.GetModel(t.Context(), &sluicev1.GetModelRequest{})
		if err != nil {
			t.Fatal(err) // among others the test's own deadline
		}
		if r := res.GetModel().GetReplicas()[0]; r.GetRunning()+r.GetWaiting() == 0 {
			return
		}
		time.Sleep(time.Millisecond) //nolint:forbidigo // nobody tells
	}
}

// A stream may be silent for longer than a write may take, over HTTP/2 too, where a deadline that passes ends a stream
// although nothing is being written.
func TestSilentStream(t *testing.T) { //nolint:paralleltest // changes the timeout of all
	gateway.ShortWriteTimeout(t, 200*time.Millisecond)
	var steps atomic.Int32
	d := open(t, servertest.Toy{Session: inferencetest.ToyConfig{BeforeStep: func(runner.Step) error {
		if steps.Add(1)%4 == 3 {
			time.Sleep(500 * time.Millisecond) //nolint:forbidigo // it is what the test is about
		}
		return nil
	}}}, "")
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	http2 := &http.Transport{Protocols: protocols}
	t.Cleanup(http2.CloseIdleConnections)
	for name, client := range map[string]*http.Client{"HTTP/1.1": http.DefaultClient, "HTTP/2": {Transport: http2}} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, d.url+"/v1/completions",
			strings.NewReader(`{"prompt":"x","max_tokens":12,"ignore_eos":true,"stream":true}`))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/json")
		res, err := client.Do(req)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		text, err := io.ReadAll(res.Body)
		_ = res.Body.Close()
		if err != nil || !strings.HasSuffix(string(text), "data: [DONE]\n\n") {
			t.Errorf("%s: %v: %s", name, err, text)
		}
	}
}
