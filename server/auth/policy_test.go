package auth

import (
	"strings"
	"testing"
	"time"
)

// hashOf is the hash of a key that a test made up.
func hashOf(t testing.TB, key string) string {
	t.Helper()
	hash, err := HashKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return hash
}

func TestNewKey(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for range 100 {
		key := NewKey()
		if seen[key] || !strings.HasPrefix(key, "slk_") || len(key) != 56 {
			t.Fatalf("bad key %q", key)
		}
		seen[key] = true
		hashOf(t, key)
	}
	for _, bad := range []string{"", "password", strings.Repeat("a", 21), strings.Repeat("a", 513), strings.Repeat("a", 30) + " b", strings.Repeat("ä", 30), strings.Repeat("a", 30) + "\n"} {
		if _, err := HashKey(bad); err == nil {
			t.Errorf("the key %q has a hash", bad)
		}
	}
}

func TestParsePolicy(t *testing.T) {
	t.Parallel()
	hash := strings.Repeat("ab", 32)
	for name, c := range map[string]struct{ text, fault string }{
		"empty":           {"", "no clients"},
		"cut off":         {"clients:\n", "no clients"},
		"not YAML":        {"clients: [", "did not find"},
		"unknown field":   {"clients: [{name: a, key_sha256: " + hash + ", model: [x]}]", "field model not found"},
		"plain key":       {"clients: [{name: a, key_sha256: slk_secret}]", "64 hexadecimal"},
		"no credentials":  {"clients: [{name: a}]", "neither key_sha256 nor spiffe_id"},
		"no name":         {"clients: [{key_sha256: " + hash + "}]", "name and tenant"},
		"tenant with NUL": {"clients: [{name: a, tenant: \"b\\0c\", key_sha256: " + hash + "}]", "name and tenant"},
		"same name":       {"clients: [{name: a, key_sha256: " + hash + "}, {name: a, spiffe_id: spiffe://x/y}]", "used twice"},
		"same key":        {"clients: [{name: a, key_sha256: " + hash + "}, {name: b, key_sha256: " + hash + "}]", "key is that of a"},
		"bad identity":    {"clients: [{name: a, spiffe_id: https://x/y}]", "begins with spiffe://"},
		"bad permission":  {"clients: [{name: a, key_sha256: " + hash + ", allow: [everything]}]", "neither one of"},
		"bad open":        {"open: [x]\nclients: [{name: a, key_sha256: " + hash + "}]", "open:"},
		"zero rate":       {"clients: [{name: a, key_sha256: " + hash + ", requests: {rate: 0}}]", "rate must be"},
		"NaN rate":        {"clients: [{name: a, key_sha256: " + hash + ", tokens: {rate: .nan}}]", "rate must be"},
		"small burst":     {"clients: [{name: a, key_sha256: " + hash + ", tokens: {rate: 1, burst: 0.5}}]", "burst must be"},
		"bad expiry":      {"clients: [{name: a, key_sha256: " + hash + ", expires: tomorrow}]", "time"},
		"too large":       {strings.Repeat("#", maxPolicyBytes+1), "larger"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := ParsePolicy([]byte(c.text))
			if err == nil || !strings.Contains(err.Error(), c.fault) {
				t.Errorf("got %v, want %q", err, c.fault)
			}
			if err != nil && strings.Contains(err.Error(), hash) {
				t.Errorf("the error repeats the hash: %v", err)
			}
		})
	}
	policy, err := ParsePolicy([]byte("clients:\n- {name: a, key_sha256: " + hash + ", expires: 2027-01-02T03:04:05Z, requests: {rate: 0.5}}\n"))
	if err != nil {
		t.Fatal(err)
	}
	c := policy.clients[0]
	if c.tenant != "a" || !c.everyModel || c.requests.burst != 1 || !c.expires.Equal(time.Date(2027, 1, 2, 3, 4, 5, 0, time.UTC)) {
		t.Errorf("got %+v", c)
	}
	for _, method := range []string{"/sluice.v1.InferenceService/Generate", "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", "/grpc.health.v1.Health/Check"} {
		if !c.allow.allows(method) {
			t.Errorf("by default %s is not allowed", method)
		}
	}
	for _, method := range []string{"/sluice.v1.ModelService/LoadModel", "/grpc.channelz.v1.Channelz/GetServers", "/metrics", "/new.Service/Method", "", "/"} {
		if c.allow.allows(method) {
			t.Errorf("by default %q is allowed", method)
		}
	}
}

func FuzzParsePolicy(f *testing.F) {
	f.Add("open: [health]\nclients:\n- {name: a, tenant: b, key_sha256: " + strings.Repeat("0f", 32) + ", models: [m], allow: [inference, a.B/C], tokens: {rate: 1, burst: 2}}\n- {name: c, spiffe_id: spiffe://d/*, expires: 2027-01-01T00:00:00Z}\n")
	f.Fuzz(func(t *testing.T, text string) {
		policy, err := ParsePolicy([]byte(text))
		if err == nil && policy.Clients() == 0 {
			t.Error("a policy without clients")
		}
	})
}
