package gateway

import (
	"context"
	"net/http"

	"google.golang.org/grpc/metadata"

	"github.com/sluiceml/sluice/server/auth"
	"github.com/sluiceml/sluice/server/handshake"
)

// forwarded are the headers that a call takes along: who calls, and which trace goes on.
var forwarded = []string{ //nolint:gochecknoglobals // a list
	"authorization", "x-api-key", auth.TenantHeader,
	"traceparent", "tracestate", "baggage", "b3", "x-b3-traceid", "x-b3-spanid", "x-b3-sampled", "x-b3-parentspanid", "x-b3-flags",
}

// call returns the context of the gRPC call that a request becomes, whose own context, which ends when the client goes
// away, is ctx.
func (g *Gateway) call(ctx context.Context, r *http.Request) context.Context {
	md := metadata.MD{}
	for _, name := range forwarded {
		if values := r.Header.Values(name); len(values) > 0 {
			md[name] = values
		}
	}
	if identity := g.identity(r); identity != "" {
		md.Set(handshake.IdentityHeader, identity)
	}
	md.Set(handshake.PeerHeader, r.RemoteAddr)
	return metadata.NewOutgoingContext(ctx, md)
}
