// Package server is the gRPC transport of the served models: it converts, streams and maps errors, and nothing else.
// What a request means is package inference's business.
package server

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"time"

	"go.opentelemetry.io/contrib/instrumentation/google.golang.org/grpc/otelgrpc"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc"
	channelz "google.golang.org/grpc/channelz/service"
	"google.golang.org/grpc/credentials"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/reflection"
	"google.golang.org/grpc/stats"

	sluicev1 "github.com/sluiceml/sluice/proto/sluice/v1"
	"github.com/sluiceml/sluice/server/interceptor"
)

// MaxMessageBytes is the largest request message; gRPC answers a larger one with a bare RESOURCE_EXHAUSTED.
const MaxMessageBytes = 16 << 20

// The bounds of a connection, against clients that hold one without using it or ping it to death.
const (
	handshakeTimeout   = 20 * time.Second
	keepaliveTime      = time.Minute      // the server pings a connection that was silent for so long
	keepaliveTimeout   = 20 * time.Second // and drops it if no answer comes
	minClientKeepalive = 10 * time.Second // a client that pings more often is sent away
	maxHeaderBytes     = 64 << 10
	defaultMaxStreams  = 1024 // concurrent calls of one connection
	lingerTimeout      = time.Second
)

// Config describes a server.
type Config struct {
	// Registry holds the served models. Required.
	Registry Registry
	// Logger takes a line per call and the faults, each in the call's context, whose trace its handler should name.
	// Required.
	Logger *slog.Logger
	// TracerProvider makes the span of each call. Required.
	TracerProvider trace.TracerProvider
	// MeterProvider takes the metrics of calls. Required.
	MeterProvider metric.MeterProvider
	// Propagator reads the caller's trace context from the metadata. Nil: W3C Trace Context and Baggage.
	Propagator propagation.TextMapPropagator
	// Credentials are the transport's, for TLS. Nil: plain text.
	Credentials credentials.TransportCredentials

	// DrainDelay is how long Shutdown keeps taking calls after it has turned NOT_SERVING, for load balancers to
	// notice. 0: not at all.
	DrainDelay time.Duration
	// MaxRequestDuration bounds a call, whatever deadline it came with. 0: no bound.
	MaxRequestDuration time.Duration
	// MaxConnectionAge is the age at which a connection is told to go elsewhere, so that load spreads; its calls have
	// MaxConnectionAgeGrace to finish. 0: never, and no limit.
	MaxConnectionAge, MaxConnectionAgeGrace time.Duration
	// MaxConcurrentStreams bounds the calls of one connection. 0: 1024.
	MaxConcurrentStreams uint32
	// NoReflection leaves out the reflection services.
	NoReflection bool
}

// Server serves the models of a registry. It is safe for concurrent use.
type Server struct {
	config Config
	grpc   *grpc.Server
	health *healthService
	gate   *gate
}

// New makes a server with all its services registered. It serves once Serve is called, and says so (in
// grpc.health.v1) once SetServing is.
func New(config Config) (*Server, error) {
	if config.Propagator == nil {
		config.Propagator = propagation.NewCompositeTextMapPropagator(propagation.TraceContext{}, propagation.Baggage{})
	}
	if config.MaxConcurrentStreams == 0 {
		config.MaxConcurrentStreams = defaultMaxStreams
	}
	chain, err := interceptor.New(interceptor.Config{
		Logger:         config.Logger,
		MeterProvider:  config.MeterProvider,
		MaxDuration:    config.MaxRequestDuration,
		Infrastructure: infrastructure,
	})
	if err != nil {
		return nil, fmt.Errorf("new server: %w", err)
	}
	s := &Server{
		config: config,
		health: newHealth(config.Registry),
		gate:   newGate(max(config.DrainDelay, time.Second)),
	}
	s.grpc = grpc.NewServer(append(transportOptions(config),
		grpc.ChainUnaryInterceptor(append(chain.Unary, s.gate.unary)...),
		grpc.ChainStreamInterceptor(append(chain.Stream, s.gate.stream)...),
	)...)
	s.register()
	return s, nil
}

