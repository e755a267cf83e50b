package auth

import (
	"crypto/x509"
	"net/url"
	"strings"
	"testing"
)

func TestSPIFFEPattern(t *testing.T) {
	t.Parallel()
	for _, bad := range []string{
		"", "*", "https://example.org/x", "spiffe://", "spiffe:///x", "spiffe://Example.org/x", "spiffe://example.org:443/x",
		"spiffe://user@example.org/x", "spiffe://example.org/", "spiffe://example.org//x", "spiffe://example.org/../x",
		"spiffe://example.org/x/", "spiffe://example.org/x?y", "spiffe://example.org/x#y", "spiffe://example.org/%41",
		"spiffe://example.org/x*", "spiffe://*/x", "spiffe://example.org/" + strings.Repeat("a", maxSPIFFEID),
	} {
		if _, err := ParseSPIFFEPattern(bad); err == nil {
			t.Errorf("%q is a pattern", bad)
		}
	}
	for _, c := range []struct {
		pattern, id string
		match       bool
	}{
		{"spiffe://example.org/ns/prod/sa/web", "spiffe://example.org/ns/prod/sa/web", true},
		{"spiffe://example.org/ns/prod/sa/web", "spiffe://example.org/ns/prod/sa/web2", false},
		{"spiffe://example.org/ns/prod/sa/web", "spiffe://example.org/ns/prod/sa", false},
		{"spiffe://example.org/ns/prod/*", "spiffe://example.org/ns/prod/sa/web", true},
		{"spiffe://example.org/ns/prod/*", "spiffe://example.org/ns/production/sa/web", false},
		{"spiffe://example.org/ns/prod/*", "spiffe://example.org/ns/prod", false},
		{"spiffe://example.org/*", "spiffe://example.org/x", true},
		{"spiffe://example.org/*", "spiffe://example.org.evil.com/x", false},
		{"spiffe://example.org", "spiffe://example.org", true},
		{"spiffe://example.org/x", "", false},
	} {
		pattern, err := ParseSPIFFEPattern(c.pattern)
		if err != nil {
			t.Fatal(err)
		}
		if got := pattern.Matches(c.id); got != c.match {
			t.Errorf("%s matches %s: %t", c.pattern, c.id, got)
		}
	}
	if (SPIFFEPattern{}).Matches("") {
		t.Error("no pattern matches no identity")
	}
}

func TestSPIFFEID(t *testing.T) {
	t.Parallel()
	certificate := func(isCA bool, uris ...string) *x509.Certificate {
		c := &x509.Certificate{IsCA: isCA}
		for _, text := range uris {
			uri, err := url.Parse(text)
			if err != nil {
				t.Fatal(err)
			}
			c.URIs = append(c.URIs, uri)
		}
		return c
	}
	for name, c := range map[string]struct {
		certificate *x509.Certificate
		id          string
		ok          bool
	}{
		"one":           {certificate(false, "spiffe://a/b"), "spiffe://a/b", true},
		"none":          {certificate(false), "", true},
		"another URI":   {certificate(false, "https://a/b"), "", true},
		"two":           {certificate(false, "spiffe://a/b", "spiffe://a/c"), "", false},
		"beside a URI":  {certificate(false, "https://a/b", "spiffe://a/b"), "", false},
		"authority":     {certificate(true, "spiffe://a/b"), "", false},
		"capital":       {certificate(false, "spiffe://A/b"), "", false},
		"with a query":  {certificate(false, "spiffe://a/b?c"), "", false},
		"escaped slash": {certificate(false, "spiffe://a/b%2Fc"), "", false},
	} {
		id, err := SPIFFEID(c.certificate)
		if (err == nil) != c.ok || c.ok && id != c.id {
			t.Errorf("%s: got %q, %v", name, id, err)
		}
	}
}
