package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/alecthomas/kong"

	"github.com/sluiceml/sluice/cmd/sluice/internal/access"
	"github.com/sluiceml/sluice/inference/ort"
	"github.com/sluiceml/sluice/server/gateway"
)

type serveCmd struct {
	GRPCAddr    string      `help:"Address of the gRPC server; port 0 takes a free one." name:"grpc-addr" default:":50051" placeholder:"HOST:PORT"`
	HTTPAddr    string      `help:"Address of HTTP: /livez, /readyz, /metrics and, unless --no-gateway, the OpenAI-compatible and JSON routes and the playground at /; empty: none." name:"http-addr" default:":8080" placeholder:"HOST:PORT"`
	NoGateway   bool        `help:"Serve nothing but probes and metrics by HTTP."`
	CORSOrigin  []string    `help:"Origin whose pages may call the HTTP address from a browser, such as https://example.org, or * for any; repeatable. Without one only pages that come from the address itself may." name:"cors-origin" placeholder:"ORIGIN"`
	HTTPHost    []string    `help:"Name by which clients may call the HTTP address, such as models.example.org, or * for any; repeatable. Looked at only where anyone may call (without --tls-cert, and without --api-keys or where that file opens more than health and metrics), since another site's page could then do so by a name of its own; addresses, localhost, the machine's own name and that of --http-addr are always taken and, unless it is a loopback address, names without a dot, those below local, internal, home.arpa and svc, and those of the cluster's services." name:"http-host" placeholder:"NAME"`
	AdminAddr   string      `help:"Address of the operators' port: pprof, the log level and admin RPCs; empty: none. Without --api-keys or --tls-client-ca, keep it on a loopback address." name:"admin-addr" placeholder:"HOST:PORT"`
	Model       []modelFlag `help:"Model to serve; repeatable, the first is the default. Without one: those of --models-dir, else the cache's." sep:";" placeholder:"NAME=DIR"`
	Alias       []aliasFlag `help:"Another name for a model of the server; repeatable. \"default\" makes it the default model." sep:";" placeholder:"ALIAS=NAME"`
	ModelStore  string      `help:"Folder of model folders that LoadModel, on --admin-addr, may load from by name; empty: none." placeholder:"DIR"`
	ExitOnError bool        `help:"Fail to start when a model cannot be loaded, instead of serving the others." default:"true" negatable:""`
	ModelsDir   string      `help:"Without --model, serve every model folder in DIR by its folder's name, or DIR itself if it is one." placeholder:"DIR"`
	Device      []string    `help:"Where to run each model: cpu, cpu:threads=N, cuda:0 or cuda:0,1. Repeatable: one replica of each model per device. On the CPU they share the weights, and the cores where no threads=N says how many each has." sep:";" default:"cpu" placeholder:"DEVICE"`

	NoPlayground bool `help:"Leave out the page at / of the HTTP address, on which people try the server in a browser."`

	Slots            int `help:"Sequences that a replica runs at once." default:"32" placeholder:"N"`
	Queue            int `help:"Requests that may wait for a slot of a replica." default:"256" placeholder:"N"`
	QueueTokens      int `help:"Tokens that the prompts of the requests that wait may have together; 0: any number." default:"262144" placeholder:"N"`
	MaxContext       int `help:"Most tokens that prompt and output share; 0: what the model was made for." default:"0" placeholder:"N"`
	ChunkTokens      int `help:"Most tokens of a prompt in one step: fewer keep running streams smoother, more fill prompts faster." default:"128" placeholder:"N"`
	RidingTokens     int `help:"Most tokens of each prompt in one step while others generate, so that they hardly slow down; 0: by the measured speed, so that streams wait at most 1.5 times as long for a token, or 32 for a model whose graph runs the two one after the other." default:"0" placeholder:"N"`
	MaxStepMs        int `help:"Milliseconds that a step with prompts is meant to take at most while others generate, by the measured speed and without --riding-tokens; 0: as --riding-tokens says." name:"max-step-ms" default:"0" placeholder:"N"`
	DefaultMaxTokens int `help:"max_tokens of a request that sets none, for a model whose generation_config.json has no max_new_tokens." default:"256" placeholder:"N"`
	MaxOutputs       int `help:"Outputs that one request may ask for (sampling.n)." default:"16" placeholder:"N"`

	ToolCallFormat  []formatFlag `help:"How a model calls tools: a format that docs/chat.md lists (hermes, llama3, mistral, qwen3-coder …) or none; repeatable. By default its chat templates and tokens tell." sep:";" placeholder:"NAME=FORMAT"`
	ReasoningFormat []formatFlag `help:"How a model reasons before it answers: think, cohere, mistral, seed, gemma, harmony or none; repeatable. By default its chat templates and tokens tell." sep:";" placeholder:"NAME=FORMAT"`

	QueueTime time.Duration `help:"Longest time that a request may expect to wait for a slot, by the speed at which requests were served lately; one that would wait longer is refused at once. 0: any time." default:"0s" placeholder:"DURATION"`

	NoSpeculation bool   `help:"Do not guess next tokens from what a request repeats. Guessing never changes them; it needs Sluice's kernels, or a model of the form row8 and a request that runs alone."`
	DraftModel    string `help:"Folder of a smaller model with the same vocabulary, whose guesses of next tokens the served models check, several in a step, where nothing that they repeat tells and by the measured speed it pays. It never changes the tokens, takes memory for weights, keys and values of its own, and needs Sluice's kernels." placeholder:"DIR"`
	NoKernels     bool   `help:"Leave all of a model's work to ONNX Runtime's own operators. Without it, Sluice's kernels multiply weights of 4 and 8 bits and attend where the processor has AVX-512 VNNI."`

	KVCacheBytes     byteSize  `help:"Memory of a replica for keys and values, the prefix cache's included. Requests that outgrow it pause and start over, with the same tokens. 0: half of what the machine or the control group has, shared by the replicas." name:"kv-cache-bytes" default:"0" placeholder:"BYTES"`
	PrefixCacheBytes *byteSize `help:"Memory in which a replica keeps the keys and values of earlier prompts, for prompts that begin alike; at most half of the memory for keys and values. 0: none. By default that of 2048 tokens: conversations that go on for long want more." placeholder:"BYTES"`

	DrainDelay   time.Duration `help:"How long to go on taking calls after turning NOT_SERVING, for load balancers to notice." default:"2s" placeholder:"DURATION"`
	DrainTimeout time.Duration `help:"How long running calls may then take before they are cut off." default:"30s" placeholder:"DURATION"`

	MaxRequestDuration    time.Duration `help:"Longest time that a call may take, whatever its deadline; 0: any." default:"0s" placeholder:"DURATION"`
	ReaderTimeout         time.Duration `help:"How long a client may leave output unread before its request loses its slot." default:"30s" placeholder:"DURATION"`
	MaxConnectionAge      time.Duration `help:"Age at which a connection is told to go elsewhere, so that load spreads; 0: never." default:"0s" placeholder:"DURATION"`
	MaxConnectionAgeGrace time.Duration `help:"How long the calls of such a connection may then take; 0: any time." default:"0s" placeholder:"DURATION"`
	NoReflection          bool          `help:"Leave out what describes the services: gRPC reflection and, by HTTP, /openapi.json."`

	Access access.Flags `embed:""`

	TraceFile string `help:"Append traces to a file, one OTLP/JSON TracesData a line." placeholder:"FILE"`

	RecordContent bool `help:"Put the texts of prompts and answers into the spans of sampled requests. Without it no text of a request leaves in telemetry; logs and metrics never have any."`

	ONNXRuntime string `help:"ONNX Runtime library to load instead of the cache's." name:"onnxruntime" placeholder:"FILE"`
}

