package main

import (
	"context"
	"log/slog"
	"os"
	"os/signal"
	"slices"
	"strings"
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
	return `Serves sluice.v1, grpc.health.v1 and reflection. It never downloads anything: without ONNX Runtime or a model it exits
with status 3.

SIGTERM and SIGINT drain the server: health turns NOT_SERVING, running calls finish, and the exit code is 0. A second
signal stops it at once with exit code 130. SIGHUP reloads the configuration file: the log level, the drain times and the
limits on the queue, on connections and on a call's duration change at once, and the log names the other changes, which
need a restart. Certificates and the file of API keys are reloaded on SIGHUP, and whenever they change.

The standard OTEL_ variables say where traces and metrics go; without them they go nowhere. OTLP uses http/protobuf, to
port 4318 of a collector, unless OTEL_EXPORTER_OTLP_PROTOCOL is grpc, which uses port 4317.

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
	warnOfVariables(p.log, parsed, os.Environ())
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer signal.Stop(signals)
	r := &reloader{process: p, logging: logging, running: settings(parsed)}
	return serve.New(serve.Config{
		Flags: &c.Flags, Logger: p.log, Level: logging.level, Signals: signals, Reload: r.reload, Build: build(),
	}).Run(ctx)
}

// warnOfVariables names variables that are no option's but are written much like one: nothing else would say that they have no
// effect. What only begins like ours is somebody else's, such as those that Kubernetes makes of a service called sluice.
func warnOfVariables(log *slog.Logger, parsed *kong.Context, environment []string) {
	const prefix = "SLUICE_"
	known := []string{"HOME"} // without the prefix: those of any command
	err := kong.Visit(parsed.Model.Node, func(node kong.Visitable, next kong.Next) error {
		if flag, ok := node.(*kong.Flag); ok {
			for _, name := range flag.Envs {
				known = append(known, strings.TrimPrefix(name, prefix))
			}
		}
		return next(nil)
	})
	if err != nil { // of next, which gives none
		return
	}
	var ours []string
	for _, flag := range parsed.Flags() {
		for _, name := range flag.Envs {
			ours = append(ours, strings.TrimPrefix(name, prefix))
		}
	}
	for _, entry := range environment {
		variable, _, _ := strings.Cut(entry, "=")
		name, has := strings.CutPrefix(variable, prefix)
		if !has || slices.Contains(known, name) {
			continue
		}
		if meant := nearest(name, ours); meant != "" {
			log.Warn("this variable has no effect: no option has that name", "variable", variable, "resembles", prefix+meant)
		}
	}
}
