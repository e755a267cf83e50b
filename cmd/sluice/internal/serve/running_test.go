package serve

import (
	"runtime"
	"testing"
)

// TestFreeMemory: memory is given back while the server serves, and not while it drains.
func TestFreeMemory(t *testing.T) {
	collections := func() uint32 { // those that were asked for
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.NumForcedGC
	}
	for _, serves := range []bool{true, false} {
		a := &App{}
		a.serving.Store(serves)
		before := collections()
		if a.freeMemory(); (collections() > before) != serves {
			t.Errorf("serving %t: %d collections", serves, collections()-before)
		}
	}
}
