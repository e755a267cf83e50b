// Package server is the gRPC transport of the served models: it converts, streams and maps errors, and nothing else.
// What a request means is package inference's business.
package server

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"sync/atomic"
	"time"

	serviceorca "github.com/cncf/xds/go/xds/service/orca/v3"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc"
	channelz "google.golang.org/grpc/channelz/service"
	"google.golang.org/grpc/credentials"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/reflection"

	sluicev1 "github.com/sluiceml/sluice/proto/sluice/v1"
	"github.com/sluiceml/sluice/server/auth"
	"github.com/sluiceml/sluice/server/interceptor"
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
	// Guard decides who may call what. Nil: anyone anything.
	Guard *auth.Guard
	// ReceiveTimeout is how long a request message may take to come in, if there is a Guard. 0: a minute.
	ReceiveTimeout time.Duration
	// MaxConnections bounds the open connections of each listener; more are closed at once. 0: no bound.
	MaxConnections int
	// MaxConcurrentStreams bounds the calls of one connection. 0: 1024.
	MaxConcurrentStreams uint32
	// NoReflection leaves out the reflection services.
	NoReflection bool
	// Version is the program's, for protocols that tell it.
	Version string
}

// Server serves the models of a registry. It is safe for concurrent use.
type Server struct {
	config Config
	grpc   *grpc.Server
	health *healthService
	gate   *gate

	drainDelay     atomic.Int64 // a time.Duration
	maxConnections atomic.Int64
	chain          interceptor.Chain
	load           *load
	methods        map[string]bool // of all services, as in "/package.Service/Method"; not changed after New
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
	if config.ReceiveTimeout == 0 {
		config.ReceiveTimeout = receiveTimeout
	}
	chain, err := interceptor.New(interceptor.Config{
		Logger:         config.Logger,
		MeterProvider:  config.MeterProvider,
		MaxDuration:    config.MaxRequestDuration,
		Infrastructure: infrastructure,
		Guard:          config.Guard,
	})
	if err != nil {
		return nil, fmt.Errorf("new server: %w", err)
	}
	s := &Server{
		config: config,
		health: newHealth(config.Registry),
		gate:   newGate(max(config.DrainDelay, time.Second)),
		load:   &load{models: config.Registry, rates: newRates(time.Now)},
		chain:  chain,
	}
	s.SetMaxConnections(config.MaxConnections)
	s.SetDrainDelay(config.DrainDelay)
	serves := func(method string) bool { return s.methods[method] }
	s.grpc = grpc.NewServer(append(transportOptions(config, serves),
		// The load is outermost: it counts by the status that the client gets, which has been made by then.
		grpc.ChainUnaryInterceptor(slices.Concat([]grpc.UnaryServerInterceptor{s.load.unary}, chain.Unary, []grpc.UnaryServerInterceptor{s.gate.unary})...),
		grpc.ChainStreamInterceptor(slices.Concat([]grpc.StreamServerInterceptor{s.load.stream}, chain.Stream, []grpc.StreamServerInterceptor{s.gate.stream})...),
	)...)
	s.register()
	s.methods = map[string]bool{}
	for service, info := range s.grpc.GetServiceInfo() {
		for _, method := range info.Methods {
			s.methods["/"+service+"/"+method.Name] = true
		}
	}
	return s, nil
}

// register puts every service on the gRPC server.
func (s *Server) register() {
	models := s.config.Registry
	generate := &inferenceService{
		models: models,
		now:    time.Now,
		draw:   draws{id: drawID, seed: drawSeed},
	}
	describe, tokenize := &modelService{models: models}, &tokenizerService{models: models}
	sluicev1.RegisterInferenceServiceServer(s.grpc, generate)
	sluicev1.RegisterModelServiceServer(s.grpc, describe)
	sluicev1.RegisterTokenizerServiceServer(s.grpc, tokenize)
	s.registerForeign(generate, describe, tokenize)
	healthpb.RegisterHealthServer(s.grpc, s.health)
	serviceorca.RegisterOpenRcaServiceServer(s.grpc, &loadService{load: s.load})
	channelz.RegisterChannelzServiceToServer(s.grpc)
	if !s.config.NoReflection {
		reflection.Register(s.grpc) // v1 and v1alpha
	}
}

// Serve takes connections from lis, which it closes, until Shutdown or Stop. It may run on several listeners.
func (s *Server) Serve(lis net.Listener) error {
	if err := s.serve(LimitConnections(lis, &s.maxConnections, s.config.Guard)); err != nil {
		return fmt.Errorf("serve gRPC: %w", err)
	}
	return nil
}

// serve takes connections from lis. A Stop that came first is no failure, as one that comes later is none.
func (s *Server) serve(lis net.Listener) error {
	if err := s.grpc.Serve(lis); !errors.Is(err, grpc.ErrServerStopped) {
		return err
	}
	return nil
}

// SetMaxConnections replaces Config.MaxConnections. Connections that are open stay.
func (s *Server) SetMaxConnections(most int) { s.maxConnections.Store(int64(most)) }

// SetMaxRequestDuration replaces Config.MaxRequestDuration for calls to come.
func (s *Server) SetMaxRequestDuration(most time.Duration) { s.chain.SetMaxDuration(most) }

// SetServing says whether the server wants calls. It reports SERVING when it does and every model is ready.
func (s *Server) SetServing(serving bool) { s.health.turn(serving) }

// UpdateHealth reads the states of the models. Call it when one has changed.
func (s *Server) UpdateHealth() { s.health.update() }

// drawID makes the id of a request that came without one.
func drawID() string { return "gen-" + rand.Text() }

// drawSeed makes the seed of a request that came without one.
func drawSeed() uint64 {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails
	return binary.NativeEndian.Uint64(b[:])
}
