package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"

	rpccode "google.golang.org/genproto/googleapis/rpc/code"
	"google.golang.org/grpc/codes"

	client "github.com/sluiceml/sluice/clients/go"
	"github.com/sluiceml/sluice/cmd/sluice/internal/serve"
	"github.com/sluiceml/sluice/cmd/sluice/internal/setup"
	"github.com/sluiceml/sluice/cmd/sluice/internal/usage"
)

// The exit codes are part of the contract.
const (
	exitOK          = 0
	exitFailed      = 1
	exitUsage       = 2
	exitNotSetUp    = 3
	exitRefused     = 4
	exitInterrupted = 130
)

// report prints an error for people and returns the exit code.
func (p *process) report(err error) int {
	code := exitCode(err)
	text := ""
	if err != nil { // the client's errors begin with the program's name as well
		text = strings.TrimPrefix(err.Error(), "sluice: ")
	}
	switch code {
	case exitOK:
	case exitInterrupted:
		p.complainf("sluice: interrupted\n")
	case exitRefused:
		p.reportRefusal(err)
	case exitUsage:
		p.complainf("sluice: %s\nTry: %s --help\n", text, p.help)
	default:
		p.complainf("sluice: %s\n", text)
	}
	return code
}

func exitCode(err error) int {
	var misuse *usage.Error
	var missing *setup.NotSetUpError
	var refusal *client.Error
	switch {
	case err == nil:
		return exitOK
	case errors.Is(err, errInterrupted), errors.Is(err, serve.ErrInterrupted):
		return exitInterrupted
	case errors.As(err, &misuse):
		return exitUsage
	case errors.As(err, &missing):
		return exitNotSetUp
	case errors.As(err, &refusal):
		return exitRefused
	default:
		return exitFailed
	}
}

// complainf writes to stderr. If that fails, nobody is left to tell.
func (p *process) complainf(format string, args ...any) {
	_, _ = fmt.Fprintf(p.stderr, format, args...)
}

// reportRefusal prints a server's status with what it says about the request.
func (p *process) reportRefusal(err error) {
	refusal, _ := errors.AsType[*client.Error](err)
	p.complainf("sluice: %s: %s\n", rpccode.Code(refusal.Code()), refusal.Message()) // as the protocol writes it: INVALID_ARGUMENT
	for _, v := range refusal.FieldViolations() {
		p.complainf("  %s: %s\n", v.GetField(), v.GetDescription())
	}
	if reason := refusal.Reason(); reason != "" {
		p.complainf("  reason: %s\n", reason)
	}
	if resource := refusal.Resource(); resource != "" {
		label := "resource"
		if refusal.Code() == codes.NotFound {
			label = "not found"
		}
		p.complainf("  %s: %s\n", label, resource)
	}
	if wait, ok := refusal.RetryAfter(); ok {
		p.complainf("  retry after: %s\n", wait)
	}
}

// errInterrupted says that a signal ended a command before its work was done.
var errInterrupted = errors.New("interrupted")

// untilInterrupted is a context that ends with the first SIGINT or SIGTERM; the second ends the process at once, as it
// does without us. The server takes its signals itself: the first one begins its drain. So does a conversation, where one
// stops an answer.
func untilInterrupted(ctx context.Context, command string) (context.Context, context.CancelFunc) {
	if command == "serve" || command == "chat" {
		return ctx, func() {}
	}
	ctx, cancel := context.WithCancelCause(ctx)
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		select {
		case <-signals:
			signal.Stop(signals)
			cancel(errInterrupted)
		case <-ctx.Done():
		}
	}()
	return ctx, func() {
		signal.Stop(signals)
		cancel(nil)
	}
}

// interruption is err, or that the command was interrupted if that is why it failed.
func interruption(ctx context.Context, err error) error {
	if err != nil && errors.Is(context.Cause(ctx), errInterrupted) {
		return errInterrupted
	}
	return err
}
