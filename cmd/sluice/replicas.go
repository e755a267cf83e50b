package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/sluiceml/sluice/cmd/sluice/internal/cleanup"
	"github.com/sluiceml/sluice/inference"
	"github.com/sluiceml/sluice/inference/engine"
	"github.com/sluiceml/sluice/inference/ort"
)

// shareWeights maps the weights of a model for its replicas on the CPU. One alone has its own: nil.
func shareWeights(f namedFolder, environment *ort.Environment, devices []ort.Device, undo *cleanup.Stack) (*ort.Weights, error) {
	onCPU := 0
	for _, d := range devices {
		if d.Provider == ort.CPU {
			onCPU++
		}
	}
	if onCPU < 2 || f.folder.Manifest.Graph.Masked != nil { // of another exporter's graph, each session has its own
		return nil, nil //nolint:nilnil // nil is the value of ort.Config for weights of one's own
	}
	weights, err := environment.ShareWeights(f.folder.ModelPath, f.folder.Manifest.Graph)
	if err != nil {
		return nil, err //nolint:wrapcheck // it names the model
	}
	undo.Add(weights.Close)
	return weights, nil
}

// loadReplicas opens a session and makes an engine on each device. On the CPU they share the weights, unless this
// processor's kernels cannot.
func (a *app) loadReplicas(
	ctx context.Context, f namedFolder, environment *ort.Environment, length int, undo *cleanup.Stack,
) ([]inference.Replica, error) {
	load := func(share bool) (replicas []inference.Replica, err error) {
		var opened cleanup.Stack
		defer func() {
			if err != nil {
				opened.CloseInto(&err)
				return
			}
			undo.Add(opened.Close)
		}()
		var weights *ort.Weights
		if share {
			if weights, err = shareWeights(f, environment, a.options.devices(), &opened); err != nil {
				return nil, err
			}
		}
		return a.openReplicas(ctx, f, environment, length, weights, &opened)
	}
	replicas, err := load(true)
	if errors.Is(err, ort.ErrSharing) {
		a.log.Warn("the replicas cannot share their weights on this processor: each has a copy", "model", f.name)
		return load(false)
	}
	return replicas, err
}

// renewed makes a replica's engine anew, on the models that its session and that of its draft model, if it has one, have loaded.
func renewed(config engine.Config, session, draft *ort.Session) func(context.Context) (*engine.Engine, error) {
	return func(context.Context) (*engine.Engine, error) {
		if err := session.Renew(); err != nil {
			return nil, err //nolint:wrapcheck // it names the model
		}
		if draft != nil {
			if err := draft.Renew(); err != nil {
				return nil, err //nolint:wrapcheck // it names the model
			}
		}
		return engine.New(session, config) //nolint:wrapcheck // it says whose error it is
	}
}

// logReplica says what becomes of a model's replicas.
func logReplica(log *slog.Logger, model string) func(inference.ReplicaEvent) {
	return func(e inference.ReplicaEvent) {
		log := log.With("model", model, "device", e.Device)
		if e.Err == nil {
			log.Info("a replica serves again")
			return
		}
		attrs := []any{"error", e.Err.Error()}
		if caught, ok := errors.AsType[*engine.PanicError](e.Err); ok {
			attrs = append(attrs, "stack", string(caught.Stack()))
		}
		if e.RetryIn == 0 {
			log.Error("a replica failed and stays out", attrs...)
			return
		}
		log.Error("a replica failed and will be rebuilt", append(attrs, "retry_in", e.RetryIn.String())...)
	}
}

// logPanic says that preparing a constraint of a model has panicked, which is a bug of this server. Requests go on.
func logPanic(log *slog.Logger, model string) func(any, []byte) {
	return func(recovered any, stack []byte) {
		log.Error("preparing a constraint panicked", "model", model, "error", fmt.Sprint(recovered), "stack", string(stack))
	}
}
