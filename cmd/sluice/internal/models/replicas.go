package models

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/sluiceml/sluice/cmd/sluice/internal/cleanup"
	"github.com/sluiceml/sluice/cmd/sluice/internal/memory"
	"github.com/sluiceml/sluice/inference"
	"github.com/sluiceml/sluice/inference/engine"
	"github.com/sluiceml/sluice/inference/model"
	"github.com/sluiceml/sluice/inference/ort"
)

// pair is a model and the one that guesses for it.
type pair struct {
	target Folder
	draft  *model.Folder // nil: there is none
}

// shareWeights maps the weights of a model for its replicas on the CPU. One alone has its own: nil.
func shareWeights(environment *ort.Environment, f *model.Folder, devices []ort.Device, undo *cleanup.Stack) (*ort.Weights, error) {
	onCPU := 0
	for _, d := range devices {
		if d.Provider == ort.CPU {
			onCPU++
		}
	}
	if onCPU < 2 || f.Manifest.Graph.Masked != nil { // of another exporter's graph, each session has its own
		return nil, nil //nolint:nilnil // nil is the value of ort.Config for weights of one's own
	}
	weights, err := environment.ShareWeights(f.ModelPath, f.Manifest.Graph)
	if err != nil {
		return nil, err //nolint:wrapcheck // it names the model
	}
	undo.Add(weights.Close)
	return weights, nil
}

// loadReplicas opens a session and makes an engine on each device. On the CPU they share the weights, unless this
// processor's kernels cannot.
func (l *Loader) loadReplicas(
	ctx context.Context, environment *ort.Environment, f pair, length int, undo *cleanup.Stack,
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
			if weights, err = shareWeights(environment, f.target.Folder, l.Flags.Devices(), &opened); err != nil {
				return nil, err
			}
		}
		return l.openReplicas(ctx, environment, f, length, weights, &opened)
	}
	replicas, err := load(true)
	if errors.Is(err, ort.ErrSharing) {
		l.Logger.Warn("the replicas cannot share their weights on this processor: each has a copy", "model", f.target.Name)
		return load(false)
	}
	return replicas, err
}

// openReplicas opens a session and makes an engine on each device; those on the CPU share weights unless they are nil.
func (l *Loader) openReplicas(
	ctx context.Context, environment *ort.Environment, f pair, length int, weights *ort.Weights, undo *cleanup.Stack,
) ([]inference.Replica, error) {
	var replicas []inference.Replica
	kv := l.Flags.kvMemory(memory.Limit(), l.Sharers*len(l.Flags.Devices()))
	drafts, err := l.drafts(environment, f, length, weights != nil, undo)
	if err != nil {
		return nil, err
	}
	for _, device := range l.Flags.Devices() {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		shared := weights
		if device.Provider != ort.CPU {
			shared = nil
		}
		session, err := environment.Open(ort.Config{
			Model:         f.target.ModelPath,
			Graph:         f.target.Manifest.Graph,
			ContextLength: f.target.Manifest.ContextLength,
			Device:        device,
			Slots:         l.Flags.Slots,
			MaxLength:     length,
			MaxChunk:      min(l.Flags.ChunkTokens, length),
			PrefixBytes:   kv.prefix,
			PrefixTokens:  kv.prefixTokens,
			Weights:       shared,
			NoKernels:     l.Flags.NoKernels,
		})
		if err != nil {
			return nil, err
		}
		undo.Add(session.Close)
		draft, positionBytes, err := drafts.open(session, device, undo)
		if err != nil {
			return nil, err
		}
		limits := session.Limits()
		limits.PositionBytes = positionBytes
		kvTokens, err := kv.tokens(limits)
		if err != nil {
			return nil, err
		}
		queue := l.Queue()
		config := guessing(engine.Config{
			Model:          f.target.Name,
			QueueLimit:     queue.Requests,
			QueueTokens:    queue.Tokens,
			QueueTime:      queue.Time,
			RidingSize:     l.Flags.RidingTokens,
			MaxStep:        time.Duration(l.Flags.MaxStepMs) * time.Millisecond,
			KVTokens:       kvTokens,
			NoSpeculation:  l.Flags.NoSpeculation,
			ReaderTimeout:  l.ReaderTimeout,
			TracerProvider: l.TracerProvider,
			MeterProvider:  l.MeterProvider,
		}, draft)
		e, err := engine.New(session, config)
		if err != nil {
			return nil, err
		}
		replica := inference.Replica{Device: device.String(), Engine: e, Rebuild: renewed(config, session, draft)}
		if err := session.NoHiddenStates(); err != nil {
			replica.NoEmbeddings = err.Error()
		}
		replicas = append(replicas, replica)
	}
	return replicas, nil
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
