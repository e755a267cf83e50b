package gateway_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	metricnoop "go.opentelemetry.io/otel/metric/noop"
	"go.uber.org/goleak"

	"github.com/sluiceml/sluice/inference"
	sluicev1 "github.com/sluiceml/sluice/proto/sluice/v1"
	"github.com/sluiceml/sluice/server"
	"github.com/sluiceml/sluice/server/auth"
	"github.com/sluiceml/sluice/server/gateway"
	"github.com/sluiceml/sluice/server/servertest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// door is a gateway in front of the real server with a toy model.
type door struct {
	*servertest.Instance

	url     string
	gateway *gateway.Gateway
	native  sluicev1.InferenceServiceClient
}

// open starts one. Identity is who the gateway says that a client is.
func open(t testing.TB, toy servertest.Toy, identity string, configure ...func(*server.Config)) *door {
	t.Helper()
	return openAs(t, gateway.Config{}, toy, identity, configure...)
}

// openTo starts one that pages of some origins may call.
func openTo(t testing.TB, origins []string, toy servertest.Toy, identity string, configure ...func(*server.Config)) *door {
	t.Helper()
	return openAs(t, gateway.Config{Origins: origins}, toy, identity, configure...)
}

// openAs starts one that is configured so beside what it needs.
func openAs(t testing.TB, config gateway.Config, toy servertest.Toy, identity string, configure ...func(*server.Config)) *door {
	t.Helper()
	var guard *auth.Guard
	configure = append(configure, func(c *server.Config) { guard = c.Guard })
	i := servertest.Start(t, []*inference.Model{toy.Model(t)}, configure...)
	loopback := server.NewLoopback(&net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 8080})
	served := make(chan error, 1)
	go func() { served <- i.Server.ServeLoopback(loopback) }()
	t.Cleanup(func() {
		i.Server.Stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	config.Dial = loopback.Dial
	config.Identity = func(*http.Request) string { return identity }
	config.Authorize = func(r *http.Request, method string) error {
		if guard == nil {
			return nil
		}
		_, err := guard.Check(r.Context(), auth.Call{Method: method, Header: r.Header.Values, Identity: identity})
		return err
	}
	config.Now = func() time.Time { return time.Unix(1700000000, 0) }
	g, err := gateway.New(config)
	if err != nil {
		t.Fatal(err)
	}
	d := &door{Instance: i, native: sluicev1.NewInferenceServiceClient(i.Conn), gateway: g}
	d.url = d.serve(t, time.Minute)
	t.Cleanup(func() {
		if err := g.Close(); err != nil {
			t.Error(err)
		}
	})
	return d
}

// serve begins to serve on a port of its own, with a timeout for whole exchanges.
func (d *door) serve(t testing.TB, timeout time.Duration) (url string) {
	t.Helper()
	web := httptest.NewUnstartedServer(d.gateway)
	web.Config.Protocols = new(http.Protocols)
	web.Config.Protocols.SetHTTP1(true)
	web.Config.Protocols.SetUnencryptedHTTP2(true)
	web.Config.ReadTimeout, web.Config.WriteTimeout, web.Config.IdleTimeout = timeout, timeout, time.Minute
	web.Start()
	t.Cleanup(web.Close)
	return web.URL
}

// guarded asks callers for what a policy says.
func guarded(t *testing.T, policy string) func(*server.Config) {
	t.Helper()
	parsed, err := auth.ParsePolicy([]byte(policy))
	if err != nil {
		t.Fatal(err)
	}
	guard, err := auth.NewGuard(auth.Config{Policy: parsed, MeterProvider: metricnoop.NewMeterProvider()})
	if err != nil {
		t.Fatal(err)
	}
	return func(c *server.Config) { c.Guard = guard }
}

// reply is the head of an answer.
type reply struct {
	StatusCode int
	Status     string
	Header     http.Header
}

// post sends JSON and returns the answer.
func (d *door) post(t *testing.T, path, body string, headers ...string) (reply, string) {
	t.Helper()
	return d.do(t, http.MethodPost, path, body, append([]string{"Content-Type", "application/json"}, headers...)...)
}

func (d *door) do(t *testing.T, method, path, body string, headers ...string) (reply, string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, d.url+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	return reply{StatusCode: res.StatusCode, Status: res.Status, Header: res.Header}, string(text)
}

// answered posts and decodes an answer that must be 200.
func answered[T any](t *testing.T, d *door, path, body string) T {
	t.Helper()
	res, text := d.post(t, path, body)
	if res.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s: %s", path, res.Status, text)
	}
	var out T
	if err := json.Unmarshal([]byte(text), &out); err != nil {
		t.Fatalf("%s: %v in %s", path, err, text)
	}
	return out
}

// event is a server-sent event.
type event struct{ kind, data string }

// sse splits a stream of events.
func sse(t *testing.T, text string) []event {
	t.Helper()
	var out []event
	var e event
	for lines := bufio.NewScanner(strings.NewReader(text)); lines.Scan(); {
		name, value, _ := strings.Cut(lines.Text(), ": ")
		switch name {
		case "":
			out, e = append(out, e), event{}
		case "event":
			e.kind = value
		case "data":
			e.data = value
		default:
			t.Fatalf("not an event: %q", lines.Text())
		}
	}
	if e != (event{}) {
		t.Fatalf("the stream ends in an event: %q", e)
	}
	return out
}

// chunks decodes the events of a stream of OpenAI's API, which must end with [DONE].
func chunks[T any](t *testing.T, d *door, path, body string) []T {
	t.Helper()
	res, text := d.post(t, path, body)
	if res.StatusCode != http.StatusOK || res.Header.Get("Content-Type") != "text/event-stream" {
		t.Fatalf("%s: %s: %s", path, res.Status, text)
	}
	list := sse(t, text)
	if len(list) == 0 || list[len(list)-1].data != "[DONE]" {
		t.Fatalf("the stream does not end: %s", text)
	}
	var out []T
	for _, e := range list[:len(list)-1] {
		var chunk T
		decoder := json.NewDecoder(bytes.NewReader([]byte(e.data)))
		if err := decoder.Decode(&chunk); err != nil {
			t.Fatalf("%v in %s", err, e.data)
		}
		out = append(out, chunk)
	}
	return out
}

// greedyText is what the model answers natively.
func (d *door) greedyText(t *testing.T, prompt string, tokens uint32) string {
	t.Helper()
	res, err := d.native.Generate(t.Context(), &sluicev1.GenerateRequest{
		Input:    &sluicev1.GenerateRequest_Prompt{Prompt: prompt},
		Sampling: &sluicev1.Sampling{MaxTokens: new(tokens), Temperature: new(float32(0))},
	})
	if err != nil {
		t.Fatal(err)
	}
	return res.GetOutputs()[0].GetText()
}
