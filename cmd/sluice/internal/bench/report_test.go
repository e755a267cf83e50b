package bench

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"math"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// sample is a report with everything in it, hostile names too.
func sample(loads ...Load) *Report {
	r := &Report{
		Format: 1, Target: Info{Protocol: "openai", Address: "http://127.0.0.1:1/v1", Model: `</title><script>alert(1)</script>"'&` + "\x1b[31m"},
		Client:      Client{Version: "1", System: "linux/amd64", CPUs: 2, Start: time.Unix(0, 0)},
		Setting:     Setting{Seed: 1, Form: Words, Prompt: Lengths{Mean: 161, Sigma: 1.3, Max: 1024}, Answer: Lengths{Mean: 128}, SharedPrefix: 10, IgnoreEOS: true, SLOTTFT: 500, SLOITL: 50},
		Interrupted: true,
	}
	for i, load := range loads {
		d := Distribution{Count: 9, Mean: 10, P50: 9, P90: 20, P95: 25, P99: 30, Max: 40}
		l := Level{
			Streams: load.Streams, Rate: load.Rate, Sent: 12, OK: 9, Failed: 2, Interrupted: 1, Short: 1, NoUsage: 1, Elapsed: 3,
			Errors:       map[string]Fault{"HTTP 503": {Count: 2, Example: "<b>busy</b>"}},
			PromptTokens: 100, CachedTokens: 50, OutputTokens: 200, RequestsPerSecond: 3, OutputPerSecond: 66.7, TotalPerSecond: 100,
			TTFT: d, ITL: d, DeltaGap: d, TPOT: d, E2E: d, Late: d, DecodePerSecond: 80, DecodeElapsed: 2, Deltas: 150, MergedDeltas: 40, MergedTokens: 50, Good: 8, Goodput: 2.67,
		}
		for n := range 10 * i {
			l.Timeline = append(l.Timeline, Moment{Start: float64(n) / 10, Tokens: float64(n), InFlight: 2})
		}
		r.Levels = append(r.Levels, l)
	}
	return r
}

func TestTable(t *testing.T) {
	t.Parallel()
	r := sample(Load{Rate: 4})
	r.Target.Model = "small"
	var b bytes.Buffer
	if err := r.WriteTable(&b); err != nil {
		t.Fatal(err)
	}
	const want = `openai at http://127.0.0.1:1/v1, model small
prompts of about 161 (log-normal, sigma 1.3, at most 1024) words, 10 shared in front, answers of 128, temperature 0, seed 1

     load  requests  failed  seconds  requests/s  output tok/s  total tok/s    good  goodput/s
  4 req/s        12       2     3.00        3.00          66.7          100  72.7 %       2.67

     load         ms  mean   p50   p90   p95   p99   max
  4 req/s       TTFT  10.0  9.00  20.0  25.0  30.0  40.0
  4 req/s        ITL  10.0  9.00  20.0  25.0  30.0  40.0
  4 req/s  delta gap  10.0  9.00  20.0  25.0  30.0  40.0
  4 req/s       TPOT  10.0  9.00  20.0  25.0  30.0  40.0
  4 req/s        E2E  10.0  9.00  20.0  25.0  30.0  40.0
  4 req/s  sent late  10.0  9.00  20.0  25.0  30.0  40.0

good: TTFT at most 500 ms and mean ITL at most 50.0 ms
4 req/s: 2 failed with HTTP 503: <b>busy</b>
4 req/s: 1 interrupted and not counted
4 req/s: 1 answers were shorter than asked for: the server does not know ignore_eos, or stops elsewhere
4 req/s: 25.0 % of the tokens came in one delta with others (40 deltas held several)
4 req/s: 80.0 tokens/s while all streams were past their first token (2.00 s)
4 req/s: the server did not count the tokens of 1 answers: deltas are counted instead
4 req/s: 50.0 % of the prompt tokens came from a cache
interrupted: these are the figures until then
`
	if diff := cmp.Diff(want, b.String()); diff != "" {
		t.Error(diff)
	}
}

