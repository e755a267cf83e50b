package serve

import (
	"net"
	"os"
	"slices"
	"strings"

	"github.com/sluiceml/sluice/internal/loopback"
	"github.com/sluiceml/sluice/server/gateway"
)

// resolverFile has the domains that names are completed with (resolv.conf(5)).
const resolverFile = "/etc/resolv.conf"

// hosts are the names by which the gateway at an address may be called; nil: any, for with a certificate a site's own name, which
// the certificate has not, leads nowhere. Closed says whether calls need keys, as the file of keys in force has it.
func (f *Flags) hosts(addr net.Addr, closed func() bool) *gateway.Hosts {
	if f.Access.TLSCert != "" {
		return nil
	}
	hosts := &gateway.Hosts{Private: !loopback.Addr(addr), Closed: closed}
	names := slices.Clone(f.HTTPHost)
	if name, _, err := net.SplitHostPort(f.HTTPAddr); err == nil {
		names = append(names, name)
	}
	if name, err := os.Hostname(); err == nil {
		names = append(names, name)
	}
	for _, name := range names {
		if host, err := gateway.ParseHost(name); err == nil { // others are addresses, which are taken anyway
			hosts.Names = append(hosts.Names, host)
		}
	}
	if hosts.Private {
		if text, err := os.ReadFile(resolverFile); err == nil {
			hosts.Domains = serviceDomains(string(text))
		}
	}
	return hosts
}

// serviceDomains are the domains of a Kubernetes cluster's services by the text of a pod's resolverFile, for clusters whose own
// domain is not cluster.local: the search list of a pod has svc.DOMAIN. That a name has a label svc somewhere shows nothing, for
// every site can have one.
func serviceDomains(text string) []string {
	var domains []string
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		if len(fields) == 0 || fields[0] != "search" {
			continue
		}
		domains = nil // the last list is the one that counts
		for _, name := range fields[1:] {
			if domain, err := gateway.ParseHost(name); err == nil && strings.HasPrefix(domain, "svc.") {
				domains = append(domains, domain)
			}
		}
	}
	return domains
}
