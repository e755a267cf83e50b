package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/sluiceml/sluice/cmd/sluice/internal/access"
	"github.com/sluiceml/sluice/cmd/sluice/internal/usage"
	"github.com/sluiceml/sluice/server/auth"
)

type keysCmd struct {
	New   newKeyCmd    `cmd:"" help:"Print a new key."`
	Hash  hashKeyCmd   `cmd:"" help:"Read a key from standard input and print its entry for the file of --api-keys."`
	Check checkKeysCmd `cmd:"" help:"Check a file for --api-keys."`
}

// Help implements kong.HelpProvider.
func (keysCmd) Help() string {
	return `The file of --api-keys holds only hashes of the keys. A running server reloads the file when it changes.
docs/security.md describes its format.

Examples:

  sluice keys new > ci.key
  (umask 077; echo clients: > keys.yaml)
  sluice keys hash ci --tenant team-a --models small --tokens 2000:20000 < ci.key >> keys.yaml
  sluice keys check keys.yaml
  sluice serve --api-keys keys.yaml
  SLUICE_API_KEY=$(cat ci.key) sluice generate "Name three rivers."`
}

type newKeyCmd struct{}

// Run prints a key.
func (newKeyCmd) Run(p *process) error {
	_, err := fmt.Fprintln(p.stdout, auth.NewKey())
	return err
}

type hashKeyCmd struct {
	Name     string        `arg:"" help:"Name of the client, for logs."`
	Tenant   string        `help:"Tenant that the client belongs to. Default: the client is a tenant of its own." env:"-" placeholder:"NAME"`
	Models   []string      `help:"Models that the client may use, by their names, not aliases. Default: all." env:"-" placeholder:"NAME"`
	Allow    []string      `help:"What the client may call: inference, tokenizer, models, health, load, reflection, metrics, channelz, admin, or package.Service/Method. Default: all except metrics, channelz and admin." env:"-" placeholder:"NAME"`
	Requests quotaFlag     `help:"Most calls per second, and most at once." env:"-" placeholder:"RATE[:BURST]"`
	Tokens   quotaFlag     `help:"Most tokens per second, of prompts and outputs, and most at once." env:"-" placeholder:"RATE[:BURST]"`
	ValidFor time.Duration `help:"How long the key is valid. Default: until it is removed from the file." env:"-" placeholder:"DURATION"`
}

// keyEntry is an entry as it is printed; package auth reads it.
type keyEntry struct {
	Name      string     `yaml:"name"`
	Tenant    string     `yaml:"tenant,omitempty"`
	KeySHA256 string     `yaml:"key_sha256"`
	Expires   *time.Time `yaml:"expires,omitempty"`
	Models    []string   `yaml:"models,omitempty,flow"`
	Allow     []string   `yaml:"allow,omitempty,flow"`
	Requests  *quotaFlag `yaml:"requests,omitempty,flow"`
	Tokens    *quotaFlag `yaml:"tokens,omitempty,flow"`
}

// quotaFlag is RATE or RATE:BURST.
type quotaFlag struct {
	Rate  float64 `yaml:"rate"`
	Burst float64 `yaml:"burst,omitempty"`
}

// UnmarshalText implements encoding.TextUnmarshaler.
func (q *quotaFlag) UnmarshalText(text []byte) error {
	rate, burst, hasBurst := strings.Cut(string(text), ":")
	var err error
	if q.Rate, err = strconv.ParseFloat(rate, 64); err == nil && hasBurst {
		q.Burst, err = strconv.ParseFloat(burst, 64)
	}
	if err != nil {
		return fmt.Errorf("%q is not RATE or RATE:BURST", text)
	}
	return nil
}

// maxKeyInput bounds what is read of standard input: a key is one line.
const maxKeyInput = 4 << 10

// Run prints an entry.
func (c *hashKeyCmd) Run(_ context.Context, p *process) error {
	text, err := io.ReadAll(io.LimitReader(p.stdin, maxKeyInput))
	if err != nil {
		return err
	}
	hash, err := auth.HashKey(strings.TrimSpace(string(text)))
	if err != nil {
		return usage.Wrap(err)
	}
	entry := keyEntry{Name: c.Name, Tenant: c.Tenant, KeySHA256: hash, Models: c.Models, Allow: c.Allow}
	if c.Requests.Rate != 0 {
		entry.Requests = &c.Requests
	}
	if c.Tokens.Rate != 0 {
		entry.Tokens = &c.Tokens
	}
	if c.ValidFor != 0 {
		expires := time.Now().Add(c.ValidFor).UTC().Truncate(time.Second)
		entry.Expires = &expires
	}
	list, err := yaml.Marshal([]keyEntry{entry})
	if err != nil {
		return fmt.Errorf("keys: %w", err)
	}
	if _, err := auth.ParsePolicy(append([]byte("clients:\n"), list...)); err != nil {
		return usage.Wrap(err)
	}
	_, err = p.stdout.Write(list)
	return err
}

type checkKeysCmd struct {
	File string `arg:"" help:"The file." placeholder:"FILE"`
}

// Run checks a file as the server would.
func (c *checkKeysCmd) Run(p *process) error {
	if _, err := os.Stat(c.File); err != nil {
		return usage.Errorf("%w", err)
	}
	flags := &access.Flags{APIKeys: c.File}
	policy, err := flags.Policy()
	if err != nil {
		return usage.Wrap(err)
	}
	noun := "clients"
	if policy.Clients() == 1 {
		noun = "client"
	}
	_, err = fmt.Fprintf(p.stdout, "%s: %d %s\n", c.File, policy.Clients(), noun)
	return err
}