func TestTableIsSafeForTerminals(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	if err := sample(Load{Streams: 1}).WriteTable(&b); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(b.String(), "\x1b") {
		t.Errorf("an escape sequence in %q", b.String())
	}
}

// TestPage holds the page to be well formed, to run nothing and to fetch nothing.
func TestPage(t *testing.T) {
	t.Parallel()
	for name, r := range map[string]*Report{
		"closed":     sample(Load{Streams: 1}, Load{Streams: 8}, Load{Streams: 16}, Load{Streams: 64}),
		"open":       sample(Load{Rate: 0.5}, Load{Rate: 100}),
		"nothing":    {},
		"all failed": {Levels: []Level{{Streams: 1, Sent: 3, Failed: 3, Timeline: []Moment{{Start: 0, Tokens: math.Inf(1)}}}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var b bytes.Buffer
			if err := r.WriteHTML(&b); err != nil {
				t.Fatal(err)
			}
			page := b.String()
			decoder := xml.NewDecoder(&b)
			svgs, tables := 0, 0
			for {
				token, err := decoder.Token()
				if errors.Is(err, io.EOF) {
					break
				}
				if err != nil {
					t.Fatal(err)
				}
				element, ok := token.(xml.StartElement)
				if !ok {
					continue
				}
				switch element.Name.Local {
				case "svg":
					svgs++
				case "table":
					tables++
				case "script", "link", "img", "iframe", "object", "embed", "a", "base", "form":
					t.Errorf("the page has <%s>", element.Name.Local)
				}
				for _, a := range element.Attr {
					if strings.HasPrefix(a.Name.Local, "on") || a.Name.Local == "href" || a.Name.Local == "src" || a.Name.Local == "style" {
						t.Errorf("<%s> has %s=%q", element.Name.Local, a.Name.Local, a.Value)
					}
					if a.Name.Local != "aria-label" && strings.Contains(a.Value, "NaN") {
						t.Errorf("<%s> has %s=%q", element.Name.Local, a.Name.Local, a.Value)
					}
				}
			}
			charts := 0
			if len(r.Levels) > 0 {
				charts = 4
			}
			if r.Setting.slo() != "" {
				charts++
			}
			for _, l := range r.Levels {
				if len(l.Timeline) > 0 {
					charts += 2
				}
			}
			if svgs != charts || tables != 2 {
				t.Errorf("%d charts and %d tables, want %d and 2", svgs, tables, charts)
			}
			if found := regexp.MustCompile(`(?i)url\(|@import|ZgotmplZ`).FindString(page); found != "" {
				t.Errorf("the page has %s", found)
			}
		})
	}
}

func TestReportIsJSON(t *testing.T) {
	t.Parallel()
	encoded, err := json.Marshal(sample(Load{Streams: 1}, Load{Streams: 2}))
	if err != nil {
		t.Fatal(err)
	}
	var again Report
	if err := json.Unmarshal(encoded, &again); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(sample(Load{Streams: 1}, Load{Streams: 2}), &again, cmp.Comparer(func(a, b time.Time) bool { return a.Equal(b) })); diff != "" {
		t.Error(diff)
	}
}

func TestRoundTicks(t *testing.T) {
	t.Parallel()
	for limit, want := range map[float64][]float64{
		0: {0, 1}, 1: {0, 0.2, 0.4, 0.6, 0.8, 1}, 16: {0, 5, 10, 15, 20}, 0.03: {0, 0.005, 0.01, 0.015, 0.02, 0.025, 0.03},
		999: {0, 200, 400, 600, 800, 1000}, -1: {0, 1}, math.Inf(1): {0, 1},
	} {
		got := roundTicks(limit)
		if len(got) != len(want) || math.Abs(got[len(got)-1]-want[len(want)-1]) > 1e-9 {
			t.Errorf("to %g: %v, want %v", limit, got, want)
		}
	}
}

func TestPrintable(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"plain": "plain", "\xff": "\uFFFD", "äöü": "äö…", "12345678": "12345…", "": "", "a\nb": "a b", "\x1b[m\u009b": " [m ",
	} {
		if got := printable(text, 5); got != want {
			t.Errorf("%q became %q, want %q", text, got, want)
		}
	}
}
