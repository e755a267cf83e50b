package gateway

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"time"

	sluicev1 "github.com/sluiceml/sluice/proto/sluice/v1"
	"github.com/sluiceml/sluice/server/gateway/playground"
	"github.com/sluiceml/sluice/server/status"
)

// maxBodyBytes bounds a request, as the gRPC server bounds its messages. JSON is longer than what it stands for, but
// rarely by much.
const maxBodyBytes = 16 << 20

// maxBodies bounds the requests that come in at one time, in bytes that have come: see share.
const maxBodies = 16 * maxBodyBytes

// maxAnswerBytes bounds a message that the server sends: log-probabilities of a long prompt are the largest.
const maxAnswerBytes = 256 << 20

// Config describes a Gateway.
type Config struct {
	// Dial makes a connection to the gRPC server, which must take handshake.IdentityHeader from it. Required.
	Dial func(context.Context) (net.Conn, error)
	// Identity is the SPIFFE ID that the client of a request has proved; "" for none. Nil: none has.
	Identity func(*http.Request) string
	// Authorize decides from its headers whether a request may make a call of a gRPC method, before its body is read. Its
	// error is one that package status knows. Nil: the gRPC server alone decides, once the body is there.
	Authorize func(r *http.Request, method string) error
	// NoPlayground leaves out the page at "/".
	NoPlayground bool
	// NoReflection leaves out /openapi.json, which describes the services as gRPC's reflection does.
	NoReflection bool
	// Origins are those whose pages may call from a browser: see CheckOrigin. None: those of the gateway's own origin alone.
	Origins []string
	// Hosts are the names by which requests may address the gateway; nil: any. They are for a gateway that takes calls without
	// credentials.
	Hosts *Hosts
	// Now is the clock of the answers' creation times. Nil: time.Now.
	Now func() time.Time
}

// Gateway serves HTTP by calling a gRPC server. It is safe for concurrent use.
type Gateway struct {
	routes    router
	handler   http.Handler // serve, with an id, by its own names and as pages of other origins may call it
	conn      *connections
	transport *http.Transport // of calls that go on as they are
	inference sluicev1.InferenceServiceClient
	models    sluicev1.ModelServiceClient
	tokenizer sluicev1.TokenizerServiceClient
	identity  func(*http.Request) string
	authorize func(*http.Request, string) error
	bodies    *budget // for requests that are being read
	now       func() time.Time
}

// New makes a gateway. It connects with the first call. The caller closes it.
func New(config Config) (*Gateway, error) {
	conn, err := dial(config.Dial)
	if err != nil {
		return nil, fmt.Errorf("gateway: %w", err)
	}
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	g := &Gateway{
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
		authorize: config.Authorize,
		bodies:    newBudget(maxBodies),
		now:       config.Now,
	}
	if g.identity == nil {
		g.identity = func(*http.Request) string { return "" }
	}
	if g.authorize == nil {
		g.authorize = func(*http.Request, string) error { return nil }
	}
	if g.now == nil {
		g.now = time.Now
	}
	err = g.route()
	if !config.NoReflection {
		g.routes.HandleFunc("GET /openapi.json", describe)
	}
	if err == nil && !config.NoPlayground {
		err = g.routePlayground()
	}
	if err != nil {
		_ = conn.close()
		return nil, fmt.Errorf("gateway: %w", err)
	}
	g.routes.refuseOthers()
	g.handler = withRequestIDs(withHosts(config.Hosts, withOrigins(config.Origins, http.HandlerFunc(g.serve))))
	return g, nil
}

// route adds the routes of calls.
func (g *Gateway) route() error {
	native, err := g.native()
	if err != nil {
		return err
	}
	g.routes.Handle("/sluice.v1.InferenceService/", native)
	g.routes.Handle("/sluice.v1.ModelService/", native)
	g.routes.Handle("/sluice.v1.TokenizerService/", native)
	generate := sluicev1.InferenceService_Generate_FullMethodName
	g.routes.Handle("POST "+articlePath, g.allowed(generate, failArticle, asJSONElse(failArticle, g.generateText)))
	g.routes.Handle("POST /v1/completions", g.allowed(generate, fail, asJSON(g.completions)))
	g.routes.Handle("POST /v1/chat/completions", g.allowed(generate, fail, asJSON(g.chatCompletions)))
	g.routes.Handle("POST /v1/embeddings", g.allowed(sluicev1.InferenceService_Embed_FullMethodName, fail, asJSON(g.embeddings)))
	g.routes.HandleFunc("GET /v1/models", g.listModels)
	g.routes.HandleFunc("GET /v1/models/{name...}", g.getModel)
	return nil
}

// routePlayground adds the page. Anyone may have it; its calls are judged like any client's.
func (g *Gateway) routePlayground() error {
	page, err := playground.New()
	if err != nil {
		return err //nolint:wrapcheck // says what it is
	}
	g.routes.Handle("GET /{$}", page)
	g.routes.Handle("GET "+playground.Prefix, page)
	return nil
}

// ServeHTTP implements http.Handler.
func (g *Gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) { g.handler.ServeHTTP(w, r) }

// serve answers a request, from whichever page it comes.
func (g *Gateway) serve(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("X-Content-Type-Options", "nosniff")
	size := int64(maxBodyBytes)
	if r.ContentLength >= 0 {
		size = min(size, r.ContentLength)
	}
	in := &share{all: g.bodies, most: size}
	if !in.hold(min(size, firstShare)) {
		leaveBody(w, r)
		failAny(w, r, errOverloaded)
		return
	}
	defer in.release()
	patient := withPatience(w, r, in)
	defer func() { patient.arm() }() // what is still in a buffer is written once we return
	g.routes.ServeHTTP(patient, r)
}

// allowed lets a request go on to a handler if its caller may make a call of a method.
func (g *Gateway) allowed(method string, refuse func(http.ResponseWriter, *problem), next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := g.authorize(r, method); err != nil {
			leaveBody(w, r)
			refuse(w, translate(status.Of(r.Context(), err).Err(), nil))
			return
		}
		next.ServeHTTP(w, r)
	})
}

// Close ends the connections. Requests that still run fail.
func (g *Gateway) Close() error {
	g.transport.CloseIdleConnections()
	if err := g.conn.close(); err != nil {
		return fmt.Errorf("close the gateway: %w", err)
	}
	return nil
}
