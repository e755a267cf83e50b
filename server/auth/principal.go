package auth

import (
	"context"
	"time"
)

// Principal is who a call is from. Nil is a call of a server without a Guard, which may do anything. It is safe for
// concurrent use.
type Principal struct {
	guard  *Guard
	name   string  // the client's; "" for one that needed no credentials
	tenant string  // "" for one that needed no credentials
	client *client // nil: no entry, so no limits
}

type contextKey struct{}

// NewContext returns ctx with the principal of a call.
func NewContext(ctx context.Context, p *Principal) context.Context {
	return context.WithValue(ctx, contextKey{}, p)
}

// FromContext is the principal of a call; nil if none was set.
func FromContext(ctx context.Context) *Principal {
	p, _ := ctx.Value(contextKey{}).(*Principal)
	return p
}

// Name is the client's name in the policy, or the SPIFFE ID of its certificate; "" if it has none.
func (p *Principal) Name() string {
	if p == nil {
		return ""
	}
	return p.name
}

// Tenant is whose call it is; "" if it came without credentials. No client can choose it.
func (p *Principal) Tenant() string {
	if p == nil {
		return ""
	}
	return p.tenant
}

// MayUseModel says whether the model of a real name is among the principal's.
func (p *Principal) MayUseModel(name string) bool {
	return p.EveryModel() || p.client.models[name]
}

// EveryModel says whether the principal's models are not limited. If they are, whether another one exists is none of
// its business.
func (p *Principal) EveryModel() bool {
	return p == nil || p.client == nil || p.client.everyModel
}

// RefuseModel counts a call for a model that is not among the principal's and returns its *ForbiddenError. The name is
// as the caller wrote it.
func (p *Principal) RefuseModel(ctx context.Context, name string) error {
	if p != nil {
		p.guard.Refuse(ctx, ReasonModel)
	}
	return &ForbiddenError{Reason: ReasonModel, What: name}
}

// TakeRequest takes a request from the principal's quota. The error is a *QuotaError.
func (p *Principal) TakeRequest(ctx context.Context) error {
	if p == nil || p.client == nil || p.client.requests == nil {
		return nil
	}
	return p.take(ctx, p.client.requests, 1, ReasonRequestQuota)
}

// ReserveTokens takes the tokens that a request is expected to have, prompt and output, from the principal's quota. The
// error is a *QuotaError. The reservation must be settled when the request has ended.
func (p *Principal) ReserveTokens(ctx context.Context, n int) (Reservation, error) {
	if p == nil || p.client == nil || p.client.tokens == nil {
		return Reservation{}, nil
	}
	if err := p.take(ctx, p.client.tokens, n, ReasonTokenQuota); err != nil {
		return Reservation{}, err
	}
	return Reservation{bucket: p.client.tokens, now: p.guard.now, reserved: n}, nil
}

func (p *Principal) take(ctx context.Context, b *bucket, n int, reason Reason) error {
	wait, ok := b.take(float64(n), p.guard.now())
	if ok {
		return nil
	}
	p.guard.Refuse(ctx, reason)
	return &QuotaError{Reason: reason, PerSecond: b.perSecond(), RetryAfter: wait}
}

// Reservation is what a request has taken from a quota of tokens before they were known. The zero value is one of no
// quota.
type Reservation struct {
	bucket   *bucket
	now      func() time.Time
	reserved int
}

// Settle replaces the estimate by the tokens that the request has had. Call it once.
func (r Reservation) Settle(used int) {
	if r.bucket != nil {
		r.bucket.give(float64(r.reserved-used), r.now())
	}
}
