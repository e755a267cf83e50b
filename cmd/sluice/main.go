// Sluice turns a model into a gRPC service on ONNX Runtime. This command sets up the cache, converts models, serves them, and is
// also a client of the server.
package main

import (
	"context"
	"errors"
	"os"

	"github.com/alecthomas/kong"
	kongcompletion "github.com/jotaen/kong-completion"

	"github.com/sluiceml/sluice/cmd/sluice/internal/usage"
)

// version is set by the linker in `make build`; a plain `go build` leaves it to the module's own version.
var version string

func main() {
	os.Exit(run(context.Background(), os.Args[1:], process{
		stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr, args: os.Args[1:],
	}))
}

// run is the program: it parses, runs one command and returns the exit code.
func run(ctx context.Context, args []string, p process) int {
	var line commandLine
	p.help = helpOf(nil)
	parser, err := newParser(&line, p)
	if err != nil {
		return p.report(err)
	}
	kongcompletion.Register(parser) // answers a shell's question and exits
	parsed, err := parser.Parse(args)
	if err != nil {
		if failed, ok := errors.AsType[*kong.ParseError](err); ok {
			p.help = helpOf(failed.Context)
		}
		return p.report(usage.Wrap(err))
	}
	p.help = helpOf(parsed)
	p.log = line.logger(p.stderr)
	if line.PrintConfig {
		return p.report(printConfig(p.stdout, parsed))
	}
	ctx, stop := untilInterrupted(ctx, parsed.Command())
	defer stop()
	p.stdin = &interruptible{ctx: ctx, from: p.stdin}
	parsed.BindTo(ctx, (*context.Context)(nil))
	return p.report(reachability(parsed, interruption(ctx, parsed.Run(&p, &line.loggingFlags, parsed))))
}

// newParser makes the parser of the command line. It exits the process for --help.
func newParser(line *commandLine, p process) (*kong.Kong, error) {
	return kong.New(line, append(parserOptions(), kong.Writers(p.stdout, p.stderr))...)
}
