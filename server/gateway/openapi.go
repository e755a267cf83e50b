package gateway

import (
	_ "embed"
	"net/http"
)

// openapi describes the routes to programs. `make generate` makes it of the files in openapi, which are written by hand, and
// the protos.
//
//go:embed openapi.json
var openapi []byte

func describe(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(openapi) // the client has gone
}
