package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/sluiceml/sluice/inference"
	"github.com/sluiceml/sluice/inference/ort"
)

// servedModels is the registry as the server sees it, which serves before the models are loaded: until then they are
// unavailable. It implements server.Registry.
type servedModels struct {
	names  []string // of the models to come
	loaded atomic.Pointer[inference.Registry]
}

// retryLoading is what a client is told to wait for a model that is being loaded.
const retryLoading = 2 * time.Second

// Model implements server.Registry.
func (s *servedModels) Model(name string) (*inference.Model, error) {
	if registry := s.loaded.Load(); registry != nil {
		return registry.Model(name) //nolint:wrapcheck // this is that registry
	}
	if name == "" || name == "default" || slices.Contains(s.names, name) {
		return nil, &inference.UnavailableError{Reason: inference.ReasonLoading, RetryAfter: retryLoading}
	}
	return nil, &inference.NotFoundError{Model: name}
}

// Models implements server.Registry: none until all are loaded.
func (s *servedModels) Models() []*inference.Model {
	if registry := s.loaded.Load(); registry != nil {
		return registry.Models()
	}
	return nil
}

// errStopped says that a signal came before the models were loaded. There was nothing to drain, so it is no failure.
var errStopped = errors.New("stopped while loading")

// load loads the models while the server already answers that it does. The first signal ends it as soon as the session
// that is being opened is open, which cannot be cut short; the second one abandons that too.
func (a *app) load(ctx context.Context, folders []namedFolder, library string, undo *closers) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var opened closers // the loading's until it has ended
	ended := make(chan error, 1)
	go func() { ended <- a.loadAll(ctx, folders, library, &opened) }()
	for {
		select {
		case err := <-ended:
			undo.add(opened.closeAll)
			return err
		case s := <-a.signals:
			switch {
			case s == syscall.SIGHUP:
				a.reload()
				a.security.reload()
			case ctx.Err() != nil:
				return errInterrupted
			default:
				a.log.Info("stopping before the models are loaded", "signal", s.String())
				cancel(errStopped)
			}
		}
	}
}

func (a *app) loadAll(ctx context.Context, folders []namedFolder, library string, undo *closers) error {
	started := time.Now()
	environment, err := ort.OpenEnvironment(library)
	if err != nil {
		return err //nolint:wrapcheck // it names the library
	}
	undo.add(environment.Close)
	if err := a.loadModels(ctx, folders, environment, undo); err != nil {
		return err
	}
	a.log.Info("loaded", "onnxruntime", environment.Version(), "models", len(folders), "took", time.Since(started).Round(time.Millisecond).String())
	return nil
}

// loadModels makes the registry: of each folder a tokenizer, a template, and a session and an engine per device.
func (a *app) loadModels(ctx context.Context, folders []namedFolder, environment *ort.Environment, undo *closers) error {
	models := make([]*inference.Model, len(folders))
	for i, f := range folders {
		m, err := a.loadModel(ctx, f, environment, undo)
		if err != nil {
			return fmt.Errorf("model %q: %w", f.name, err)
		}
		models[i] = m
	}
	if ctx.Err() != nil { // the last one took long
		return context.Cause(ctx) //nolint:wrapcheck // our own
	}
	registry, err := inference.NewRegistry(models...)
	if err != nil {
		return err
	}
	a.registry = registry
	a.models.loaded.Store(registry)
	return nil
}
