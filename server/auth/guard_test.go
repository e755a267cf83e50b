package auth

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
)

// fixture is a guard with a clock and a meter that a test reads.
type fixture struct {
	*Guard

	t      *testing.T
	now    time.Time
	reader *sdkmetric.ManualReader
	keys   map[string]string // by the client's name
}

const policyForm = `
open: [health, reflection]
clients:
- {name: all, tenant: team-a, key_sha256: %s}
- {name: narrow, tenant: team-b, key_sha256: %s, models: [small], allow: [inference, sluice.v1.ModelService/GetModel]}
- {name: past, key_sha256: %s, expires: 2026-01-01T00:00:00Z}
- {name: bound, key_sha256: %s, spiffe_id: spiffe://d/bound}
- {name: quota, key_sha256: %s, requests: {rate: 1, burst: 2}, tokens: {rate: 10, burst: 100}}
- {name: workload, tenant: team-c, spiffe_id: spiffe://d/workload/*, models: []}
`

func newFixture(t *testing.T) *fixture {
	t.Helper()
	f := &fixture{
		t: t, now: time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC), keys: map[string]string{},
		reader: sdkmetric.NewManualReader(),
	}
	var hashes []any
	for _, name := range []string{"all", "narrow", "past", "bound", "quota"} {
		f.keys[name] = NewKey()
		hashes = append(hashes, hashOf(t, f.keys[name]))
	}
	guard, err := NewGuard(Config{
		Policy: f.policy(fmt.Sprintf(policyForm, hashes...)), Now: func() time.Time { return f.now },
		MeterProvider: sdkmetric.NewMeterProvider(sdkmetric.WithReader(f.reader)),
	})
	if err != nil {
		t.Fatal(err)
	}
	f.Guard = guard
	return f
}

func (f *fixture) policy(text string) *Policy {
	f.t.Helper()
	policy, err := ParsePolicy([]byte(text))
	if err != nil {
		f.t.Fatal(err)
	}
	return policy
}

// counts are the refusals by reason.
func (f *fixture) counts() map[string]int64 {
	f.t.Helper()
	var all metricdata.ResourceMetrics
	if err := f.reader.Collect(f.t.Context(), &all); err != nil {
		f.t.Fatal(err)
	}
	counts := map[string]int64{}
	for _, scope := range all.ScopeMetrics {
		for _, m := range scope.Metrics {
			for _, point := range m.Data.(metricdata.Sum[int64]).DataPoints {
				reason, _ := point.Attributes.Value("reason")
				counts[reason.AsString()] = point.Value
			}
		}
	}
	return counts
}

// call is a call with headers as "name: value".
func call(method, identity string, headers ...string) Call {
	return Call{Method: method, Identity: identity, Header: func(name string) (values []string) {
		for _, header := range headers {
			if n, value, _ := strings.Cut(header, ": "); n == name {
				values = append(values, value)
			}
		}
		return values
	}}
}

const generate = "/sluice.v1.InferenceService/Generate"

