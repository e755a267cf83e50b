package gateway

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// anyOrigin lets the pages of every site call.
const anyOrigin = "*"

// exposed are the headers of an answer that a page may read: those of Connect's, gRPC-Web's and our own errors. Connect has trailers
// among them, by another name.
const exposed = requestIDHeader + ", Retry-After, WWW-Authenticate, Grpc-Status, Grpc-Message, Grpc-Status-Details-Bin, " +
	"Grpc-Retry-Pushback-Ms, Trailer-Grpc-Retry-Pushback-Ms"

// defaultPort is the port that browsers leave out of an origin with the scheme; "": they write every one.
func defaultPort(scheme string) string {
	switch scheme {
	case "http":
		return "80"
	case "https":
		return "443"
	}
	return ""
}

// CheckOrigin says what is wrong with an origin whose pages may call: it is "*", for any, or a scheme, a host and perhaps a
// port, exactly as browsers send them: in lower case, and without the scheme's own port (the origin of WHATWG's URL and
// HTML standards). One in another form would allow nobody, as origins are compared byte by byte.
func CheckOrigin(origin string) error {
	if origin == anyOrigin {
		return nil
	}
	parsed, err := url.Parse(origin)
	if err != nil || parsed.Scheme == "" || parsed.Host == "" || origin != parsed.Scheme+"://"+parsed.Host {
		return fmt.Errorf("%q is not an origin, such as https://example.org:8443, or *", origin)
	}
	if strings.ToLower(parsed.Host) != parsed.Host {
		return fmt.Errorf("%q has upper-case letters, but browsers send %q", origin, strings.ToLower(origin))
	}
	port := parsed.Port()
	if bare, found := strings.CutSuffix(origin, ":"+port); found && (port == "" || port == defaultPort(parsed.Scheme)) {
		return fmt.Errorf("%q has the default port, but browsers send %q", origin, bare)
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
