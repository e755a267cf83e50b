package sluice

import (
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/keepalive"
)

// serviceConfig has calls tried again where the server cannot be reached, drains or loads, unless an answer has begun:
// generating the same once more does no harm. Loading and unloading models is left out. What is ResourceExhausted is left to
// the caller, who knows whether to wait as long as the server asks ([Error.RetryAfter]): a quota may ask for hours.
const serviceConfig = `{"methodConfig": [{
	"name": [
		{"service": "sluice.v1.InferenceService"},
		{"service": "sluice.v1.TokenizerService"},
		{"service": "sluice.v1.ModelService", "method": "ListModels"},
		{"service": "sluice.v1.ModelService", "method": "GetModel"}
	],
	"retryPolicy": {
		"maxAttempts": 4, "initialBackoff": "0.2s", "maxBackoff": "5s", "backoffMultiplier": 2,
		"retryableStatusCodes": ["UNAVAILABLE"]
	}
}]}`

// pings keep connections through routers that forget silent ones, and find dead ones, while calls run. The server wants at
// least 10 s between them.
var pings = keepalive.ClientParameters{Time: 30 * time.Second, Timeout: 15 * time.Second} //nolint:gochecknoglobals // a constant

// retryBufferSize is the largest request that is tried again, in bytes: the server's own limit, with the five bytes that go
// before a message. gRPC's default of 256 KiB is less than what a long context takes.
const retryBufferSize = maxMessageSize + 5

// Windows of flow control, in bytes: what may be on its way, and of a stream also unread. gRPC would measure what the
// connection carries, for which it sends a ping with nearly every message; of a stream of single tokens, pings and their
// answers were two of three writes. A window goes once in a round trip: over one of 50 ms, 2 MiB are 42 MB/s for an answer,
// such as the vectors of a large Embed, and 8 MiB 168 MB/s for all that run. gRPC returns a connection's window as data
// come, whoever reads them, so that who does not read holds up nobody else, and costs 2 MiB.
const (
	streamWindow     = 2 << 20
	connectionWindow = 8 << 20
)

// WithoutRetry has no call tried again. By default what is Unavailable is, up to three times, after about 0.2, 0.4 and 0.8
// seconds, unless an answer has begun.
func WithoutRetry() Option {
	return func(o *options) { o.noRetry = true }
}

// resilience are gRPC's options for that.
func (o *options) resilience() []grpc.DialOption {
	dial := []grpc.DialOption{
		grpc.WithKeepaliveParams(pings),
		grpc.WithStaticStreamWindowSize(streamWindow), grpc.WithStaticConnWindowSize(connectionWindow),
		grpc.WithDefaultCallOptions(grpc.MaxRetryRPCBufferSize(retryBufferSize)),
	}
	if o.noRetry {
		return append(dial, grpc.WithDisableRetry())
	}
	return append(dial, grpc.WithDefaultServiceConfig(serviceConfig))
}
