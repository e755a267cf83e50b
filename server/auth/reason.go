package auth

// Reason says why something was refused. It labels the metric, and programs find it in a status's details.
type Reason string

// Why a call is refused.
//
//nolint:gosec // names of reasons are no credentials
const (
	ReasonNoCredentials      Reason = "CREDENTIALS_MISSING" // no key, and no certificate that the policy names
	ReasonBadCredentials     Reason = "CREDENTIALS_INVALID" // a key that is unknown, revoked, malformed or one of several
	ReasonExpiredCredentials Reason = "CREDENTIALS_EXPIRED" // a key past its day
	ReasonMethod             Reason = "METHOD_NOT_ALLOWED"  // not among the methods of the caller
	ReasonModel              Reason = "MODEL_NOT_ALLOWED"   // not among the models of the caller
	ReasonTenant             Reason = "TENANT_MISMATCH"     // the call claims a tenant that its credentials are not of
	ReasonRequestQuota       Reason = "REQUEST_QUOTA_SPENT" // too many requests
	ReasonTokenQuota         Reason = "TOKEN_QUOTA_SPENT"   // too many tokens
	ReasonSlowMessage        Reason = "MESSAGE_TOO_SLOW"    // its request took too long to come in
	ReasonUnknownMethod      Reason = "UNKNOWN_METHOD"      // nothing of that name is served, reflection when off included
)

// Why a connection is refused.
const (
	ReasonNoCertificate      Reason = "CERTIFICATE_MISSING"       // mutual TLS, and the client showed none
	ReasonUnknownAuthority   Reason = "CERTIFICATE_UNTRUSTED"     // signed by no authority of --tls-client-ca
	ReasonExpiredCertificate Reason = "CERTIFICATE_EXPIRED"       // its time is over
	ReasonEarlyCertificate   Reason = "CERTIFICATE_NOT_YET_VALID" // its time has not come
	ReasonRevokedCertificate Reason = "CERTIFICATE_REVOKED"       // taken back by its authority, or its list is past its day
	ReasonIdentity           Reason = "IDENTITY_NOT_ALLOWED"      // a good certificate of somebody else
	ReasonHandshake          Reason = "HANDSHAKE_FAILED"          // no TLS, an old version, no common cipher, too slow
	ReasonTooManyConnections Reason = "TOO_MANY_CONNECTIONS"      // the server holds as many as it may
	ReasonTooManyRefusals    Reason = "TOO_MANY_REFUSALS"         // a connection was closed after so many refused calls
)

// reasons are all of them, for a metric that is present from the start.
func reasons() []Reason {
	return []Reason{
		ReasonNoCredentials, ReasonBadCredentials, ReasonExpiredCredentials, ReasonMethod, ReasonModel, ReasonTenant,
		ReasonRequestQuota, ReasonTokenQuota, ReasonSlowMessage, ReasonUnknownMethod,
		ReasonNoCertificate, ReasonUnknownAuthority, ReasonExpiredCertificate, ReasonEarlyCertificate,
		ReasonRevokedCertificate, ReasonIdentity, ReasonHandshake, ReasonTooManyConnections, ReasonTooManyRefusals,
	}
}
