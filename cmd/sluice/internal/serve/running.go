package serve

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/sluiceml/sluice/inference"
	"github.com/sluiceml/sluice/inference/engine"
)

// ErrInterrupted says that a second signal ended the server before its drain, or the loading of its models, was done.
var ErrInterrupted = errors.New("interrupted")

// errDrainTimeout says that calls were cut off.
var errDrainTimeout = errors.New("the drain took longer than --drain-timeout; calls were cut off")

// serve runs until a drain has finished, a second signal, or a failure. The end of the gRPC server, which
// already serves, comes from served.
func (a *App) serve(ctx context.Context, served <-chan error) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return <-served })
	group.Go(func() error {
		defer func() {
			a.serving.Store(false)
			a.manager.Close(ctx)
			a.server.Stop()
		}()
		a.turnServing()
		return a.superviseSignals(ctx)
	})
	return group.Wait() //nolint:wrapcheck // the members say what they are
}

// modelEnded is told of the end of each model. One that failed leaves the others to serve; the last one ends the server.
func (a *App) modelEnded(name string, err error) {
	if e, found := a.registry.Find(name); found != nil || e.Leaving {
		a.telemetry.RemoveModel(name)
	}
	a.server.UpdateHealth()
	a.freeMemory()
	if err == nil {
		a.log.Info("a model has ended, and its memory was given back", "model", name)
		return
	}
	a.log.Error("a model failed", "model", name, "error", err.Error())
	for _, e := range a.registry.Entries() {
		if e.State() != inference.StateFailed {
			return
		}
	}
	select {
	case a.failed <- err:
	default: // another one has said so
	}
}

// freeMemory gives what Go's heap does not need back to the system: loading leaves it large, and a swap is two models' worth
// of it. It takes a collection, which a server that drains does without: the process ends anyway.
func (a *App) freeMemory() {
	if a.serving.Load() {
		debug.FreeOSMemory()
	}
}

// turnServing says where the server listens, and turns SERVING.
func (a *App) turnServing() {
	a.serving.Store(true)
	a.server.SetServing(true)
	attrs := []any{"grpc_addr", a.grpc.Addr().String()}
	if a.http != nil {
		attrs = append(attrs, "http_addr", a.http.Addr())
	}
	a.log.Info("serving", attrs...)
	a.access.Warn(a.grpc.Addr())
}

// drainTime bounds the two parts of a drain.
type drainTime struct{ delay, timeout time.Duration }

// apply puts the options in force that change while the server runs.
func (a *App) apply(flags *Flags) {
	a.drainTime.Store(&drainTime{delay: flags.DrainDelay, timeout: flags.DrainTimeout})
	a.queue.Store(&engine.Queue{
		Requests: flags.Models.Queue, Tokens: flags.Models.QueueTokens, Time: flags.Models.QueueTime,
	})
	a.httpConnections.Store(int64(flags.Access.MaxConnections))
	if a.server == nil {
		return
	}
	a.server.SetDrainDelay(flags.DrainDelay)
	a.server.SetMaxConnections(flags.Access.MaxConnections)
	a.server.SetMaxRequestDuration(flags.MaxRequestDuration)
	for _, e := range a.registry.Entries() {
		a.limit(e.Model)
	}
}

// limit puts the limits of the queue in force for a model. It is called once a model is in the registry, so that a reload
// at that moment is not lost.
func (a *App) limit(m *inference.Model) {
	if m != nil {
		m.SetQueue(*a.queue.Load())
	}
}

// superviseSignals waits for a signal to drain and drains.
func (a *App) superviseSignals(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-a.failed:
			return err
		case s := <-a.signals:
			if s == syscall.SIGHUP {
				a.reload(a.apply)
				a.access.Reload()
				continue
			}
			return a.drain(ctx, s)
		}
	}
}

// drain takes the server out of service without breaking a call. The second signal ends that at once.
func (a *App) drain(ctx context.Context, first os.Signal) error {
	times := a.drainTime.Load()
	a.log.Info("draining", "signal", first.String(), "delay", times.delay.String(), "timeout", times.timeout.String())
	a.serving.Store(false)
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	timeout := time.AfterFunc(times.delay+times.timeout, func() { cancel(errDrainTimeout) })
	defer timeout.Stop()
	go func() {
		for {
			select {
			case <-ctx.Done():
				return
			case s := <-a.signals:
				if s != syscall.SIGHUP {
					cancel(ErrInterrupted)
				}
			}
		}
	}()
	if err := a.server.Shutdown(ctx); err != nil {
		return fmt.Errorf("drain: %w", errors.Join(context.Cause(ctx), err))
	}
	a.log.Info("drained")
	return nil
}
