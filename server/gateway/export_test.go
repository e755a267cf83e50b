package gateway

import (
	"testing"
	"time"
)

// ShortWriteTimeout makes the deadline of a write short until the test ends.
func ShortWriteTimeout(t *testing.T, timeout time.Duration) {
	t.Helper()
	before := writeTimeout
	writeTimeout = timeout
	t.Cleanup(func() { writeTimeout = before })
}

// Patterns are the routes of one method each, as net/http has them.
func (g *Gateway) Patterns() []string {
	var out []string
	for path, methods := range g.routes.methods {
		for _, method := range methods {
			out = append(out, method+" "+path)
		}
	}
	return out
}