// transportOptions are the options of the gRPC server that do not depend on its services.
func transportOptions(config Config) []grpc.ServerOption {
	options := []grpc.ServerOption{
		grpc.MaxRecvMsgSize(MaxMessageBytes),
		grpc.MaxHeaderListSize(maxHeaderBytes),
		grpc.MaxConcurrentStreams(config.MaxConcurrentStreams),
		grpc.ConnectionTimeout(handshakeTimeout),
		grpc.WaitForHandlers(true), // the models outlive their calls
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{
			MinTime:             minClientKeepalive,
			PermitWithoutStream: true,
		}),
		grpc.KeepaliveParams(keepalive.ServerParameters{
			Time:                  keepaliveTime,
			Timeout:               keepaliveTimeout,
			MaxConnectionAge:      config.MaxConnectionAge,
			MaxConnectionAgeGrace: config.MaxConnectionAgeGrace,
		}),
		grpc.StatsHandler(otelgrpc.NewServerHandler(
			otelgrpc.WithTracerProvider(config.TracerProvider),
			otelgrpc.WithMeterProvider(config.MeterProvider),
			otelgrpc.WithPropagators(config.Propagator),
			otelgrpc.WithFilter(func(call *stats.RPCTagInfo) bool { return !infrastructure(call.FullMethodName) }),
		)),
	}
	if config.Credentials != nil {
		options = append(options, grpc.Creds(config.Credentials))
	}
	return options
}

// register puts every service on the gRPC server.
func (s *Server) register() {
	models := s.config.Registry
	sluicev1.RegisterInferenceServiceServer(s.grpc, &inferenceService{
		models: models,
		now:    time.Now,
		draw:   draws{id: drawID, seed: drawSeed},
	})
	sluicev1.RegisterModelServiceServer(s.grpc, &modelService{models: models})
	sluicev1.RegisterTokenizerServiceServer(s.grpc, &tokenizerService{models: models})
	healthpb.RegisterHealthServer(s.grpc, s.health)
	channelz.RegisterChannelzServiceToServer(s.grpc)
	if !s.config.NoReflection {
		reflection.Register(s.grpc) // v1 and v1alpha
	}
}

// GRPC is the gRPC server, to register further services on before Serve.
func (s *Server) GRPC() *grpc.Server { return s.grpc }

// Serve takes connections from lis, which it closes, until Shutdown or Stop. It may run on several listeners.
func (s *Server) Serve(lis net.Listener) error {
	if err := s.grpc.Serve(lis); err != nil {
		return fmt.Errorf("serve gRPC: %w", err)
	}
	return nil
}

// SetServing says whether the server wants calls. It reports SERVING when it does and every model is ready.
func (s *Server) SetServing(serving bool) { s.health.turn(serving) }

// UpdateHealth reads the states of the models. Call it when one has changed.
func (s *Server) UpdateHealth() { s.health.update() }

// Shutdown stops the server without breaking a call, in order: report NOT_SERVING; keep taking calls for DrainDelay;
// refuse new ones with UNAVAILABLE; wait for those that run; close the connections. When ctx ends first, the calls
// that still run are cut off and the error is ctx's. In either case no handler runs when it returns.
func (s *Server) Shutdown(ctx context.Context) error {
	s.health.down()
	if s.config.DrainDelay > 0 {
		delay := time.NewTimer(s.config.DrainDelay)
		defer delay.Stop()
		select {
		case <-delay.C:
		case <-ctx.Done():
		}
	}
	var cut error
	select {
	case <-s.gate.close():
	case <-ctx.Done():
		cut = fmt.Errorf("shutdown: calls were cut off: %w", context.Cause(ctx))
	}
	s.gate.end()
	if cut == nil {
		s.flush(ctx)
	}
	s.grpc.Stop()
	return cut
}

// flush lets the connections send what they hold. All real work is done by now; what can still be open are streams
// that wait for their clients (reflection), which are not worth more than a moment.
func (s *Server) flush(ctx context.Context) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.grpc.GracefulStop()
	}()
	linger := time.NewTimer(lingerTimeout)
	defer linger.Stop()
	select {
	case <-done:
	case <-linger.C:
	case <-ctx.Done():
	}
	s.grpc.Stop() // ends a GracefulStop that still waits
	<-done
}

// Stop closes every connection at once and waits for the handlers.
func (s *Server) Stop() {
	s.health.down()
	s.gate.close()
	s.gate.end()
	s.grpc.Stop()
}

// infrastructure says whether a method belongs to the machinery around the service, which makes no spans and no log
// lines and is not drained.
func infrastructure(method string) bool {
	return strings.HasPrefix(method, "/grpc.health.") ||
		strings.HasPrefix(method, "/grpc.reflection.") ||
		strings.HasPrefix(method, "/grpc.channelz.")
}

// drawID makes the id of a request that came without one.
func drawID() string { return "gen-" + rand.Text() }

// drawSeed makes the seed of a request that came without one.
func drawSeed() uint64 {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails
	return binary.NativeEndian.Uint64(b[:])
}
