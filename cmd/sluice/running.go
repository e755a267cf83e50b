package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/sluiceml/sluice/inference"
)

// errDrainTimeout says that calls were cut off.
var errDrainTimeout = errors.New("the drain took longer than --drain-timeout; calls were cut off")

// serve runs the models until a drain has finished, a second signal, or a failure. The end of the gRPC server, which
// already serves, comes from served.
func (a *app) serve(ctx context.Context, served <-chan error) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return <-served })
	var models sync.WaitGroup
	var failed modelFailures
	for _, m := range a.registry.Models() {
		models.Add(1)
		group.Go(func() error {
			defer models.Done()
			err := m.Run(ctx)
			a.server.UpdateHealth()
			return failed.add(a, m.Info().Name, err)
		})
	}
	group.Go(func() error {
		defer func() {
			a.serving.Store(false)
			a.registry.Drain()
			models.Wait()
			a.server.Stop()
		}()
		if err := a.waitReady(ctx); err != nil {
			return err
		}
		return a.superviseSignals(ctx)
	})
	return group.Wait() //nolint:wrapcheck // the members say what they are
}

// modelFailures counts the models that have failed.
type modelFailures struct {
	mu     sync.Mutex
	errors []error
}

// add notes the end of a model. One failed model leaves the others to serve; the last one ends the server.
func (f *modelFailures) add(a *app, name string, err error) error {
	if err == nil {
		return nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.errors = append(f.errors, err)
	a.log.Error("a model failed", "model", name, "error", err.Error())
	if len(f.errors) < len(a.registry.Models()) {
		return nil
	}
	return errors.Join(f.errors...)
}

// waitReady waits for the models to run, says where the server listens, and turns SERVING.
func (a *app) waitReady(ctx context.Context) error {
	ticker := time.NewTicker(time.Millisecond)
	defer ticker.Stop()
	for a.loading() {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
	a.serving.Store(true)
	a.server.SetServing(true)
	attrs := []any{"grpc_addr", a.grpc.Addr().String()}
	if a.http != nil {
		attrs = append(attrs, "http_addr", a.http.addr())
	}
	a.log.Info("serving", attrs...)
	a.security.warn(a.grpc.Addr())
	return nil
}

func (a *app) loading() bool {
	for _, m := range a.registry.Models() {
		if m.State() == inference.StateLoading {
			return true
		}
	}
	return false
}

// superviseSignals waits for a signal to drain and drains.
func (a *app) superviseSignals(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case s := <-a.signals:
			if s == syscall.SIGHUP {
				a.reload()
				a.security.reload()
				continue
			}
			return a.drain(ctx, s)
		}
	}
}

// drain takes the server out of service without breaking a call. The second signal ends that at once.
func (a *app) drain(ctx context.Context, first os.Signal) error {
	a.log.Info("draining", "signal", first.String(), "delay", a.options.DrainDelay.String(), "timeout", a.options.DrainTimeout.String())
	a.serving.Store(false)
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	timeout := time.AfterFunc(a.options.DrainDelay+a.options.DrainTimeout, func() { cancel(errDrainTimeout) })
	defer timeout.Stop()
	go func() {
		for {
			select {
			case <-ctx.Done():
				return
			case s := <-a.signals:
				if s != syscall.SIGHUP {
					cancel(errInterrupted)
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
