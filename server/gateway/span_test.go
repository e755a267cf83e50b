package gateway_test

import (
	"net/http"
	"testing"

	"go.opentelemetry.io/otel/attribute"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/sluiceml/sluice/server"
	"github.com/sluiceml/sluice/server/servertest"
)

// The span of a call that came by HTTP has the address of the HTTP listener, and not that of the connection in memory.
func TestSpansNameTheListener(t *testing.T) {
	t.Parallel()
	spans := tracetest.NewSpanRecorder()
	provider := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans))
	d := open(t, servertest.Toy{}, "", func(c *server.Config) { c.TracerProvider = provider })
	if res, text := d.post(t, "/v1/completions", completionBody); res.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s", res.Status, text)
	}
	d.Server.Stop() // ends the span
	for _, span := range spans.Ended() {
		for _, a := range span.Attributes() {
			if a == attribute.String("server.address", "127.0.0.1") {
				return
			}
		}
	}
	t.Errorf("no span has the address: %v", spans.Ended())
}