func TestCheck(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	key := func(name string) string { return "authorization: Bearer " + f.keys[name] }
	if counts := f.counts(); len(counts) != len(reasons()) {
		t.Errorf("%d of %d reasons are there from the start", len(counts), len(reasons()))
	}
	for _, c := range []struct {
		name   string
		call   Call
		client string // "": anonymous, if there is no reason
		tenant string
		reason Reason
	}{
		{"bearer", call(generate, "", key("all")), "all", "team-a", ""},
		{"small letters", call(generate, "", "authorization: bearer "+f.keys["all"]), "all", "team-a", ""},
		{"x-api-key", call(generate, "", "x-api-key: "+f.keys["all"]), "all", "team-a", ""},
		{"the same in both", call(generate, "", key("all"), "x-api-key: "+f.keys["all"]), "all", "team-a", ""},
		{"another in each", call(generate, "", key("all"), "x-api-key: "+f.keys["narrow"]), "", "", ReasonBadCredentials},
		{"two", call(generate, "", key("all"), key("narrow")), "", "", ReasonBadCredentials},
		{"none", call(generate, ""), "", "", ReasonNoCredentials},
		{"another scheme", call(generate, "", "authorization: Basic "+f.keys["all"]), "", "", ReasonNoCredentials},
		{"empty", call(generate, "", "authorization: Bearer "), "", "", ReasonBadCredentials},
		{"wrong", call(generate, "", "authorization: Bearer "+NewKey()), "", "", ReasonBadCredentials},
		{"the hash", call(generate, "", "authorization: Bearer "+hashOf(t, f.keys["all"])), "", "", ReasonBadCredentials},
		{"a character less", call(generate, "", key("all")[:len(key("all"))-1]), "", "", ReasonBadCredentials},
		{"a space more", call(generate, "", key("all")+" "), "", "", ReasonBadCredentials},
		{"very long", call(generate, "", "authorization: Bearer "+strings.Repeat("x", 60<<10)), "", "", ReasonBadCredentials},
		{"expired", call(generate, "", key("past")), "", "", ReasonExpiredCredentials},
		{"bound, in its workload", call(generate, "spiffe://d/bound", key("bound")), "bound", "bound", ""},
		{"bound, elsewhere", call(generate, "spiffe://d/other", key("bound")), "", "", ReasonBadCredentials},
		{"bound, without a certificate", call(generate, "", key("bound")), "", "", ReasonBadCredentials},
		{"bound, without its key", call(generate, "spiffe://d/bound"), "", "", ReasonNoCredentials},
		{"certificate", call(generate, "spiffe://d/workload/web"), "workload", "team-c", ""},
		{"unknown certificate", call(generate, "spiffe://d/other"), "", "", ReasonNoCredentials},
		{"a key wins over the certificate", call(generate, "spiffe://d/workload/web", key("all")), "all", "team-a", ""},
		{"a wrong key too", call(generate, "spiffe://d/workload/web", "x-api-key: "+NewKey()), "", "", ReasonBadCredentials},

		{"allowed by permission", call(generate, "", key("narrow")), "narrow", "team-b", ""},
		{"allowed by name", call("/sluice.v1.ModelService/GetModel", "", key("narrow")), "narrow", "team-b", ""},
		{"its neighbour", call("/sluice.v1.ModelService/ListModels", "", key("narrow")), "", "", ReasonMethod},
		{"another service", call("/sluice.v1.TokenizerService/Tokenize", "", key("narrow")), "", "", ReasonMethod},
		{"admin", call("/sluice.v1.ModelService/LoadModel", "", key("all")), "", "", ReasonMethod},
		{"unknown method", call("/sluice.v9.Service/Method", "", key("all")), "", "", ReasonMethod},
		{"unknown method, no key", call("/sluice.v9.Service/Method", ""), "", "", ReasonNoCredentials},

		{"open", call("/grpc.health.v1.Health/Check", ""), "", "", ""},
		{"open, with a wrong key", call("/grpc.health.v1.Health/Check", "", "x-api-key: "+NewKey()), "", "", ReasonBadCredentials},
		{"open, with a key that it is not for", call("/grpc.health.v1.Health/Check", "", key("narrow")), "", "", ReasonMethod},

		{"own tenant", call(generate, "", key("all"), "x-sluice-tenant: team-a"), "all", "team-a", ""},
		{"forged tenant", call(generate, "", key("all"), "x-sluice-tenant: team-b"), "", "", ReasonTenant},
		{"own and forged tenant", call(generate, "", key("all"), "x-sluice-tenant: team-a", "x-sluice-tenant: team-b"), "", "", ReasonTenant},
	} {
		before := f.counts()
		principal, err := f.Check(t.Context(), c.call)
		var got Reason
		if e, ok := errors.AsType[*CredentialsError](err); ok {
			got = e.Reason
		} else if e, ok := errors.AsType[*ForbiddenError](err); ok {
			got = e.Reason
		}
		if got != c.reason || (err == nil) != (c.reason == "") {
			t.Errorf("%s: got %v", c.name, err)
			continue
		}
		if principal.Name() != c.client || principal.Tenant() != c.tenant {
			t.Errorf("%s: it is %q of %q", c.name, principal.Name(), principal.Tenant())
		}
		for reason, n := range f.counts() {
			want := before[reason]
			if c.reason != "" && reason == strings.ToLower(string(c.reason)) {
				want++
			}
			if n != want {
				t.Errorf("%s: %d refusals for %s, want %d", c.name, n, reason, want)
			}
		}
	}
}

