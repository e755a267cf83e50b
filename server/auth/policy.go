package auth

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math"
	"regexp"
	"time"

	"go.yaml.in/yaml/v3"
)

// maxPolicyBytes bounds the file: at some 200 bytes a client it is enough for tens of thousands.
const maxPolicyBytes = 8 << 20

// Policy is who may do what, as its file says. It does not change; a changed file is another Policy.
//
// The file is YAML:
//
//	open: [health]                        # what anyone may call; this is the default
//	clients:
//	  - name: ci                          # in logs
//	    tenant: team-a                    # shares, quotas, metrics and the prefix cache are by tenant; default: the name
//	    key_sha256: 9f86d081884c7d65…     # `sluice keys hash`
//	    expires: 2027-06-30T00:00:00Z     # default: never
//	    models: [small]                   # real names, not aliases; default: every model
//	    allow: [inference, tokenizer]     # default: all but metrics, channelz and admin
//	    requests: {rate: 10, burst: 20}   # calls a second
//	    tokens: {rate: 2000, burst: 20000}
//	  - name: web
//	    spiffe_id: spiffe://example.org/ns/prod/sa/web   # a certificate instead of a key, or both: then both are needed
type Policy struct {
	open       permissionSet
	byKey      map[[32]byte]*client
	identities []*client // those without a key, in the file's order
	clients    []*client
}

// client is an entry of a policy.
type client struct {
	name, tenant string
	key          *[32]byte      // the hash; nil: none
	identity     *SPIFFEPattern // nil: none
	expires      time.Time      // zero: never
	models       map[string]bool
	everyModel   bool
	allow        permissionSet
	requests     *bucket // nil: no quota
	tokens       *bucket // nil: no quota
}

// policyFile is the form of the file.
type policyFile struct {
	Open    *[]string     `yaml:"open"`
	Clients []clientEntry `yaml:"clients"`
}

type clientEntry struct {
	Name      string      `yaml:"name"`
	Tenant    string      `yaml:"tenant"`
	KeySHA256 string      `yaml:"key_sha256"`
	SPIFFEID  string      `yaml:"spiffe_id"`
	Expires   time.Time   `yaml:"expires"`
	Models    *[]string   `yaml:"models"`
	Allow     *[]string   `yaml:"allow"`
	Requests  *quotaEntry `yaml:"requests"`
	Tokens    *quotaEntry `yaml:"tokens"`
}

type quotaEntry struct {
	Rate  float64 `yaml:"rate"`
	Burst float64 `yaml:"burst"`
}

// ParsePolicy reads a policy. Every fault is reported, by the client that has it; none repeats a hash. A file without
// clients is an error: it is rather half-written than meant.
func ParsePolicy(text []byte) (*Policy, error) {
	if len(text) > maxPolicyBytes {
		return nil, fmt.Errorf("larger than %d bytes", maxPolicyBytes)
	}
	var file policyFile
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	decoder.KnownFields(true)
	if err := decoder.Decode(&file); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	if len(file.Clients) == 0 {
		return nil, errors.New("it has no clients")
	}
	open := []string{permissionHealth}
	if file.Open != nil {
		open = *file.Open
	}
	p := &Policy{byKey: map[[32]byte]*client{}}
	var faults []error
	var err error
	if p.open, err = newPermissionSet(open); err != nil {
		faults = append(faults, fmt.Errorf("open: %w", err))
	}
	names := map[string]bool{}
	for i, entry := range file.Clients {
		c, err := entry.client()
		switch {
		case err != nil:
		case names[entry.Name]:
			err = errors.New("the name is used twice")
		case c.key != nil && p.byKey[*c.key] != nil:
			err = fmt.Errorf("its key is that of %s", p.byKey[*c.key].name)
		}
		if err != nil {
			faults = append(faults, fmt.Errorf("client %d (%s): %w", i+1, entry.Name, err))
			continue
		}
		names[entry.Name] = true
		p.clients = append(p.clients, c)
		if c.key != nil {
			p.byKey[*c.key] = c
		} else {
			p.identities = append(p.identities, c)
		}
	}
	if len(faults) > 0 {
		return nil, errors.Join(faults...)
	}
	return p, nil
}

