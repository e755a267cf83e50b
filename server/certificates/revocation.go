package certificates

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/sluiceml/sluice/server/auth"
)

// revocations are the certificates that their authorities have taken back, by the lists of a file. An authority without a
// list has taken none back.
type revocations struct {
	lists []*x509.RevocationList
}

// readRevocations reads a file of revocation lists, PEM, each signed by one of the authorities in a bundle. An authority may
// have one list only, so that none can hide behind another.
func readRevocations(path string, bundle []byte) (*revocations, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	r := &revocations{}
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "X509 CRL" {
			return nil, fmt.Errorf("%s holds a %s", path, block.Type)
		}
		list, err := x509.ParseRevocationList(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		if !signedByOneOf(list, bundle) {
			return nil, fmt.Errorf("%s: no authority of the clients has signed the list of %s", path, list.Issuer)
		}
		if r.of(list.RawIssuer) != nil {
			return nil, fmt.Errorf("%s: two lists of %s", path, list.Issuer)
		}
		r.lists = append(r.lists, list)
	}
	if len(r.lists) == 0 {
		return nil, fmt.Errorf("%s holds no PEM revocation list", path)
	}
	return r, nil
}

// signedByOneOf says whether an authority of a PEM bundle has signed a list.
func signedByOneOf(list *x509.RevocationList, bundle []byte) bool {
	for block, rest := pem.Decode(bundle); block != nil; block, rest = pem.Decode(rest) {
		authority, err := x509.ParseCertificate(block.Bytes)
		if err == nil && bytes.Equal(authority.RawSubject, list.RawIssuer) && list.CheckSignatureFrom(authority) == nil {
			return true
		}
	}
	return false
}

// of is the list of an issuer; nil for none.
func (r *revocations) of(issuer []byte) *x509.RevocationList {
	for _, list := range r.lists {
		if bytes.Equal(list.RawIssuer, issuer) {
			return list
		}
	}
	return nil
}

// check refuses a client that has no chain without a certificate that was taken back at a time: *auth.RevokedError. A list
// past its day says nothing any more, so that its authority's clients are refused until there is a new one, as nginx and
// Envoy do.
func (r *revocations) check(chains [][]*x509.Certificate, now time.Time) error {
	if r == nil {
		return nil
	}
	err := error(&auth.RevokedError{})
	for _, chain := range chains {
		if err = r.checkChain(chain, now); err == nil {
			return nil
		}
	}
	return err
}

// errStaleList is why a certificate cannot be judged.
var errStaleList = errors.New("the revocation list of its authority is past its day")

func (r *revocations) checkChain(chain []*x509.Certificate, now time.Time) error {
	for _, c := range chain {
		list := r.of(c.RawIssuer)
		if list == nil {
			continue
		}
		if !list.NextUpdate.IsZero() && now.After(list.NextUpdate) {
			return &auth.RevokedError{Err: errStaleList}
		}
		for _, entry := range list.RevokedCertificateEntries {
			if entry.SerialNumber.Cmp(c.SerialNumber) == 0 {
				return &auth.RevokedError{}
			}
		}
	}
	return nil
}
