package main

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"runtime"
	"slices"
	"time"

	"github.com/sluiceml/sluice/cmd/sluice/internal/bench"
	"github.com/sluiceml/sluice/cmd/sluice/internal/usage"
	"github.com/sluiceml/sluice/internal/loopback"
)

type benchCmd struct {
	clientFlags
	Model    string `help:"Model to call. Default: the server's default, or with openai the first that it lists." env:"SLUICE_CLIENT_MODEL" placeholder:"NAME"`
	Protocol string `help:"Protocol to speak: sluice (gRPC, to --addr) or openai (HTTP, to --url)." enum:"sluice,openai" default:"sluice" placeholder:"NAME"`
	URL      string `help:"Base URL for --protocol openai, such as http://127.0.0.1:8000/v1." name:"url" placeholder:"URL"`

	Concurrency []count       `help:"Closed loop: how many streams always have a request in flight; several numbers are measured in turn. Default without --rate: 1,8,16." placeholder:"N"`
	Rate        []decimal     `help:"Open loop: random (Poisson) arrivals per second, whether or not the server keeps up; several rates are measured in turn." placeholder:"R"`
	MaxInFlight int           `help:"Most requests in flight in the open loop. Requests that have to wait are timed from when they were due." default:"1024" placeholder:"N"`
	Requests    int           `help:"Most requests per load. 0: as many as fit into --duration; without it 8 per stream but at least 16, and 100 in the open loop." default:"0" placeholder:"N"`
	Duration    time.Duration `help:"Stop sending after this time and wait for the requests in flight; 0: send all requests." default:"0s" placeholder:"TIME"`
	Warmup      int           `help:"Unmeasured requests before each load; -1: one per stream, at most 16." default:"-1" placeholder:"N"`
	Timeout     time.Duration `help:"Time limit of a request; 0: a day." default:"10m" placeholder:"TIME"`

	Mix          string  `help:"Lengths: fixed, or sharegpt-like (see below)." enum:"fixed,sharegpt-like" default:"fixed" placeholder:"MIX"`
	PromptTokens *int    `help:"Length of prompts, or its mean. Default: 128 for fixed, 161 for sharegpt-like." placeholder:"N"`
	MaxTokens    *int    `help:"Length of answers, or its mean. Default: 128 for fixed, 338 for sharegpt-like." placeholder:"N"`
	SharedPrefix int     `help:"Tokens at the beginning of every prompt that are always the same." default:"0" placeholder:"N"`
	Prompts      string  `help:"Form of prompts: ids (random token ids), words (common words, about one token each) or auto (ids for sluice, words for openai)." enum:"auto,ids,words" default:"auto" placeholder:"FORM"`
	Vocabulary   int     `help:"Size of the vocabulary that ids are drawn from; 0: ask the server, or 32000 with openai." default:"0" placeholder:"N"`
	Seed         uint64  `help:"Seed for lengths, prompts and arrivals." default:"1" placeholder:"N"`
	Temperature  float64 `help:"Sampling temperature; 0 always takes the likeliest token." default:"0" placeholder:"T"`
	IgnoreEOS    bool    `help:"Ask the server to ignore the end token, so that answers have their full length." name:"ignore-eos" default:"true" negatable:""`

	SLOTTFT time.Duration `help:"Count requests as good if their time to first token is at most this." name:"slo-ttft" default:"0s" placeholder:"TIME"`
	SLOITL  time.Duration `help:"Count requests as good if the mean of their own inter-token latencies is at most this." name:"slo-itl" default:"0s" placeholder:"TIME"`

	PrintRequests int `help:"Print this many requests as JSON lines, and send nothing." default:"0" placeholder:"N"`

	JSON string `help:"Write the figures to this file as JSON." name:"json" env:"SLUICE_BENCH_JSON" placeholder:"FILE"`
	HTML string `help:"Write a page with plots to this file." name:"html" placeholder:"FILE"`
}

// Help implements kong.HelpProvider.
func (benchCmd) Help() string {
	return `The seed determines the requests: every run sends the same ones, and no two requests of a run are alike. If the server
caches prompts, use another --seed for each run.

Latencies count from when a request was due, so that in the open loop a server cannot hide that it falls behind. When a
delta contains several tokens, the time before it is divided among them, and the table says how many tokens arrived that
way. If the run is interrupted, it prints what it has measured so far.

sharegpt-like draws lengths from log-normal distributions with the mean lengths of the ShareGPT conversations that the
vLLM paper uses: prompts of 161 tokens (sigma 1.3, median 69), answers of 338 (sigma 0.9, median 225), each at most 1024
and at most half of the model's context.

Examples:

  sluice bench                                                 1, 8 and 16 streams, 128 tokens in, 128 out
  sluice bench --rate 1,2,4 --mix sharegpt-like --duration 60s --slo-ttft 1s --slo-itl 80ms --html load.html
  sluice bench --shared-prefix 1000 --concurrency 8
  sluice bench --protocol openai --url http://127.0.0.1:8000/v1 --json peer.json`
}

