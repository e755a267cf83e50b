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
