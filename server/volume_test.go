package server_test

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"google.golang.org/grpc/codes"

	sluicev1 "github.com/sluiceml/sluice/proto/sluice/v1"
	"github.com/sluiceml/sluice/server"
	"github.com/sluiceml/sluice/server/auth"
)

// halfCall speaks HTTP/2 by hand: it sends the headers of Generate and the prefix of a message of 16 MiB of which not a
// byte follows, and returns the headers of the answer, or what the stream was reset with.
func halfCall(t *testing.T, g *guarded, headers ...string) map[string]string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- g.Server.Serve(listener) }()
	t.Cleanup(func() { // before the instance stops
		g.Server.Stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	conn, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	var block strings.Builder
	encoder := hpack.NewEncoder(&block)
	fields := append([]string{
		":method", "POST", ":scheme", "http", ":path", sluicev1.InferenceService_Generate_FullMethodName,
		":authority", "test", "content-type", "application/grpc", "te", "trailers",
	}, headers...)
	for i := 0; i < len(fields); i += 2 {
		if err := encoder.WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1]}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := io.WriteString(conn, http2.ClientPreface); err != nil {
		t.Fatal(err)
	}
	framer := http2.NewFramer(conn, conn)
	framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	err = errors.Join(framer.WriteSettings(),
		framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: []byte(block.String()), EndHeaders: true}),
		framer.WriteData(1, false, binary.BigEndian.AppendUint32([]byte{0}, 16<<20-1)))
	if err != nil {
		t.Fatal(err)
	}
	for {
		frame, err := framer.ReadFrame()
		if err != nil {
			t.Fatalf("no answer: %v", err)
		}
		if answer, ok := frame.(*http2.MetaHeadersFrame); ok {
			got := map[string]string{}
			for _, field := range answer.Fields {
				got[field.Name] = field.Value
			}
			return got
		}
	}
}

// TestRefusedBeforeItsMessage: a call without a right is answered from its headers, where an interceptor would wait for
// the message.
func TestRefusedBeforeItsMessage(t *testing.T) {
	t.Parallel()
	g := startGuarded(t, `clients: [{name: a, key_sha256: "{a}"}]`, []string{"a"})
	if got := halfCall(t, g)["grpc-status"]; got != "16" {
		t.Errorf("status %s", got)
	}
}

// TestSlowMessage: with a right too, a message may not take for ever.
func TestSlowMessage(t *testing.T) {
	t.Parallel()
	g := startGuarded(t, `clients: [{name: a, key_sha256: "{a}"}]`, []string{"a"},
		func(c *server.Config) { c.ReceiveTimeout = 50 * time.Millisecond })
	if got := halfCall(t, g, "x-api-key", g.keys["a"])["grpc-status"]; got != "1" {
		t.Errorf("status %s", got)
	}
	if got := g.refusals(t, auth.ReasonSlowMessage); got != 1 {
		t.Errorf("counted %d times", got)
	}
	// A call whose message was quick may take longer than that.
	in := greedy("x", 200)
	in.Sampling.IgnoreEos = new(true)
	stream, err := generator(g.Instance).GenerateStream(g.as(t.Context(), "a"), in)
	if err != nil {
		t.Fatal(err)
	}
	for first := true; ; first = false {
		if _, err := stream.Recv(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		if first {
			time.Sleep(100 * time.Millisecond) //nolint:forbidigo // longer than a message may take
		}
	}
}

// TestTooManyRefusals: a connection that only collects refusals is closed, and a client that has learnt better goes on.
func TestTooManyRefusals(t *testing.T) {
	t.Parallel()
	g := startGuarded(t, `clients: [{name: a, key_sha256: "{a}"}]`, []string{"a"})
	for g.refusals(t, auth.ReasonTooManyRefusals) == 0 {
		_, err := generator(g.Instance).Generate(t.Context(), greedy("x", 1))
		wantStatus(t, err, codes.Unauthenticated)
	}
	if got := g.refusals(t, auth.ReasonNoCredentials); got != 100 {
		t.Errorf("closed after %d refusals", got)
	}
	before := g.Conn.GetState()
	for g.Conn.GetState() == before { // the server closes the connection
		if !g.Conn.WaitForStateChange(t.Context(), before) {
			t.Fatal("the connection is still open")
		}
	}
	g.Conn.Connect()
	if _, err := generator(g.Instance).Generate(g.as(t.Context(), "a"), greedy("x", 1)); err != nil {
		t.Error(err)
	}
	if lines := strings.Count(g.Log.String(), "refused a call"); lines < 1 || lines > 50 {
		t.Errorf("%d lines in the log for 100 refusals", lines)
	}
}

func TestTooManyConnections(t *testing.T) {
	t.Parallel()
	g := startGuarded(t, `{open: [models], clients: [{name: a, key_sha256: "{a}"}]}`, []string{"a"},
		func(c *server.Config) { c.MaxConnections = 2 })
	list := func(conn sluicev1.ModelServiceClient) error {
		_, err := conn.ListModels(t.Context(), &sluicev1.ListModelsRequest{})
		return err
	}
	second := g.Dial(t)
	for _, conn := range []sluicev1.ModelServiceClient{sluicev1.NewModelServiceClient(g.Conn), sluicev1.NewModelServiceClient(second)} {
		if err := list(conn); err != nil {
			t.Fatal(err)
		}
	}
	third := sluicev1.NewModelServiceClient(g.Dial(t))
	wantStatus(t, list(third), codes.Unavailable)
	if g.refusals(t, auth.ReasonTooManyConnections) == 0 {
		t.Error("the refused connection was not counted")
	}
	if err := second.Close(); err != nil {
		t.Fatal(err)
	}
	fourth := sluicev1.NewModelServiceClient(g.Dial(t))
	for err := list(fourth); err != nil; err = list(fourth) { // once the server has noticed
		wantStatus(t, err, codes.Unavailable)
	}
	g.Server.SetMaxConnections(3)
	if err := list(sluicev1.NewModelServiceClient(g.Dial(t))); err != nil {
		t.Errorf("after the bound was raised: %v", err)
	}
}
