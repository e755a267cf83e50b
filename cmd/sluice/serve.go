package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kong"

	"github.com/sluiceml/sluice/cmd/sluice/internal/serve"
)

// serveCmd is `sluice serve`; package serve does the work.
//
// The flags are a field with a name: of an embedded one kong would find Validate twice, on the flags and promoted to the command.
type serveCmd struct {
	Flags serve.Flags `embed:""`
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

// Run serves until a signal.
func (c *serveCmd) Run(ctx context.Context, p *process, logging *loggingFlags, parsed *kong.Context) error {
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer signal.Stop(signals)
	r := &reloader{process: p, logging: logging, running: settings(parsed)}
	return serve.New(serve.Config{
		Flags: &c.Flags, Logger: p.log, Level: logging.level, Signals: signals, Reload: r.reload, Build: build(),
	}).Run(ctx)
}
