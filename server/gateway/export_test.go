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

// PartID is partID.
func PartID(id string, part, parts int) string { return partID(id, part, parts) }

// BoundBodies bounds the bytes of requests that come in at one time. It must be called before the first.
func (g *Gateway) BoundBodies(bytes int64) { g.bodies = newBudget(bytes) }

// BodiesLeft is how many bytes more may come in at one time.
func (g *Gateway) BodiesLeft() int64 { return g.bodies.left.Load() }
