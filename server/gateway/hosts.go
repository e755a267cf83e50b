package gateway

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/idna"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	grpcstatus "google.golang.org/grpc/status"

	"github.com/sluiceml/sluice/server/status"
)

// anyHost lets requests name whatever host they do.
const anyHost = "*"

// reasonHost is the reason why a request that names a foreign host is refused, beside those of package status.
const reasonHost = "HOST_NOT_ALLOWED"

// Hosts are the names by which requests may address a gateway that takes calls without credentials. A site can make its own name
// lead to the gateway's address (DNS rebinding); to a browser the site's pages are of the gateway's own origin then, and may read
// what it answers. But the browser says the site's name in the header Host, which pages cannot set.
//
// Addresses, localhost and names below it are always taken, since no site has them. So is a request without Host, which no
// browser sends.
type Hosts struct {
	// Names are further ones, in the form of ParseHost. "*" takes any.
	Names []string
	// Domains are such that names below them are taken, in the form of ParseHost: for one that only the operator's own name
	// server has names in, such as that of a cluster's services.
	Domains []string
	// Private takes names that practically none of the internet's sites has: those without a dot, and those below local, internal,
	// home.arpa (RFC 6762, ICANN's choice of 2024, RFC 8375) and svc (Kubernetes's, no top-level domain). It is for gateways that
	// other machines reach by such names.
	Private bool
	// Closed says whether calls need credentials at this moment, which a site's pages have not, so that any name is taken. Nil: they
	// never do.
	Closed func() bool
}

// privateDomains are those that the internet's name servers have practically nothing below.
var privateDomains = []string{"local", "internal", "home.arpa", "svc"} //nolint:gochecknoglobals // a constant

// ParseHost returns a name as browsers send it in the header Host: in lower case, without a dot at its end, and what is not ASCII
// in Punycode (IDNA, by UTS 46). "*" is itself. An error says what is wrong with one that is neither, such as a URL or a name with
// a port.
func ParseHost(name string) (string, error) {
	if name == anyHost {
		return name, nil
	}
	host := name
	if strings.ContainsFunc(host, func(r rune) bool { return r >= utf8.RuneSelf }) { // idna refuses names with _ too, which private networks have
		ascii, err := idna.Lookup.ToASCII(host)
		if err != nil {
			return "", fmt.Errorf("%q is not a host name: %w", name, err)
		}
		host = ascii
	}
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	if host == "" || strings.ContainsAny(host, "/:*@[]? ") || strings.HasPrefix(host, ".") || strings.Contains(host, "..") {
		return "", fmt.Errorf("%q is not a host name, such as models.example.org without scheme and port, or *", name)
	}
	return host, nil
}

// allow says whether a request with this header Host is one to the gateway.
func (h *Hosts) allow(hostport string) bool {
	if h.Closed != nil && h.Closed() {
		return true
	}
	host, _, err := net.SplitHostPort(hostport)
	if err != nil {
		host = hostport
	}
	host = strings.ToLower(strings.TrimSuffix(strings.Trim(host, "[]"), "."))
	if _, err := netip.ParseAddr(host); err == nil {
		return true
	}
	below := func(domain string) bool { return strings.HasSuffix(host, "."+domain) }
	switch {
	case host == "", host == "localhost", below("localhost"):
		return true
	case slices.Contains(h.Names, host), slices.Contains(h.Names, anyHost), slices.ContainsFunc(h.Domains, below):
		return true
	}
	return h.Private && (!strings.Contains(host, ".") || slices.ContainsFunc(privateDomains, below))
}

// withHosts answers requests that name a host of h, or any if h is nil.
func withHosts(h *Hosts, next http.Handler) http.Handler {
	if h == nil {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !h.allow(r.Host) {
			leaveBody(w, r)
			failAny(w, r, hostRefused(r.Host))
			return
		}
		next.ServeHTTP(w, r)
	})
}

func hostRefused(host string) error {
	st := grpcstatus.Newf(codes.PermissionDenied, "this server takes calls without a key, and does not answer to the name %q (--http-host)", host)
	detailed, err := st.WithDetails(&errdetails.ErrorInfo{Reason: reasonHost, Domain: status.Domain})
	if err != nil { // the code matters more
		detailed = st
	}
	return detailed.Err()
}