// Clients is the number of clients.
func (p *Policy) Clients() int { return len(p.clients) }

// nameForm is what a client or a tenant may be called: it is in logs, metrics and file names.
var nameForm = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._:/@-]{0,127}$`)

// client checks an entry.
func (e *clientEntry) client() (*client, error) {
	c := &client{name: e.Name, tenant: e.Tenant, expires: e.Expires, everyModel: e.Models == nil}
	if c.tenant == "" {
		c.tenant = c.name
	}
	if !nameForm.MatchString(c.name) || !nameForm.MatchString(c.tenant) {
		return nil, errors.New("name and tenant are 1 to 128 of A-Z, a-z, 0-9 and ._:/@-, the first a letter or digit")
	}
	if e.KeySHA256 == "" && e.SPIFFEID == "" {
		return nil, errors.New("it has neither key_sha256 nor spiffe_id")
	}
	if e.KeySHA256 != "" {
		hash, err := hex.DecodeString(e.KeySHA256)
		if err != nil || len(hash) != 32 {
			return nil, errors.New("key_sha256 is not 64 hexadecimal digits")
		}
		c.key = (*[32]byte)(hash)
	}
	if e.SPIFFEID != "" {
		pattern, err := ParseSPIFFEPattern(e.SPIFFEID)
		if err != nil {
			return nil, fmt.Errorf("spiffe_id: %w", err)
		}
		c.identity = &pattern
	}
	if e.Models != nil {
		c.models = map[string]bool{}
		for _, name := range *e.Models {
			c.models[name] = true
		}
	}
	allow := defaultPermissions()
	if e.Allow != nil {
		allow = *e.Allow
	}
	var err error
	if c.allow, err = newPermissionSet(allow); err != nil {
		return nil, fmt.Errorf("allow: %w", err)
	}
	if c.requests, err = e.Requests.bucket(); err != nil {
		return nil, fmt.Errorf("requests: %w", err)
	}
	if c.tokens, err = e.Tokens.bucket(); err != nil {
		return nil, fmt.Errorf("tokens: %w", err)
	}
	return c, nil
}

// bucket is a full bucket of a quota; nil for none. Without a burst it holds what a second gives, and at least 1.
func (q *quotaEntry) bucket() (*bucket, error) {
	if q == nil {
		return nil, nil //nolint:nilnil // no quota
	}
	if !(q.Rate > 0) || math.IsInf(q.Rate, 0) { // NaN too
		return nil, fmt.Errorf("rate must be more than 0 a second, not %g", q.Rate)
	}
	burst := q.Burst
	if burst == 0 {
		burst = max(1, q.Rate)
	}
	if !(burst >= 1) || math.IsInf(burst, 0) {
		return nil, fmt.Errorf("burst must be at least 1, not %g", burst)
	}
	return newBucket(q.Rate, burst), nil
}

// adopt takes over what the clients of the policy before have spent, by name, so that a reload fills no quota.
func (p *Policy) adopt(before *Policy) {
	if before == nil {
		return
	}
	old := make(map[string]*client, len(before.clients))
	for _, c := range before.clients {
		old[c.name] = c
	}
	for _, c := range p.clients {
		if was := old[c.name]; was != nil {
			c.requests = inherit(c.requests, was.requests)
			c.tokens = inherit(c.tokens, was.tokens)
		}
	}
}

// inherit is the old bucket with the new one's limits.
func inherit(fresh, old *bucket) *bucket {
	if fresh == nil || old == nil {
		return fresh
	}
	old.configure(fresh.rate, fresh.burst)
	return old
}
