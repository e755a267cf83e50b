package auth

import (
	"fmt"
	"time"
)

// CredentialsError says that a call came without credentials that the server knows: UNAUTHENTICATED.
type CredentialsError struct{ Reason Reason }

func (e *CredentialsError) Error() string {
	switch e.Reason {
	case ReasonNoCredentials:
		return "the call needs an API key, as authorization: Bearer KEY or x-api-key: KEY"
	case ReasonExpiredCredentials:
		return "the API key has expired"
	default:
		return "the API key is not valid"
	}
}

// ForbiddenError says that a caller is known and may not do this: PERMISSION_DENIED.
type ForbiddenError struct {
	Reason Reason // ReasonMethod, ReasonModel or ReasonTenant
	What   string // the method or model, as the caller named it
}

func (e *ForbiddenError) Error() string {
	switch e.Reason {
	case ReasonMethod:
		return "the credentials do not allow " + e.What
	case ReasonModel:
		if e.What == "" {
			return "the credentials do not allow the default model"
		}
		return fmt.Sprintf("the credentials do not allow model %q", e.What)
	default:
		return "the credentials are not of the tenant that the call claims"
	}
}

// QuotaError says that a caller has spent its quota: RESOURCE_EXHAUSTED.
type QuotaError struct {
	Reason     Reason        // ReasonRequestQuota or ReasonTokenQuota
	PerSecond  float64       // what the quota gives
	RetryAfter time.Duration // when the same call would be let in, if nothing else is spent until then
}

func (e *QuotaError) Error() string {
	unit := "requests"
	if e.Reason == ReasonTokenQuota {
		unit = "tokens"
	}
	return fmt.Sprintf("the quota of %g %s a second is spent", e.PerSecond, unit)
}

// IdentityError says that a client's certificate is good, and of nobody who may connect. It fails the handshake.
type IdentityError struct{}

func (e *IdentityError) Error() string {
	return "the certificate's SPIFFE ID is not among those that may connect"
}

// RevokedError says that a certificate was taken back by its authority.
type RevokedError struct {
	Err error // why it counts as taken back, if it is not on the list; nil: it is
}

func (e *RevokedError) Error() string {
	if e.Err != nil {
		return "the certificate cannot be judged: " + e.Err.Error()
	}
	return "the certificate was revoked"
}

// Unwrap returns the cause.
func (e *RevokedError) Unwrap() error { return e.Err }
