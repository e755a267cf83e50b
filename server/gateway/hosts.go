package gateway

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	grpcstatus "google.golang.org/grpc/status"

	"github.com/sluiceml/sluice/server/status"
)

// anyHost lets requests name whatever host they do.
const anyHost = "*"

// reasonHost is the reason why a request that names a foreign host is refused, beside those of package status.
const reasonHost = "HOST_NOT_ALLOWED"

// Hosts are the names by which requests may address a gateway that asks for no credentials. A site can make its own name lead
// to the gateway's address (DNS rebinding); to a browser the site's pages are of the gateway's own origin then, and may read
// what it answers. But the browser says the site's name in the header Host, which pages cannot set.
//
// Addresses, localhost and names below it are always taken, since no site has them. So is a request without Host, which no
// browser sends.
type Hosts struct {
	// Names are further ones, as CheckHost has them. "*" takes any.
	Names []string
	// Private takes names that none of the internet's sites has: those without a dot, and those below local, internal, home.arpa
	// (RFC 6762, ICANN's choice of 2024, RFC 8375) and svc (Kubernetes's, no top-level domain). It is for gateways that other
	// machines reach by such names.
	Private bool
}

// privateDomains are those that the internet's name servers have nothing below.
var privateDomains = []string{".local", ".internal", ".home.arpa", ".svc"} //nolint:gochecknoglobals // a constant

// CheckHost says what is wrong with one of the names of Hosts: it is "*" or a name as browsers send it, in lower case and
// without a port.
func CheckHost(name string) error {
	switch {
	case name == anyHost:
		return nil
	case name == "", strings.ContainsAny(name, "/:*@ "):
		return fmt.Errorf("%q is no name, which is * or like models.example.org, without scheme and port", name)
	case strings.ToLower(name) != name:
		return errors.New(name + " has letters of upper case, and browsers send none")
	}
	return nil
}

// allow says whether a request with this header Host is one to the gateway.
func (h *Hosts) allow(hostport string) bool {
	host, _, err := net.SplitHostPort(hostport)
	if err != nil {
		host = hostport
	}
	host = strings.ToLower(strings.TrimSuffix(strings.Trim(host, "[]"), "."))
	if _, err := netip.ParseAddr(host); err == nil {
		return true
	}
	switch {
	case host == "", host == "localhost", strings.HasSuffix(host, ".localhost"):
		return true
	case slices.Contains(h.Names, host), slices.Contains(h.Names, anyHost):
		return true
	}
	return h.Private && (!strings.Contains(host, ".") ||
		slices.ContainsFunc(privateDomains, func(domain string) bool { return strings.HasSuffix(host, domain) }))
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
	st := grpcstatus.Newf(codes.PermissionDenied, "this server asks for no key, and does not answer to the name %q (--http-host)", host)
	detailed, err := st.WithDetails(&errdetails.ErrorInfo{Reason: reasonHost, Domain: status.Domain})
	if err != nil { // the code matters more
		detailed = st
	}
	return detailed.Err()
}
