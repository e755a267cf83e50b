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
	devices := l.Flags.Devices()
	drafts, err := l.drafts(environment, f, length, weights != nil, undo)
	if err != nil {
		return nil, err
	}
	o := replicaOpener{
		Loader: l, environment: environment, target: f.target, length: length, weights: weights, drafts: drafts,
		kv: l.Flags.kvMemory(memory.Limit(), l.Sharers*len(devices)),
	}
	var replicas []inference.Replica
	for _, device := range devices {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		replica, err := o.open(device, undo)
		if err != nil {
			return nil, err
		}
		replicas = append(replicas, replica)
	}
	return replicas, nil
}

// replicaOpener opens the replicas of one model.
type replicaOpener struct {
	*Loader

	environment *ort.Environment
	target      Folder
	length      int          // most tokens of a sequence
	weights     *ort.Weights // that those on the CPU share; nil: each has its own
	drafts      *drafts
	kv          kvMemory // of each replica
}

// open opens a session on a device, and one of the draft model beside it, and makes their engine.
func (o *replicaOpener) open(device ort.Device, undo *cleanup.Stack) (replica inference.Replica, err error) {
	session, err := o.environment.Open(o.session(device))
	if err != nil {
		return replica, err
	}
	undo.Add(session.Close)
	o.Logger.Info("opened a session", "model", o.target.Name, "device", device.String(), "kernels", session.Kernels())
	draft, positionBytes, err := o.drafts.open(session, device, undo)
	if err != nil {
		return replica, err
	}
	limits := session.Limits()
	limits.PositionBytes = positionBytes
	kvTokens, err := o.kv.tokens(limits)
	if err != nil {
		return replica, err
	}
	config := guessing(o.engine(kvTokens), draft)
	e, err := engine.New(session, config)
	if err != nil {
		return replica, err
	}
	replica = inference.Replica{Device: device.String(), Engine: e, Rebuild: renewed(config, session, draft)}
	if err := session.NoHiddenStates(); err != nil {
		replica.NoEmbeddings = err.Error()
	}
	return replica, nil
}

// session is the configuration of a session on a device.
func (o *replicaOpener) session(device ort.Device) ort.Config {
	config := ort.Config{
		Model:         o.target.ModelPath,
		Graph:         o.target.Manifest.Graph,
		ContextLength: o.target.Manifest.ContextLength,
		Device:        device,
		Slots:         o.Flags.Slots,
		MaxLength:     o.length,
		MaxChunk:      min(o.Flags.ChunkTokens, o.length),
		PrefixBytes:   o.kv.prefix,
		PrefixTokens:  o.kv.prefixTokens,
		NoKernels:     o.Flags.NoKernels,
	}
	if device.Provider == ort.CPU {
		config.Weights = o.weights
	}
	return config
}

// engine is the configuration of an engine whose slots may hold so many positions together.
func (o *replicaOpener) engine(kvTokens int) engine.Config {
	queue := o.Queue()
	return engine.Config{
		Model:          o.target.Name,
		QueueLimit:     queue.Requests,
		QueueTokens:    queue.Tokens,
		QueueTime:      queue.Time,
		RidingSize:     o.Flags.RidingTokens,
		MaxStep:        time.Duration(o.Flags.MaxStepMs) * time.Millisecond,
		KVTokens:       kvTokens,
		NoSpeculation:  o.Flags.NoSpeculation,
		ReaderTimeout:  o.ReaderTimeout,
		TracerProvider: o.TracerProvider,
		MeterProvider:  o.MeterProvider,
	}
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
