package e2e_test

import (
	"bufio"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"

	sluicev1 "github.com/sluiceml/sluice/proto/sluice/v1"
)

// scrape is what /metrics answers to Prometheus, in its text form or in OpenMetrics.
func (s *server) scrape(accept string) string {
	s.t.Helper()
	request, err := http.NewRequestWithContext(s.t.Context(), http.MethodGet, "http://"+s.http+"/metrics", nil)
	if err != nil {
		s.t.Fatal(err)
	}
	request.Header.Set("Accept", accept)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		s.t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		s.t.Fatalf("%s: %v", response.Status, err)
	}
	return string(body)
}

// traffic is a little of everything that is counted: an answer and one from the prefix cache, a stream, a refusal, a
// health check.
func (s *server) traffic() {
	s.t.Helper()
	ctx := metadata.AppendToOutgoingContext(deadline(s.t), "traceparent", "00-"+traceID+"-"+parentID+"-01")
	for range 2 {
		if _, err := s.Generate(ctx, prompt(strings.Repeat("over and over ", 20), greedy(24))); err != nil {
			s.t.Fatal(err)
		}
	}
	stream, err := s.GenerateStream(ctx, prompt("Name three rivers.", greedy(8)))
	if err != nil {
		s.t.Fatal(err)
	}
	for {
		if _, err := stream.Recv(); err != nil {
			break
		}
	}
	if _, err := s.Generate(ctx, prompt("", greedy(8))); err == nil {
		s.t.Error("an empty prompt was taken")
	}
	if _, err := healthpb.NewHealthClient(s.conn).Check(ctx, &healthpb.HealthCheckRequest{}); err != nil {
		s.t.Error(err)
	}
	s.idle(ctx)
}

// TestMetricsOfDashboardAndAlerts: every metric that the dashboard and the alerts in deploy/ ask for is one that a
// server has, by name and by label.
func TestMetricsOfDashboardAndAlerts(t *testing.T) {
	s := serve(t, nil)
	s.traffic()
	served := series(s.scrape("text/plain"))
	rules, recorded := ruleExpressions(t)
	expressions := append(dashboardExpressions(t), rules...)
	if len(expressions) < 50 {
		t.Errorf("only %d expressions were found", len(expressions))
	}
	for _, e := range expressions {
		names := metricNames(e)
		for _, name := range names {
			if served[name] == nil && !slices.Contains(recorded, name) {
				t.Errorf("no server has %s, in %s", name, e)
			}
		}
		if len(names) != 1 || served[names[0]] == nil {
			continue // which label is whose would need the grammar
		}
		for _, label := range groupLabels(e) {
			if !served[names[0]][label] {
				t.Errorf("%s has no label %s, in %s", names[0], label, e)
			}
		}
	}
}

// TestExemplars: a scrape in OpenMetrics leads from the latencies to the caller's trace.
func TestExemplars(t *testing.T) {
	s := serve(t, []string{"OTEL_TRACES_SAMPLER=parentbased_always_off"}, "--trace-file", filepath.Join(t.TempDir(), "traces.jsonl"))
	s.traffic()
	found := map[string]bool{}
	for line := range strings.Lines(s.scrape("application/openmetrics-text; version=1.0.0")) {
		name, rest, _ := strings.Cut(line, "_bucket{")
		if strings.Contains(rest, `trace_id="`+traceID+`"`) {
			found[name] = true
		}
	}
	for _, name := range []string{
		"gen_ai_server_request_duration_seconds", "gen_ai_server_time_to_first_token_seconds",
		"gen_ai_server_time_per_output_token_seconds", "sluice_inter_token_latency_seconds",
		"sluice_queue_duration_seconds", "sluice_prefill_duration_seconds",
	} {
		if !found[name] {
			t.Errorf("%s has no exemplar of the trace; only %v have", name, slices.Sorted(maps.Keys(found)))
		}
	}
}

// TestMetricsByTokens: the counters agree with what the clients were told.
func TestMetricsByTokens(t *testing.T) {
	s := serve(t, nil)
	ctx := deadline(t)
	var usage sluicev1.Usage
	for range 3 {
		response, err := s.Generate(ctx, prompt(strings.Repeat("a b c ", 20), greedy(10)))
		if err != nil {
			t.Fatal(err)
		}
		usage.PromptTokens += response.GetUsage().GetPromptTokens()
		usage.CachedTokens += response.GetUsage().GetCachedTokens()
		usage.CompletionTokens += response.GetUsage().GetCompletionTokens()
	}
	text := s.scrape("text/plain")
	for name, want := range map[string]uint32{
		"sluice_prompt_tokens_total": usage.GetPromptTokens(), "sluice_cached_tokens_total": usage.GetCachedTokens(),
		"sluice_output_tokens_total": usage.GetCompletionTokens(),
		`sluice_step_tokens_total{model="smollm2-135m-instruct",phase="decode"}`:  usage.GetCompletionTokens(),
		`sluice_step_tokens_total{model="smollm2-135m-instruct",phase="prefill"}`: usage.GetPromptTokens() - usage.GetCachedTokens(),
		"sluice_requests_total": 3,
	} {
		if got := value(text, name); got != float64(want) {
			t.Errorf("%s is %v, want %d", name, got, want)
		}
	}
}

