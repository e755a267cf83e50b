//go:build prometheus

package e2e_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// These tests need Debian's package prometheus: `make test-prometheus`.

// TestRules has promtool check the rules and run their unit tests.
func TestRules(t *testing.T) {
	for _, arguments := range [][]string{{"check", "rules", "sluice.rules.yaml"}, {"test", "rules", "sluice.rules.test.yaml"}} {
		command := exec.CommandContext(t.Context(), "promtool", arguments...)
		command.Dir = filepath.Join("..", "..", "..", "deploy", "prometheus")
		if output, err := command.CombinedOutput(); err != nil {
			t.Errorf("promtool %s: %v\n%s", strings.Join(arguments, " "), err, output)
		}
	}
}

// TestPrometheus has a real Prometheus scrape a server, run the rules and answer every query of the dashboard; the
// exemplars that it keeps lead to the caller's trace.
func TestPrometheus(t *testing.T) {
	s := serve(t, nil, "--trace-file", filepath.Join(t.TempDir(), "traces.jsonl"))
	p := startPrometheus(t, s.http)
	p.wait("up == 1")
	for _, requests := range []int{3, 6} { // a rate needs a scrape before
		s.traffic()
		p.wait(fmt.Sprintf(`sum(sluice_requests_total{outcome="ok"}) == %d`, requests))
	}

	var rules struct {
		Groups []struct {
			Rules []struct{ Name, Health, LastError string }
		}
	}
	p.get("rules", url.Values{}, &rules)
	for _, group := range rules.Groups {
		for _, rule := range group.Rules {
			if rule.Health == "err" {
				t.Errorf("the rule %s: %s", rule.Name, rule.LastError)
			}
		}
	}
	if len(rules.Groups) == 0 {
		t.Error("no rules were read")
	}
	variables := strings.NewReplacer("$__rate_interval", "30s", "$model", ".*", "$instance", ".*")
	for _, e := range dashboardExpressions(t) {
		if p.query(variables.Replace(e)) == 0 {
			t.Errorf("the dashboard would show nothing for %s", e)
		}
	}
	var exemplars []struct {
		Exemplars []struct{ Labels map[string]string }
	}
	now := time.Now()
	p.get("query_exemplars", url.Values{
		"query": {"gen_ai_server_time_to_first_token_seconds_bucket"},
		"start": {now.Add(-time.Hour).Format(time.RFC3339)}, "end": {now.Add(time.Minute).Format(time.RFC3339)},
	}, &exemplars)
	if len(exemplars) == 0 || exemplars[0].Exemplars[0].Labels["trace_id"] != traceID {
		t.Errorf("exemplars %v", exemplars)
	}
}

// prometheus is a running Prometheus.
type prometheus struct {
	t   *testing.T
	api string
	log string // its file
}

func startPrometheus(t *testing.T, target string) *prometheus {
	t.Helper()
	directory := t.TempDir()
	rules, err := filepath.Abs(filepath.Join("..", "..", "..", "deploy", "prometheus", "sluice.rules.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	config := filepath.Join(directory, "prometheus.yaml")
	if err := os.WriteFile(config, fmt.Appendf(nil, `global: {scrape_interval: 1s, evaluation_interval: 1s}
rule_files: [%q]
scrape_configs:
  - job_name: sluice
    static_configs: [{targets: [%q]}]
`, rules, target), 0o600); err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0") // Prometheus cannot say which port it took
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	_ = listener.Close()
	p := &prometheus{t: t, api: "http://" + address + "/api/v1/", log: filepath.Join(directory, "log")}
	log, err := os.Create(p.log)
	if err != nil {
		t.Fatal(err)
	}
	command := exec.Command("prometheus", "--config.file", config, "--storage.tsdb.path", filepath.Join(directory, "data"),
		"--web.listen-address", address, "--enable-feature", "exemplar-storage")
	command.Stdout, command.Stderr = log, log
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = command.Process.Kill()
		_ = command.Wait()
		_ = log.Close()
	})
	return p
}

// wait waits until a query has an answer.
func (p *prometheus) wait(query string) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), time.Minute)
	defer cancel()
	ticker := time.NewTicker(100 * time.Millisecond)
	defer ticker.Stop()
	for {
		var result struct{ Result []json.RawMessage }
		if err := p.try(ctx, "query", url.Values{"query": {query}}, &result); err == nil && len(result.Result) > 0 {
			return
		}
		select {
		case <-ctx.Done():
			log, _ := os.ReadFile(p.log)
			p.t.Fatalf("%s never held\n%s", query, log)
		case <-ticker.C:
		}
	}
}

// query is how many series a query has.
func (p *prometheus) query(query string) int {
	p.t.Helper()
	var result struct{ Result []json.RawMessage }
	p.get("query", url.Values{"query": {query}}, &result)
	return len(result.Result)
}

func (p *prometheus) get(path string, values url.Values, data any) {
	p.t.Helper()
	if err := p.try(p.t.Context(), path, values, data); err != nil {
		p.t.Errorf("%s %v: %v", path, values, err)
	}
}

func (p *prometheus) try(ctx context.Context, path string, values url.Values, data any) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, p.api+path+"?"+values.Encode(), nil)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	answer := struct {
		Status, Error string
		Data          any
	}{Data: data}
	if err := json.Unmarshal(body, &answer); err != nil {
		return fmt.Errorf("%s: %w", response.Status, err)
	}
	if answer.Status != "success" {
		return fmt.Errorf("%s: %s", answer.Status, answer.Error)
	}
	return nil
}
