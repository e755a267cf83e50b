package gateway

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
)

// anyOrigin lets the pages of every site call.
const anyOrigin = "*"

// exposed are the headers of an answer that a page may read: those of Connect's, gRPC-Web's and our own errors.
const exposed = "Retry-After, WWW-Authenticate, Grpc-Status, Grpc-Message, Grpc-Status-Details-Bin"

// CheckOrigin says what is wrong with an origin whose pages may call: it is "*", for any, or a scheme, a host and perhaps a
// port, exactly as browsers send them.
func CheckOrigin(origin string) error {
	if origin == anyOrigin {
		return nil
	}
	parsed, err := url.Parse(origin)
	if err != nil || parsed.Scheme == "" || parsed.Host == "" || origin != parsed.Scheme+"://"+parsed.Host {
		return fmt.Errorf("%q is no origin, which is * or like https://example.org:8443", origin)
	}
	return nil
}

// withOrigins lets pages of the given origins call next from a browser (the CORS protocol of WHATWG's Fetch), without cookies,
// HTTP authentication or certificates: what a page may do it may do by the key that it has. Without origins next is as it is,
// and browsers let pages of its own origin alone read its answers.
func withOrigins(origins []string, next http.Handler) http.Handler {
	if len(origins) == 0 {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		origin, header := r.Header.Get("Origin"), w.Header()
		switch {
		case slices.Contains(origins, anyOrigin):
			header.Set("Access-Control-Allow-Origin", anyOrigin)
		case slices.Contains(origins, origin):
			header.Set("Access-Control-Allow-Origin", origin)
			header.Add("Vary", "Origin")
		default:
			header.Add("Vary", "Origin")
			next.ServeHTTP(w, r)
			return
		}
		if origin != "" && r.Method == http.MethodOptions && r.Header.Get("Access-Control-Request-Method") != "" {
			header.Set("Access-Control-Allow-Methods", "GET, POST")
			header.Set("Access-Control-Allow-Headers", "*, Authorization") // which the star leaves out
			header.Set("Access-Control-Max-Age", "7200")                   // seconds; what Chromium takes at most
			w.WriteHeader(http.StatusNoContent)
			return
		}
		header.Set("Access-Control-Expose-Headers", exposed)
		next.ServeHTTP(w, r)
	})
}