// value is that of the first series whose name, or name and labels, is given.
func value(text, name string) float64 {
	for line := range strings.Lines(text) {
		if rest, ok := strings.CutPrefix(line, name); ok && (strings.HasPrefix(rest, "{") || strings.HasPrefix(rest, " ")) {
			var number float64
			if json.Unmarshal([]byte(strings.TrimSpace(rest[strings.LastIndex(rest, " "):])), &number) == nil {
				return number
			}
		}
	}
	return -1
}

var labelName = regexp.MustCompile(`([a-zA-Z_]\w*)="`)

// series are the names in a scrape, with the labels that any series of that name has. Prometheus itself adds instance
// and job.
func series(text string) map[string]map[string]bool {
	found := map[string]map[string]bool{}
	lines := bufio.NewScanner(strings.NewReader(text))
	for lines.Scan() {
		name, rest, _ := strings.Cut(strings.ReplaceAll(lines.Text(), "{", " {"), " ")
		if name == "#" || name == "" {
			continue
		}
		if found[name] == nil {
			found[name] = map[string]bool{"instance": true, "job": true}
		}
		for _, match := range labelName.FindAllStringSubmatch(rest, -1) {
			found[name][match[1]] = true
		}
	}
	return found
}

// dashboardExpressions are the PromQL expressions of the Grafana dashboard.
func dashboardExpressions(t *testing.T) (expressions []string) {
	t.Helper()
	var dashboard struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
		}
	}
	if err := json.Unmarshal(deployed(t, "grafana/sluice.json"), &dashboard); err != nil {
		t.Fatal(err)
	}
	for _, panel := range dashboard.Panels {
		for _, target := range panel.Targets {
			if target.Expr == "" {
				t.Errorf("the panel %q has an empty query", panel.Title)
			}
			expressions = append(expressions, target.Expr)
		}
	}
	return expressions
}

// ruleExpressions are the PromQL expressions of the alerts and recording rules, and the names of what is recorded.
func ruleExpressions(t *testing.T) (expressions, recorded []string) {
	t.Helper()
	var rules struct {
		Groups []struct {
			Rules []struct{ Expr, Record string }
		}
	}
	if err := yaml.Unmarshal(deployed(t, "prometheus/sluice.rules.yaml"), &rules); err != nil {
		t.Fatal(err)
	}
	for _, group := range rules.Groups {
		for _, rule := range group.Rules {
			expressions, recorded = append(expressions, rule.Expr), append(recorded, rule.Record)
		}
	}
	return expressions, recorded
}

func deployed(t *testing.T, file string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("..", "..", "..", "deploy", filepath.FromSlash(file)))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

var (
	quoted     = regexp.MustCompile(`"(?:[^"\\]|\\.)*"`)
	grouping   = regexp.MustCompile(`\b(?:by|on)\s*\(([^)]*)\)`)
	enclosed   = regexp.MustCompile(`\{[^}]*\}|\[[^\]]*\]`)
	identifier = regexp.MustCompile(`[a-zA-Z_:][\w:]*\s*\(?`)
)

// metricNames are the names of the metrics in a PromQL expression: what is left when strings, selectors, ranges and
// groupings are gone, and is neither a function nor an operator.
func metricNames(expression string) (names []string) {
	bare := enclosed.ReplaceAllString(quoted.ReplaceAllString(expression, ""), "")
	for _, name := range identifier.FindAllString(grouping.ReplaceAllString(bare, ""), -1) {
		name = strings.TrimSpace(name)
		if !strings.HasSuffix(name, "(") && !slices.Contains([]string{"and", "or", "unless", "on", "by"}, name) {
			names = append(names, name)
		}
	}
	return names
}

// groupLabels are the labels by which a PromQL expression groups or joins.
func groupLabels(expression string) (labels []string) {
	for _, match := range grouping.FindAllStringSubmatch(quoted.ReplaceAllString(expression, ""), -1) {
		for label := range strings.SplitSeq(match[1], ",") {
			labels = append(labels, strings.TrimSpace(label))
		}
	}
	return labels
}

// TestMetricNamesOfExpressions: the reading of expressions finds what it should.
func TestMetricNamesOfExpressions(t *testing.T) {
	const e = `histogram_quantile(0.9, sum by (a, le) (rate(x_bucket{model=~"$model",q="y(z)"}[$__rate_interval]))) and on (b) vllm:y > 0 or vector(0)`
	if got := metricNames(e); !slices.Equal(got, []string{"x_bucket", "vllm:y"}) {
		t.Errorf("names %v", got)
	}
	if got := groupLabels(e); !slices.Equal(got, []string{"a", "le", "b"}) {
		t.Errorf("labels %v", got)
	}
}
