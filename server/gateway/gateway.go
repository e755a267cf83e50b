package gateway

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	sluicev1 "github.com/sluiceml/sluice/proto/sluice/v1"
)

// maxBodyBytes bounds a request, as the gRPC server bounds its messages. JSON is longer than what it stands for, but
// rarely by much.
const maxBodyBytes = 16 << 20

// maxAnswerBytes bounds a message that the server sends: log-probabilities of a long prompt are the largest.
const maxAnswerBytes = 256 << 20

// Config describes a Gateway.
type Config struct {
	// Dial makes a connection to the gRPC server, which must take handshake.IdentityHeader from it. Required.
	Dial func(context.Context) (net.Conn, error)
	// Identity is the SPIFFE ID that the client of a request has proved; "" for none. Nil: none has.
	Identity func(*http.Request) string
	// Now is the clock of the answers' creation times. Nil: time.Now.
	Now func() time.Time
}

// Gateway serves HTTP by calling a gRPC server. It is safe for concurrent use.
type Gateway struct {
	mux       *http.ServeMux
	conn      *grpc.ClientConn
	transport *http.Transport // of calls that go on as they are
	inference sluicev1.InferenceServiceClient
	models    sluicev1.ModelServiceClient
	tokenizer sluicev1.TokenizerServiceClient
	identity  func(*http.Request) string
	now       func() time.Time
}

// New makes a gateway. It connects with the first call. The caller closes it.
func New(config Config) (*Gateway, error) {
	conn, err := grpc.NewClient("passthrough:///loopback",
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return config.Dial(ctx) }),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxAnswerBytes)),
		grpc.WithDisableServiceConfig(), grpc.WithDisableRetry(),
		grpc.WithIdleTimeout(0),
	)
	if err != nil {
		return nil, fmt.Errorf("gateway: %w", err)
	}
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	g := &Gateway{
		mux:  http.NewServeMux(),
		conn: conn,
		transport: &http.Transport{
			Protocols:          protocols,
			DialContext:        func(ctx context.Context, _, _ string) (net.Conn, error) { return config.Dial(ctx) },
			DisableCompression: true,
		},
		inference: sluicev1.NewInferenceServiceClient(conn),
		models:    sluicev1.NewModelServiceClient(conn),
		tokenizer: sluicev1.NewTokenizerServiceClient(conn),
		identity:  config.Identity,
		now:       config.Now,
	}
	if g.identity == nil {
		g.identity = func(*http.Request) string { return "" }
	}
	if g.now == nil {
		g.now = time.Now
	}
	if err := g.route(); err != nil {
		_ = conn.Close()
		return nil, fmt.Errorf("gateway: %w", err)
	}
	return g, nil
}

// route puts every route on the mux.
func (g *Gateway) route() error {
	native, err := g.native()
	if err != nil {
		return err
	}
	g.mux.Handle("/sluice.v1.InferenceService/", native)
	g.mux.Handle("/sluice.v1.ModelService/", native)
	g.mux.Handle("/sluice.v1.TokenizerService/", native)
	g.mux.Handle("POST /generate_text", asJSON(g.generateText))
	g.mux.Handle("POST /v1/completions", asJSON(g.completions))
	g.mux.Handle("POST /v1/chat/completions", asJSON(g.chatCompletions))
	g.mux.HandleFunc("GET /v1/models", g.listModels)
	g.mux.HandleFunc("GET /v1/models/{name...}", g.getModel)
	for _, path := range []string{"/v1/completions", "/v1/chat/completions", "/v1/models", "/v1/models/{name...}", "/generate_text"} {
		g.mux.HandleFunc(path, wrongMethod)
	}
	g.mux.HandleFunc("/", notFound)
	return nil
}

// ServeHTTP implements http.Handler.
func (g *Gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w = withPatience(w, r)
	w.Header().Set("X-Content-Type-Options", "nosniff")
	g.mux.ServeHTTP(w, r)
}

// Close ends the connections. Requests that still run fail.
func (g *Gateway) Close() error {
	g.transport.CloseIdleConnections()
	if err := g.conn.Close(); err != nil {
		return fmt.Errorf("close the gateway: %w", err)
	}
	return nil
}
