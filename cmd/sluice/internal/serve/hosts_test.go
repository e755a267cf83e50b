package serve

import (
	"net"
	"slices"
	"testing"

	"github.com/sluiceml/sluice/cmd/sluice/internal/access"
)

// TestServiceDomains reads what a kubelet writes, and what is on other machines.
func TestServiceDomains(t *testing.T) {
	for text, want := range map[string][]string{
		"search models.svc.cluster.example svc.cluster.example cluster.example office.example\nnameserver 10.96.0.10\noptions ndots:5\n": {"svc.cluster.example"},
		"search\tmodels.svc.Cluster.Local. svc.Cluster.Local.\n":                                                                         {"svc.cluster.local"},
		"search svc.old.example\nsearch office.example\n":                                                                                nil,
		"# search svc.cluster.example\nnameserver 127.0.0.53\n":                                                                          nil,
		"search office.example svcs.example asvc.example svc\n\n\n":                                                                      nil,
		"": nil,
	} {
		if got := serviceDomains(text); !slices.Equal(got, want) {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

// TestHosts: which names are taken beside those that the gateway knows by itself.
func TestHosts(t *testing.T) {
	keep := func() bool { return false }
	outside, inside := &net.TCPAddr{IP: net.IPv4zero, Port: 1}, &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1}
	c := &Flags{HTTPAddr: "Models.Example.:8080", HTTPHost: []string{"b\u00fccher.example", "*"}}
	hosts := c.hosts(outside, keep)
	for _, name := range []string{"xn--bcher-kva.example", "*", "models.example"} {
		if !slices.Contains(hosts.Names, name) {
			t.Errorf("%q is not among %q", name, hosts.Names)
		}
	}
	if !hosts.Private || hosts.Closed == nil {
		t.Errorf("%+v", hosts)
	}
	if hosts = c.hosts(inside, keep); hosts.Private || hosts.Domains != nil {
		t.Errorf("on a loopback address: %+v", hosts)
	}
	c = &Flags{HTTPAddr: "[::1]:8080", Access: access.Flags{APIKeys: "keys.yaml"}}
	if hosts = c.hosts(inside, keep); hosts == nil || slices.Contains(hosts.Names, "::1") {
		t.Errorf("with keys: %+v", hosts)
	}
	c.Access.TLSCert = "server.pem"
	if hosts = c.hosts(outside, keep); hosts != nil {
		t.Errorf("with a certificate: %+v", hosts)
	}
}