// Help implements kong.HelpProvider.
func (serveCmd) Help() string {
	return `Serves sluice.v1, grpc.health.v1 and reflection. Never downloads anything: without ONNX Runtime or a model it exits 3.

SIGTERM and SIGINT drain: health turns NOT_SERVING, running calls finish, the exit code is 0. A second signal stops at
once with 130. SIGHUP reads the configuration file again; the log level, the times of a drain and the limits of the queue,
of connections and of a call's duration change at once, other changes are named as needing a restart. Certificates and the file of API keys are read again by SIGHUP, and by themselves when they change.
Traces and metrics go where the standard OTEL_ variables say, and nowhere without them. OTLP is http/protobuf, on a
collector's port 4318, unless OTEL_EXPORTER_OTLP_PROTOCOL is grpc, whose port is 4317.

Examples:

  sluice serve
  sluice serve --model small=models/small --model large=models/large --device cpu:threads=8
  sluice serve --models-dir ./models
  sluice serve --grpc-addr 127.0.0.1:0 --http-addr "" --log-format json
  OTEL_EXPORTER_OTLP_ENDPOINT=http://localhost:4318 sluice serve
  sluice serve --config sluice.yaml --print-config`
}

// Validate implements kong.Validatable: every fault, by option.
func (c *serveCmd) Validate() error {
	var faults []error
	need := func(ok bool, format string, args ...any) {
		if !ok {
			faults = append(faults, fmt.Errorf(format, args...))
		}
	}
	for _, origin := range c.CORSOrigin {
		if err := gateway.CheckOrigin(origin); err != nil {
			faults = append(faults, fmt.Errorf("--cors-origin: %w", err))
		}
	}
	need(len(c.CORSOrigin) == 0 || !c.NoGateway, "--cors-origin and --no-gateway exclude each other")
	for _, name := range c.HTTPHost {
		if _, err := gateway.ParseHost(name); err != nil {
			faults = append(faults, fmt.Errorf("--http-host: %w", err))
		}
	}
	need(len(c.HTTPHost) == 0 || !c.NoGateway, "--http-host and --no-gateway exclude each other")
	need(c.Slots >= 1, "--slots must be at least 1, not %d", c.Slots)
	need(c.Queue >= 1, "--queue must be at least 1, not %d", c.Queue)
	need(c.QueueTokens >= 0, "--queue-tokens must be at least 0, not %d", c.QueueTokens)
	need(c.QueueTime >= 0, "--queue-time must not be negative")
	need(c.RidingTokens >= 0, "--riding-tokens must be at least 0, not %d", c.RidingTokens)
	need(c.MaxStepMs >= 0, "--max-step-ms must be at least 0, not %d", c.MaxStepMs)
	need(c.MaxStepMs == 0 || c.RidingTokens == 0, "--max-step-ms and --riding-tokens exclude each other")
	need(c.MaxContext == 0 || c.MaxContext >= 2, "--max-context must be 0 or at least 2, not %d", c.MaxContext)
	need(c.ChunkTokens >= 1, "--chunk-tokens must be at least 1, not %d", c.ChunkTokens)
	need(c.DefaultMaxTokens >= 1, "--default-max-tokens must be at least 1, not %d", c.DefaultMaxTokens)
	need(c.MaxOutputs >= 1, "--max-outputs must be at least 1, not %d", c.MaxOutputs)
	need(c.DrainDelay >= 0, "--drain-delay must not be negative")
	need(c.DrainTimeout >= 0, "--drain-timeout must not be negative")
	need(c.MaxRequestDuration >= 0, "--max-request-duration must not be negative")
	need(c.ReaderTimeout > 0, "--reader-timeout must be more than 0")
	need(c.MaxConnectionAge >= 0, "--max-connection-age must not be negative")
	need(c.MaxConnectionAgeGrace >= 0, "--max-connection-age-grace must not be negative")
	faults = append(faults, c.Access.Check()...)
	need(len(c.Device) > 0, "--device is empty")
	for _, spec := range c.Device {
		_, err := ort.ParseDevices(spec)
		need(err == nil, "--device: %w", err)
	}
	need(c.DraftModel == "" || !c.NoSpeculation, "--draft-model is of no use with --no-speculation")
	names := map[string]bool{}
	for _, m := range c.Model {
		need(!names[m.name], "--model: the name %q is used twice", m.name)
		names[m.name] = true
	}
	for _, alias := range c.Alias {
		need(len(c.Model) == 0 || names[alias.name], "--alias: no --model is named %q", alias.name)
		need(!names[alias.alias], "--alias: %q is the name of a model", alias.alias)
	}
	return errors.Join(faults...)
}

// devices are where each model's replicas go.
func (c *serveCmd) devices() []ort.Device {
	var devices []ort.Device
	for _, spec := range c.Device {
		parsed, _ := ort.ParseDevices(spec) // Validate has looked
		devices = append(devices, parsed...)
	}
	return ort.DivideCores(devices)
}

// Run serves until a signal.
func (c *serveCmd) Run(ctx context.Context, p *process, logging *loggingFlags, parsed *kong.Context) error {
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer signal.Stop(signals)
	a := &app{
		options: c,
		log:     p.log,
		level:   logging.level,
		signals: signals,
	}
	a.apply(c)
	a.reload = (&reloader{process: p, logging: logging, running: settings(parsed), apply: a.apply}).reload
	return a.run(ctx)
}
