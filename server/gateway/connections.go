package gateway

import (
	"context"
	"errors"
	"net"
	"sync/atomic"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

// connectionCount is how many connections the calls are spread over: the server bounds the calls of each, and further ones
// would wait for a place without anyone being told.
const connectionCount = 8

// connections is a grpc.ClientConnInterface of several connections, each taken in turn.
type connections struct {
	all  []*grpc.ClientConn
	next atomic.Uint64
}

func dial(connect func(context.Context) (net.Conn, error)) (*connections, error) {
	out := &connections{}
	for range connectionCount {
		conn, err := grpc.NewClient("passthrough:///loopback",
			grpc.WithTransportCredentials(insecure.NewCredentials()),
			grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return connect(ctx) }),
			grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxAnswerBytes)),
			grpc.WithDisableServiceConfig(), grpc.WithDisableRetry(),
			grpc.WithIdleTimeout(0),
		)
		if err != nil {
			return nil, errors.Join(err, out.close())
		}
		out.all = append(out.all, conn)
	}
	return out, nil
}

func (c *connections) take() *grpc.ClientConn { return c.all[c.next.Add(1)%uint64(len(c.all))] }

// Invoke implements grpc.ClientConnInterface.
func (c *connections) Invoke(ctx context.Context, method string, args, reply any, opts ...grpc.CallOption) error {
	return c.take().Invoke(ctx, method, args, reply, opts...) //nolint:wrapcheck // a status
}

// NewStream implements grpc.ClientConnInterface.
func (c *connections) NewStream(
	ctx context.Context, desc *grpc.StreamDesc, method string, opts ...grpc.CallOption,
) (grpc.ClientStream, error) {
	return c.take().NewStream(ctx, desc, method, opts...) //nolint:wrapcheck // a status
}

func (c *connections) close() error {
	var faults []error
	for _, conn := range c.all {
		faults = append(faults, conn.Close())
	}
	return errors.Join(faults...)
}
