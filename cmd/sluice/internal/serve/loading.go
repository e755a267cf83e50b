package serve

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"time"

	"github.com/sluiceml/sluice/cmd/sluice/internal/cleanup"
	"github.com/sluiceml/sluice/cmd/sluice/internal/models"
	"github.com/sluiceml/sluice/cmd/sluice/internal/usage"
	"github.com/sluiceml/sluice/inference"
	"github.com/sluiceml/sluice/inference/engine"
	"github.com/sluiceml/sluice/inference/ort"
)

// announce makes the registry of the models to come, which are unavailable until they are loaded.
func (a *App) announce(folders []folderToServe) error {
	registry, err := inference.NewRegistry()
	if err != nil {
		return err
	}
	a.registry, a.failed = registry, make(chan error, 1)
	a.loader = &models.Loader{
		Flags: &a.flags.Models, ReaderTimeout: a.flags.ReaderTimeout, RecordContent: a.flags.RecordContent,
		Sharers: len(folders), Queue: func() engine.Queue { return *a.queue.Load() },
		Logger: a.log, TracerProvider: a.telemetry.Tracers, MeterProvider: a.telemetry.Meters,
	}
	a.manager = inference.NewManager(inference.ManagerConfig{
		Registry:     registry,
		DrainTimeout: func() time.Duration { return a.drainTime.Load().timeout },
		OnEnd:        a.modelEnded,
	})
	for _, f := range folders {
		if err := a.manager.Expect(f.Name); err != nil {
			return usage.Errorf("--model: %w", err)
		}
	}
	return nil
}

// errStopped says that a signal came before the models were loaded. There was nothing to drain, so it is no failure.
var errStopped = errors.New("stopped while loading")

// load loads the models while the server already answers that it does. The first signal ends it as soon as the session
// that is being opened is open, which cannot be cut short; the second one abandons that too.
func (a *App) load(ctx context.Context, folders []folderToServe, library string, undo *cleanup.Stack) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var opened cleanup.Stack // the loading's until it has ended
	ended := make(chan error, 1)
	go func() { ended <- a.loadAll(ctx, folders, library, &opened) }()
	for {
		select {
		case err := <-ended:
			undo.Add(opened.Close)
			return err
		case s := <-a.signals:
			switch {
			case s == syscall.SIGHUP:
				a.reload(a.apply)
				a.access.Reload()
			case ctx.Err() != nil:
				return ErrInterrupted
			default:
				a.log.Info("stopping before the models are loaded", "signal", s.String())
				cancel(errStopped)
			}
		}
	}
}

func (a *App) loadAll(ctx context.Context, folders []folderToServe, library string, undo *cleanup.Stack) error {
	started := time.Now()
	environment, err := ort.OpenEnvironment(library)
	if err != nil {
		return err //nolint:wrapcheck // it names the library
	}
	undo.Add(environment.Close)
	a.runtime.Store(environment)
	undo.Add(func() error { //nolint:contextcheck // ctx has ended by then
		ended, cancel := context.WithCancel(context.Background())
		cancel()
		a.manager.Close(ended)
		return nil
	})
	loaded, err := a.loadAllFirst(ctx, folders)
	if err != nil {
		return err
	}
	a.log.Info("loaded", "onnxruntime", environment.Version(), "models", loaded, "took", time.Since(started).Round(time.Millisecond).String())
	return nil
}

// loadAllFirst loads the models that the server is started with, and says how many serve.
func (a *App) loadAllFirst(ctx context.Context, folders []folderToServe) (loaded int, err error) {
	for _, f := range folders {
		err := f.err
		if err == nil {
			err = a.loadFirst(ctx, f)
		}
		switch {
		case ctx.Err() != nil:
			return 0, context.Cause(ctx) //nolint:wrapcheck // our own
		case err != nil && (a.flags.ExitOnError || len(folders) == 1):
			return 0, err
		case err != nil:
			a.log.Error("a model cannot be served; the server goes on without it", "model", f.Name, "error", err.Error())
			if err := a.manager.Fail(f.Name); err != nil {
				return 0, err
			}
		default:
			loaded++
		}
	}
	if loaded == 0 {
		return 0, errors.New("no model could be loaded")
	}
	return loaded, nil
}

// loadFirst loads a model that the server is started with.
func (a *App) loadFirst(ctx context.Context, f folderToServe) error {
	var aliases []string
	for _, alias := range a.flags.Alias {
		if alias.name == f.Name {
			aliases = append(aliases, alias.alias)
		}
	}
	entry, err := a.manager.Load(ctx, inference.LoadRequest{Name: f.Name, Aliases: aliases, Open: a.opener(f.Folder)})
	if err != nil {
		return fmt.Errorf("model %q: %w", f.Name, err)
	}
	a.limit(entry.Model)
	a.telemetry.AddModel(f.Name, entry.Model.Stats)
	return nil
}

// opener makes the model of a folder.
func (a *App) opener(f models.Folder) func(context.Context, *inference.Model) (inference.Opened, error) {
	return func(ctx context.Context, replaces *inference.Model) (inference.Opened, error) {
		environment := a.runtime.Load()
		if environment == nil {
			return inference.Opened{}, &inference.UnavailableError{Reason: inference.ReasonLoading}
		}
		return a.loader.Load(ctx, environment, f, replaces)
	}
}