// Run puts a server under load and prints what it measured.
func (c *benchCmd) Run(ctx context.Context, p *process) error {
	options, err := c.options()
	if err != nil {
		return err
	}
	if c.PrintRequests > 0 {
		return printRequests(p.stdout, &options.Workload, c.PrintRequests)
	}
	for _, path := range []string{c.JSON, c.HTML} {
		if err := writable(path); err != nil { // rather now than after the run
			return err
		}
	}
	target, info, closeTarget, err := c.target(ctx, options)
	if err != nil {
		return err
	}
	defer closeTarget()
	if err := options.Validate(); err != nil {
		return usage.Wrap(err)
	}
	report := &bench.Report{Format: 1, Target: info, Setting: c.setting(options), Client: bench.Client{
		Version: build().Version, System: runtime.GOOS + "/" + runtime.GOARCH, CPUs: runtime.NumCPU(), Start: time.Now(),
	}}
	var failed error
	report.Levels, failed = bench.Run(ctx, target, options, func(load bench.Load) {
		p.log.Info("measuring", "load", load.String())
	})
	report.Interrupted = ctx.Err() != nil
	if len(report.Levels) == 0 {
		return failed
	}
	return errors.Join(failed, c.write(p, report), succeeded(report))
}

// printRequests prints the first requests of a workload.
func printRequests(w io.Writer, workload *bench.Workload, n int) error {
	encoder := json.NewEncoder(w)
	for i := range n {
		if err := encoder.Encode(workload.Request(uint64(i) + 1)); err != nil {
			return fmt.Errorf("bench: %w", err)
		}
	}
	return nil
}

// succeeded is an error if no request of a run succeeded that was not interrupted.
func succeeded(report *bench.Report) error {
	if report.Interrupted || slices.ContainsFunc(report.Levels, func(l bench.Level) bool { return l.OK > 0 }) {
		return nil
	}
	return errors.New("no request succeeded")
}

func (c *benchCmd) options() (*bench.Options, error) {
	if len(c.Concurrency) > 0 && len(c.Rate) > 0 {
		return nil, usage.Errorf("--concurrency is a closed loop and --rate an open one: give one of them")
	}
	var loads []bench.Load
	for _, rate := range c.Rate {
		if rate == 0 {
			return nil, usage.Errorf("--rate must be more than 0")
		}
		loads = append(loads, bench.Load{Rate: float64(rate)})
	}
	streams := c.Concurrency
	if len(loads) == 0 && len(streams) == 0 {
		streams = []count{1, 8, 16}
	}
	for _, n := range streams {
		loads = append(loads, bench.Load{Streams: int(n)})
	}
	prompt, answer := bench.Lengths{Mean: 128}, bench.Lengths{Mean: 128}
	if c.Mix == "sharegpt-like" {
		prompt = bench.Lengths{Mean: 161, Sigma: 1.3, Max: 1024}
		answer = bench.Lengths{Mean: 338, Sigma: 0.9, Max: 1024}
	}
	if c.PromptTokens != nil {
		prompt.Mean = *c.PromptTokens
	}
	if c.MaxTokens != nil {
		answer.Mean = *c.MaxTokens
	}
	form := bench.Form(c.Prompts)
	if c.Prompts == "auto" {
		form = map[string]bench.Form{"sluice": bench.TokenIDs, "openai": bench.Words}[c.Protocol]
	}
	options := &bench.Options{
		Loads: loads, Requests: c.Requests, Duration: c.Duration, Warmup: c.Warmup, MaxInFlight: c.MaxInFlight,
		Timeout: c.Timeout, SLO: bench.SLO{TTFT: c.SLOTTFT, ITL: c.SLOITL},
		Workload: bench.Workload{
			Seed: c.Seed, Prompt: prompt, Answer: answer, Prefix: c.SharedPrefix, Form: form,
			Vocabulary: cmp.Or(c.Vocabulary, 32000),
		},
	}
	if err := options.Validate(); err != nil {
		return nil, usage.Wrap(err)
	}
	if c.Temperature < 0 || c.Temperature > 2 {
		return nil, usage.Errorf("--temperature must be 0 to 2, not %g", c.Temperature)
	}
	return options, nil
}

