package auth

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"strings"
)

// SPIFFE: an identity is a URI, spiffe://trust-domain/path, and a certificate proves it by bearing it as its only URI
// name (the X.509-SVID). Trust comes from the authorities of --tls-client-ca, one bundle for all trust domains that the
// server takes, so that what the go-spiffe library is for (the Workload API, federated bundles) is not needed.

// maxSPIFFEID is the SPIFFE standard's limit on the length of an ID in bytes.
const maxSPIFFEID = 2048

// SPIFFEPattern matches SPIFFE IDs: one ID, or all whose path begins alike.
type SPIFFEPattern struct {
	id     string
	prefix bool // id ends with a slash
}

// ParseSPIFFEPattern parses an ID, such as spiffe://example.org/ns/prod/sa/web, or one that ends in /*, which matches
// every ID below.
func ParseSPIFFEPattern(text string) (SPIFFEPattern, error) {
	id, prefix := strings.CutSuffix(text, "/*")
	if err := checkSPIFFEID(id); err != nil {
		return SPIFFEPattern{}, fmt.Errorf("%q: %w", text, err)
	}
	if prefix {
		id += "/"
	}
	return SPIFFEPattern{id: id, prefix: prefix}, nil
}

// Matches says whether the pattern matches an ID.
func (p SPIFFEPattern) Matches(id string) bool {
	if p.prefix {
		return len(id) > len(p.id) && strings.HasPrefix(id, p.id)
	}
	return id != "" && id == p.id
}

// SPIFFEID is the identity that a verified certificate proves; "" if it proves none. A certificate that is no SVID (an
// authority's own, or one with several URI names, one of which is a SPIFFE ID) is an error.
func SPIFFEID(certificate *x509.Certificate) (string, error) {
	id := ""
	for _, uri := range certificate.URIs {
		if strings.EqualFold(uri.Scheme, "spiffe") {
			id = uri.String()
		}
	}
	switch {
	case id == "":
		return "", nil
	case len(certificate.URIs) > 1:
		return "", errors.New("a certificate with a SPIFFE ID must have no other URI name")
	case certificate.IsCA:
		return "", errors.New("an authority's certificate proves no SPIFFE ID")
	}
	return id, checkSPIFFEID(id)
}

// checkSPIFFEID checks what the SPIFFE standard asks of an ID. The characters that it allows need no escapes, so that
// two texts of one ID are equal byte by byte.
func checkSPIFFEID(id string) error {
	rest, ok := strings.CutPrefix(id, "spiffe://")
	if !ok {
		return errors.New("a SPIFFE ID begins with spiffe://")
	}
	if len(id) > maxSPIFFEID {
		return fmt.Errorf("a SPIFFE ID has at most %d bytes", maxSPIFFEID)
	}
	domain, path, hasPath := strings.Cut(rest, "/")
	if domain == "" || strings.ContainsFunc(domain, func(r rune) bool { return !spiffeCharacter(r) || r >= 'A' && r <= 'Z' }) {
		return errors.New("a trust domain is of a-z, 0-9, dots, dashes and underscores")
	}
	if !hasPath {
		return nil
	}
	for segment := range strings.SplitSeq(path, "/") {
		if segment == "" || segment == "." || segment == ".." || strings.ContainsFunc(segment, func(r rune) bool { return !spiffeCharacter(r) }) {
			return errors.New("the path of a SPIFFE ID is of segments of a-z, A-Z, 0-9, dots, dashes and underscores")
		}
	}
	if _, err := url.Parse(id); err != nil {
		return errors.New("a SPIFFE ID is a URI")
	}
	return nil
}

func spiffeCharacter(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '.' || r == '-' || r == '_'
}
