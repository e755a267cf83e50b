package server

import (
	"strings"
	"time"

	"go.opentelemetry.io/contrib/instrumentation/google.golang.org/grpc/otelgrpc"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	_ "google.golang.org/grpc/encoding/gzip" // clients may compress; MaxMessageBytes bounds what a message becomes
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/stats"

	"github.com/sluiceml/sluice/server/handshake"
	"github.com/sluiceml/sluice/server/interceptor"
)

// MaxMessageBytes is the largest request message; gRPC answers a larger one with a bare RESOURCE_EXHAUSTED.
const MaxMessageBytes = 16 << 20

// The bounds of a connection, against clients that hold one without using it or ping it to death.
const (
	handshakeTimeout   = 20 * time.Second
	keepaliveTime      = time.Minute      // the server pings a connection that was silent for so long
	keepaliveTimeout   = 20 * time.Second // and drops it if no answer comes
	maxConnectionIdle  = 15 * time.Minute // a connection without a call is told to go; clients connect again by themselves
	minClientKeepalive = 10 * time.Second // a client that pings more often is sent away
	maxHeaderBytes     = 64 << 10
	receiveTimeout     = time.Minute // for a request message, 16 MiB at 2.2 Mbit/s
	defaultMaxStreams  = 1024        // concurrent calls of one connection
)

// transportOptions are the options of the gRPC server that do not depend on its services, but for serves, which says whether one of
// them has a method: a call of another makes no span, and no metrics, whose number any client could raise to the limit of what is
// counted one by one.
func transportOptions(config Config, serves func(method string) bool) []grpc.ServerOption {
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
			MaxConnectionIdle:     maxConnectionIdle,
			MaxConnectionAge:      config.MaxConnectionAge,
			MaxConnectionAgeGrace: config.MaxConnectionAgeGrace,
		}),
		grpc.StatsHandler(otelgrpc.NewServerHandler(
			otelgrpc.WithTracerProvider(config.TracerProvider),
			otelgrpc.WithMeterProvider(config.MeterProvider),
			otelgrpc.WithPropagators(config.Propagator),
			otelgrpc.WithFilter(func(call *stats.RPCTagInfo) bool {
				return !infrastructure(call.FullMethodName) && serves(call.FullMethodName)
			}),
		)),
	}
	transport := config.Credentials
	if transport == nil {
		transport = insecure.NewCredentials()
	}
	transport = handshake.TakeLocal(transport)
	if config.Guard != nil {
		transport = handshake.Credentials(transport, config.Guard)
		options = append(options, grpc.InTapHandle(interceptor.Tap(config.Guard, config.Logger, config.ReceiveTimeout, idles)),
			grpc.UnknownServiceHandler(interceptor.Unknown(config.Guard)))
	}
	return append(options, grpc.Creds(transport))
}

// infrastructure says whether a method belongs to the machinery around the service, which makes no spans and no log
// lines and is not drained.
func infrastructure(method string) bool {
	return strings.HasPrefix(method, "/grpc.health.") ||
		strings.HasPrefix(method, "/grpc.reflection.") ||
		strings.HasPrefix(method, "/grpc.channelz.") ||
		strings.HasPrefix(method, "/xds.service.orca.")
}