// target connects and lets the options know the model's limits.
func (c *benchCmd) target(ctx context.Context, o *bench.Options) (bench.Target, bench.Info, func(), error) {
	if c.Protocol == "openai" {
		target, err := c.openAI(ctx)
		if err != nil {
			return nil, bench.Info{}, nil, err
		}
		info := bench.Info{Protocol: c.Protocol, Address: target.Base.Redacted(), Model: target.Model}
		return target, info, target.HTTP.CloseIdleConnections, nil
	}
	if c.URL != "" {
		return nil, bench.Info{}, nil, usage.Errorf("--url is for --protocol openai; sluice has --addr")
	}
	server, err := c.connect()
	if err != nil {
		return nil, bench.Info{}, nil, err
	}
	stop := func() { _ = server.Close() } // nothing is in flight
	model, err := server.Model(ctx, c.Model)
	if err == nil {
		if c.Vocabulary == 0 {
			o.Workload.Vocabulary = int(model.GetVocabSize())
		}
		err = fitContext(&o.Workload, int(model.GetContextLength()))
	}
	if err != nil {
		stop()
		return nil, bench.Info{}, nil, err
	}
	target := &bench.Sluice{Client: server, Model: c.Model, Sampling: c.sampling()}
	return target, bench.Info{Protocol: c.Protocol, Address: c.Addr, Model: model.GetName()}, stop, nil
}

// fitContext cuts drawn lengths to the context and refuses fixed ones that do not fit.
func fitContext(w *bench.Workload, context int) error {
	if context <= 0 { // the server does not say
		return nil
	}
	for _, l := range []*bench.Lengths{&w.Prompt, &w.Answer} {
		if l.Sigma > 0 {
			l.Max = max(min(l.Max, (context-w.Prefix)/2), 1)
		}
	}
	if longest := w.Longest(); longest > context {
		return usage.Errorf("prompts and answers of up to %d tokens do not fit the model's context of %d", longest, context)
	}
	return nil
}

func (c *benchCmd) openAI(ctx context.Context) (*bench.OpenAI, error) {
	if c.URL == "" {
		return nil, usage.Errorf("--protocol openai needs --url")
	}
	base, err := url.Parse(c.URL)
	if err != nil || base.Scheme != "http" && base.Scheme != "https" || base.Host == "" {
		return nil, usage.Errorf("--url %q is not http://HOST:PORT/PATH", c.URL)
	}
	if c.APIKey != "" && base.Scheme == "http" && !loopback.Host(base.Hostname()) {
		return nil, usage.Errorf("an API key needs https, since the address is not this machine's")
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if c.TLSCA != "" {
		pem, err := os.ReadFile(c.TLSCA)
		if err != nil {
			return nil, usage.Errorf("read certificate authorities: %w", err)
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(pem) {
			return nil, usage.Errorf("%s holds no PEM certificate", c.TLSCA)
		}
	}
	target := &bench.OpenAI{
		Base: base, HTTP: bench.NewHTTPClient(&http.Transport{TLSClientConfig: config}), Key: c.APIKey,
		Model: c.Model, Sampling: c.sampling(),
	}
	if target.Model == "" {
		ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
		defer cancel()
		target.Model, err = target.FirstModel(ctx)
	}
	return target, err
}

func (c *benchCmd) sampling() bench.Sampling {
	return bench.Sampling{Temperature: c.Temperature, IgnoreEOS: c.IgnoreEOS}
}

func (c *benchCmd) setting(o *bench.Options) bench.Setting {
	milliseconds := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1e3 }
	w := o.Workload
	return bench.Setting{
		Seed: w.Seed, Form: w.Form, Prompt: w.Prompt, Answer: w.Answer, SharedPrefix: w.Prefix,
		IgnoreEOS: c.IgnoreEOS, Temperature: c.Temperature,
		SLOTTFT: milliseconds(c.SLOTTFT), SLOITL: milliseconds(c.SLOITL),
	}
}

// writable says whether a file can be written, without changing one that is there. Empty: none is to be.
func writable(path string) error {
	if path == "" {
		return nil
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE, 0o644) //nolint:gosec // a report for whoever wants to read it
	if err != nil {
		return usage.Wrap(err)
	}
	return f.Close()
}

// write prints the report and writes its files.
func (c *benchCmd) write(p *process, report *bench.Report) error {
	return errors.Join(
		report.WriteTable(p.stdout),
		writeFile(c.JSON, func(w io.Writer) error {
			encoder := json.NewEncoder(w)
			encoder.SetIndent("", "  ")
			return encoder.Encode(report)
		}),
		writeFile(c.HTML, report.WriteHTML),
	)
}

func writeFile(path string, write func(io.Writer) error) error {
	if path == "" {
		return nil
	}
	f, err := os.Create(path)
	if err != nil {
		return err //nolint:wrapcheck // it names the file
	}
	return errors.Join(write(f), f.Close())
}