func TestReplace(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	check := func(name string) (*Principal, error) {
		return f.Check(t.Context(), call(generate, "", "x-api-key: "+f.keys[name]))
	}
	spender, err := check("quota")
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := spender.TakeRequest(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	// The key of "all" is revoked, "quota" has the same limits.
	f.Replace(f.policy(fmt.Sprintf("clients: [{name: quota, key_sha256: %s, requests: {rate: 1, burst: 2}}]", hashOf(t, f.keys["quota"]))))
	if _, err := check("all"); err == nil {
		t.Error("a revoked key is let in")
	}
	again, err := check("quota")
	if err != nil {
		t.Fatal(err)
	}
	if err := again.TakeRequest(t.Context()); err == nil {
		t.Error("a reload has filled a quota")
	}
	if _, err := f.Check(t.Context(), call("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", "")); err == nil {
		t.Error("reflection is open still")
	}
}

func TestQuotas(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	p, err := f.Check(t.Context(), call(generate, "", "x-api-key: "+f.keys["quota"]))
	if err != nil {
		t.Fatal(err)
	}
	spent := func(err error, reason Reason, wait time.Duration) {
		t.Helper()
		e, ok := errors.AsType[*QuotaError](err)
		if !ok || e.Reason != reason || e.RetryAfter != wait {
			t.Errorf("got %#v, want %s after %s", err, reason, wait)
		}
	}
	for range 2 {
		if err := p.TakeRequest(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	spent(p.TakeRequest(t.Context()), ReasonRequestQuota, time.Second)
	f.now = f.now.Add(time.Second)
	if err := p.TakeRequest(t.Context()); err != nil {
		t.Error(err)
	}
	reserve := func(n int) Reservation {
		t.Helper()
		r, err := p.ReserveTokens(t.Context(), n)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	first := reserve(80)
	_, err = p.ReserveTokens(t.Context(), 60)
	spent(err, ReasonTokenQuota, 4*time.Second) // 20 are left
	first.Settle(30)                            // and 70 then
	second := reserve(60)
	second.Settle(100) // more than was expected: a debt of 30
	_, err = p.ReserveTokens(t.Context(), 10)
	spent(err, ReasonTokenQuota, 4*time.Second)
	f.now = f.now.Add(4 * time.Second)
	reserve(10)
	if counts := f.counts(); counts["request_quota_spent"] != 1 || counts["token_quota_spent"] != 2 {
		t.Errorf("counted %v", counts)
	}

	unlimited, err := f.Check(t.Context(), call(generate, "", "x-api-key: "+f.keys["all"]))
	if err != nil {
		t.Fatal(err)
	}
	for range 1000 {
		r, err := unlimited.ReserveTokens(t.Context(), 1e6)
		if err := errors.Join(err, unlimited.TakeRequest(t.Context())); err != nil {
			t.Fatal(err)
		}
		r.Settle(1)
	}
}

func TestModels(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for name, c := range map[string]struct {
		call         Call
		every, small bool
	}{
		"all":      {call(generate, "", "x-api-key: "+f.keys["all"]), true, true},
		"narrow":   {call(generate, "", "x-api-key: "+f.keys["narrow"]), false, true},
		"workload": {call(generate, "spiffe://d/workload/x"), false, false},
	} {
		p, err := f.Check(t.Context(), c.call)
		if err != nil {
			t.Fatal(err)
		}
		if p.EveryModel() != c.every || p.MayUseModel("small") != c.small || p.MayUseModel("large") != c.every {
			t.Errorf("%s: every %t, small %t, large %t", name, p.EveryModel(), p.MayUseModel("small"), p.MayUseModel("large"))
		}
	}
	var nobody *Principal
	if !nobody.EveryModel() || !nobody.MayUseModel("small") || nobody.Tenant() != "" || nobody.TakeRequest(t.Context()) != nil {
		t.Error("without a guard everything is allowed")
	}
}

// TestNoPolicy: without a file, what the handshake has let in may do everything, as the tenant of its certificate.
func TestNoPolicy(t *testing.T) {
	t.Parallel()
	guard, err := NewGuard(Config{MeterProvider: sdkmetric.NewMeterProvider()})
	if err != nil {
		t.Fatal(err)
	}
	p, err := guard.Check(t.Context(), call(generate, "spiffe://d/web", "authorization: Bearer whatever"))
	if err != nil || p.Tenant() != "spiffe://d/web" {
		t.Errorf("got %q, %v", p.Tenant(), err)
	}
	if _, err := guard.Check(t.Context(), call(generate, "spiffe://d/web", "x-sluice-tenant: other")); err == nil {
		t.Error("a forged tenant is let in")
	}
	if p, err = guard.Check(t.Context(), call(generate, "")); err != nil || p.Tenant() != "" {
		t.Errorf("got %q, %v", p.Tenant(), err)
	}
}

// TestClosed: which policies let anyone call what a page could read.
func TestClosed(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	client := fmt.Sprintf("clients: [{name: a, key_sha256: %s}]", hashOf(t, NewKey()))
	for open, want := range map[string]bool{
		"": true, "open: []\n": true, "open: [health, metrics]\n": true, "open: [grpc.health.v1.Health/Check]\n": true,
		"open: [inference]\n": false, "open: [health, models]\n": false, "open: [health, reflection]\n": false,
		"open: [sluice.v1.InferenceService/Generate]\n": false, "open: [unknown.Service/Method]\n": false,
	} {
		f.Replace(f.policy(open + client))
		if got := f.Closed(); got != want {
			t.Errorf("%q: closed %t", open, got)
		}
	}
	guard, err := NewGuard(Config{MeterProvider: sdkmetric.NewMeterProvider()})
	if err != nil {
		t.Fatal(err)
	}
	if guard.Closed() {
		t.Error("closed without a policy")
	}
}
