package auth

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
)

// TenantHeader is the metadata in which a caller may say whose call it takes it to be, as gateways do. It gives nothing:
// a call whose credentials are of another tenant is refused.
const TenantHeader = "x-sluice-tenant"

// Config describes a Guard.
type Config struct {
	// Policy is the one in force at first. Nil: calls need no key, and a certificate's identity is its tenant.
	Policy *Policy
	// MeterProvider takes the metric of refusals. Required.
	MeterProvider metric.MeterProvider
	// Now is the clock of quotas and expiry. Nil: time.Now.
	Now func() time.Time
}

// Guard checks calls against the policy in force. It is safe for concurrent use.
type Guard struct {
	policy   atomic.Pointer[Policy]
	now      func() time.Time
	refusals metric.Int64Counter
	labels   map[Reason]metric.MeasurementOption
}

// NewGuard makes a guard.
func NewGuard(config Config) (*Guard, error) {
	refusals, err := config.MeterProvider.Meter("github.com/sluiceml/sluice/server/auth").Int64Counter("sluice.auth.refusals",
		metric.WithDescription("Calls and connections that were refused for want of a right or a quota."), metric.WithUnit("{refusal}"))
	if err != nil {
		return nil, fmt.Errorf("refusal counter: %w", err)
	}
	g := &Guard{now: config.Now, refusals: refusals, labels: map[Reason]metric.MeasurementOption{}}
	if g.now == nil {
		g.now = time.Now
	}
	for _, reason := range reasons() {
		g.labels[reason] = metric.WithAttributeSet(attribute.NewSet(attribute.String("reason", strings.ToLower(string(reason)))))
		refusals.Add(context.Background(), 0, g.labels[reason]) // present from the start
	}
	g.policy.Store(config.Policy)
	return g, nil
}

// Replace puts another policy in force for new calls. Running ones go on; quotas keep what was spent.
func (g *Guard) Replace(policy *Policy) {
	policy.adopt(g.policy.Load())
	g.policy.Store(policy)
}

// Refuse counts a refusal.
func (g *Guard) Refuse(ctx context.Context, reason Reason) { g.refusals.Add(ctx, 1, g.labels[reason]) }

// Call is what is known of a call before its request is read.
type Call struct {
	// Method is as gRPC writes it, /package.Service/Method, or the path of an HTTP route.
	Method string
	// Header returns the values of a metadata key or HTTP header; the name is in small letters.
	Header func(name string) []string
	// Identity is the SPIFFE ID that the connection's certificate has proved; "" for none.
	Identity string
}

// Check decides whether a call may be made, and by whom. A call that shows a key is judged by it, even where none is
// needed. The error, which is counted, is a *CredentialsError or a *ForbiddenError.
func (g *Guard) Check(ctx context.Context, call Call) (*Principal, error) {
	policy := g.policy.Load()
	principal, reason := g.identify(policy, call)
	if reason == ReasonNoCredentials && policy.open.allows(call.Method) {
		return principal, nil
	}
	if reason == "" {
		reason = principal.judge(call)
	}
	switch reason {
	case "":
		return principal, nil
	case ReasonMethod, ReasonTenant:
		g.Refuse(ctx, reason)
		return nil, &ForbiddenError{Reason: reason, What: strings.TrimPrefix(call.Method, "/")}
	default:
		g.Refuse(ctx, reason)
		return nil, &CredentialsError{Reason: reason}
	}
}

// identify finds whose call it is. The principal of ReasonNoCredentials is nobody in particular.
func (g *Guard) identify(policy *Policy, call Call) (*Principal, Reason) {
	if policy == nil {
		return &Principal{guard: g, name: call.Identity, tenant: call.Identity}, ""
	}
	key, reason := presentedKey(call.Header)
	var found *client
	switch {
	case reason != "":
		return nil, reason
	case key != "":
		hash := sha256.Sum256([]byte(key))
		found = policy.byKey[hash]
		if found == nil || subtle.ConstantTimeCompare(found.key[:], hash[:]) != 1 {
			return nil, ReasonBadCredentials
		}
		if found.identity != nil && !found.identity.Matches(call.Identity) {
			return nil, ReasonBadCredentials // a key that was taken out of its workload
		}
	default:
		for _, c := range policy.identities {
			if c.identity.Matches(call.Identity) {
				found = c
				break
			}
		}
		if found == nil {
			return &Principal{guard: g}, ReasonNoCredentials
		}
	}
	if !found.expires.IsZero() && !g.now().Before(found.expires) {
		return nil, ReasonExpiredCredentials
	}
	return &Principal{guard: g, name: found.name, tenant: found.tenant, client: found}, ""
}

// judge says why a known caller may not make a call; "" if it may.
func (p *Principal) judge(call Call) Reason {
	if p.client != nil && !p.client.allow.allows(call.Method) {
		return ReasonMethod
	}
	if p.client != nil || p.tenant != "" { // otherwise there are no tenants to mistake
		for _, claimed := range call.Header(TenantHeader) {
			if claimed != p.tenant {
				return ReasonTenant
			}
		}
	}
	return ""
}

// presentedKey is the key that a call shows, in either header; "" for none. Several keys are no key: a proxy and the
// server might pick different ones. Other schemes of authorization are somebody else's, so that they count as no key.
func presentedKey(header func(string) []string) (string, Reason) {
	keys := header("x-api-key")
	for _, value := range header("authorization") {
		scheme, key, _ := strings.Cut(value, " ")
		if !strings.EqualFold(scheme, "bearer") {
			continue
		}
		keys = append(slices.Clip(keys), strings.TrimLeft(key, " "))
	}
	if len(keys) == 0 {
		return "", ""
	}
	for _, key := range keys[1:] {
		if key != keys[0] {
			return "", ReasonBadCredentials
		}
	}
	if keys[0] == "" || len(keys[0]) > maxKeyBytes {
		return "", ReasonBadCredentials
	}
	return keys[0], ""
}

// Open says whether anyone may call a method, as the policy in force says.
func (g *Guard) Open(method string) bool {
	policy := g.policy.Load()
	return policy != nil && policy.open.allows(method)
}

// Closed says whether, by the policy in force, nothing may be called without credentials but what monitors ask for: health and
// metrics. Without a policy everything may.
func (g *Guard) Closed() bool {
	policy := g.policy.Load()
	return policy != nil && policy.open.within(permissionHealth, permissionMetrics)
}
