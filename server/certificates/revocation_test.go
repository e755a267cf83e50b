package certificates_test

import (
	"crypto/tls"
	"crypto/x509"
	"path/filepath"
	"testing"
	"time"

	"github.com/sluiceml/sluice/server/auth"
	"github.com/sluiceml/sluice/server/certificates"
	"github.com/sluiceml/sluice/server/certificates/certtest"
	"github.com/sluiceml/sluice/server/handshake"
)

// A certificate that is on its authority's list is refused, by gRPC and by HTTP; a reload takes another list; and past its
// day a list lets nobody of its authority in.
func TestRevocation(t *testing.T) {
	t.Parallel()
	authority, config, folder := setup(t)
	tomorrow := time.Now().Add(24 * time.Hour)
	good, taken := authority.Issue(t, certtest.Options{}).TLS(t), authority.Issue(t, certtest.Options{}).TLS(t)
	config.ClientCRLFile = filepath.Join(folder, "crl.pem")
	certtest.WriteFile(t, config.ClientCRLFile, authority.Revoke(t, tomorrow, taken.Leaf))
	source := newSource(t, config)
	reason := func(certificate tls.Certificate) auth.Reason {
		t.Helper()
		_, _, serverErr, _ := shake(t, source.RPC(), &tls.Config{
			Certificates: []tls.Certificate{certificate}, RootCAs: authority.Pool(), ServerName: "localhost",
		})
		_, byHTTP := source.ClientIdentity(&tls.ConnectionState{PeerCertificates: []*x509.Certificate{certificate.Leaf}})
		if (serverErr == nil) != (byHTTP == nil) {
			t.Errorf("gRPC: %v, HTTP: %v", serverErr, byHTTP)
		}
		if serverErr == nil {
			return ""
		}
		return handshake.Reason(serverErr, time.Now())
	}
	check := func(when string, forGood, forTaken auth.Reason) {
		t.Helper()
		if a, b := reason(good), reason(taken); a != forGood || b != forTaken {
			t.Errorf("%s: %q and %q, want %q and %q", when, a, b, forGood, forTaken)
		}
	}
	check("one is revoked", "", auth.ReasonRevokedCertificate)

	other := certtest.NewAuthority(t)
	for name, content := range map[string][]byte{
		"of another authority": other.Revoke(t, tomorrow),
		"empty":                nil,
		"a certificate":        authority.PEM(),
		"two of one authority": append(authority.Revoke(t, tomorrow), authority.Revoke(t, tomorrow)...),
		"broken":               []byte("-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n"),
	} {
		certtest.WriteFile(t, config.ClientCRLFile, content)
		if err := source.Reload(); err == nil {
			t.Errorf("a file that is %s was taken", name)
		}
	}
	check("faulty files changed nothing", "", auth.ReasonRevokedCertificate)

	certtest.WriteFile(t, config.ClientCRLFile, authority.Revoke(t, tomorrow, good.Leaf))
	if err := source.Reload(); err != nil {
		t.Fatal(err)
	}
	check("the other one is", auth.ReasonRevokedCertificate, "")

	certtest.WriteFile(t, config.ClientCRLFile, authority.Revoke(t, time.Now().Add(-time.Minute)))
	if err := source.Reload(); err != nil {
		t.Fatal(err)
	}
	check("past its day", auth.ReasonRevokedCertificate, auth.ReasonRevokedCertificate)

	config.ClientCAFile = ""
	if _, err := certificates.New(config); err == nil {
		t.Error("a list without authorities was taken")
	}
}
