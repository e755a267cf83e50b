package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/sluiceml/sluice/cmd/sluice/internal/cleanup"
	"github.com/sluiceml/sluice/cmd/sluice/internal/exit"
	"github.com/sluiceml/sluice/cmd/sluice/internal/memory"
	"github.com/sluiceml/sluice/cmd/sluice/internal/setup"
	"github.com/sluiceml/sluice/inference"
	"github.com/sluiceml/sluice/inference/engine"
	"github.com/sluiceml/sluice/inference/model"
	"github.com/sluiceml/sluice/inference/ort"
	"github.com/sluiceml/sluice/tokenizer"
)

// namedFolder is a model folder and the name to serve it by.
type namedFolder struct {
	name   string
	folder *model.Folder
	draft  *model.Folder // that guesses for it; nil: none
	err    error         // why it cannot be served; the server goes on without it
}

// openFolders reads the small files of the models to serve: those of --model and --models-dir, or the cache's.
func (a *app) openFolders() ([]namedFolder, error) {
	flags, err := a.options.modelsToServe()
	if err != nil {
		return nil, err
	}
	folders := make([]namedFolder, len(flags))
	for i, flag := range flags {
		folder, err := a.openFolder(flag)
		if err != nil && a.options.ExitOnError {
			return nil, err
		}
		folders[i] = namedFolder{name: flag.name, folder: folder, err: err}
	}
	return folders, nil
}

// openFolder reads the small files of a model.
func (a *app) openFolder(flag modelFlag) (*model.Folder, error) {
	if _, err := os.Stat(flag.dir); errors.Is(err, fs.ErrNotExist) && !a.options.cachesModel() {
		return nil, exit.Usagef("model %q: no such folder: %s", flag.name, flag.dir)
	}
	folder, err := model.Open(flag.dir)
	if errors.Is(err, fs.ErrNotExist) && a.options.cachesModel() {
		return nil, fmt.Errorf("model %q: %w", flag.name, errors.Join(err,
			&setup.NotSetUpError{What: fmt.Sprintf("model %q", flag.name), Path: flag.dir, Hint: "sluice setup"}))
	}
	if err != nil {
		return nil, fmt.Errorf("model %q: %w", flag.name, err)
	}
	return folder, nil
}

// loadModel makes a model of a folder, in the place of one that serves or of nil.
func (a *app) loadModel(
	ctx context.Context, f namedFolder, replaces *inference.Model, undo *cleanup.Stack,
) (*inference.Model, error) {
	environment := a.runtime.Load()
	if environment == nil {
		return nil, &inference.UnavailableError{Reason: inference.ReasonLoading}
	}
	started := time.Now()
	tok, templates, err := tokenizerAndTemplates(f.folder)
	if err != nil {
		return nil, err
	}
	forms, err := a.options.forms(f.name, templates, tok)
	if err != nil {
		return nil, err
	}
	warnOfTokenizer(a.log, f.name, tok)
	eos := endTokens(f.folder, tok)
	if len(eos) == 0 {
		a.log.Warn("the model names no end token; outputs end at max_tokens or a stop sequence", "model", f.name)
	}
	if names := f.folder.GenerationConfig.Ineffective(); len(names) > 0 {
		a.log.Warn("generation_config.json asks for what has no effect yet", "model", f.name, "fields", names)
	}
	manifest := f.folder.Manifest
	if g := manifest.Graph; g.Masked != nil && !g.Masked.Shared {
		a.log.Warn("the model's graph takes one row at a time and is slower for it", "model", f.name, "runs", f.folder.Execution())
	}
	length := manifest.ContextLength
	if a.options.MaxContext > length {
		return nil, exit.Usagef("--max-context %d is more than the %d tokens that the model was made for", a.options.MaxContext, length)
	}
	length = cmp.Or(a.options.MaxContext, length)
	if f.draft, err = a.draftFor(f.name, tok); err != nil {
		return nil, err
	}
	replicas, err := a.loadReplicas(ctx, f, environment, length, undo)
	if err != nil {
		return nil, err
	}
	a.log.Info("loaded a model", "model", f.name, "folder", f.folder.Dir, "quantization", manifest.Quantization,
		"context", length, "replicas", len(replicas), "took", time.Since(started).Round(time.Millisecond).String())
	return inference.NewModel(inference.Config{ //nolint:contextcheck // the model outlives the call that loads it
		Name:           f.name,
		Architecture:   manifest.Architecture,
		Quantization:   manifest.Quantization,
		ContextLength:  length,
		EOSTokenIDs:    eos,
		Defaults:       defaults(f.folder.GenerationConfig, a.options.DefaultMaxTokens, length),
		MaxOutputs:     a.options.MaxOutputs,
		Tokenizer:      tok,
		Template:       templates.def,
		Templates:      templates.named,
		Calls:          forms.calls,
		Reasoning:      forms.reasoning,
		BOSToken:       f.folder.BOSToken,
		EOSToken:       f.folder.EOSToken,
		Pooling:        inference.ParsePooling(manifest.Pooling),
		Replicas:       replicas,
		Replaces:       replaces,
		OnReplica:      logReplica(a.log, f.name),
		OnPanic:        logPanic(a.log, f.name),
		RecordContent:  a.options.RecordContent,
		WarmGrammars:   true,
		TracerProvider: a.telemetry.Tracers,
		MeterProvider:  a.telemetry.Meters,
	})
}

// openReplicas opens a session and makes an engine on each device; those on the CPU share weights unless they are nil.
func (a *app) openReplicas(
	ctx context.Context, f namedFolder, environment *ort.Environment, length int, weights *ort.Weights, undo *cleanup.Stack,
) ([]inference.Replica, error) {
	var replicas []inference.Replica
	kv := a.options.kvMemory(memory.Limit(), a.sharers*len(a.options.devices()))
	drafts, err := a.drafts(f, environment, length, weights != nil, undo)
	if err != nil {
		return nil, err
	}
	for _, device := range a.options.devices() {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		shared := weights
		if device.Provider != ort.CPU {
			shared = nil
		}
		session, err := environment.Open(ort.Config{
			Model:         f.folder.ModelPath,
			Graph:         f.folder.Manifest.Graph,
			ContextLength: f.folder.Manifest.ContextLength,
			Device:        device,
			Slots:         a.options.Slots,
			MaxLength:     length,
			MaxChunk:      min(a.options.ChunkTokens, length),
			PrefixBytes:   kv.prefix,
			PrefixTokens:  kv.prefixTokens,
			Weights:       shared,
			NoKernels:     a.options.NoKernels,
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
		queue := a.queue.Load()
		config := guessing(engine.Config{
			Model:          f.name,
			QueueLimit:     queue.Requests,
			QueueTokens:    queue.Tokens,
			QueueTime:      queue.Time,
			RidingSize:     a.options.RidingTokens,
			MaxStep:        time.Duration(a.options.MaxStepMs) * time.Millisecond,
			KVTokens:       kvTokens,
			NoSpeculation:  a.options.NoSpeculation,
			ReaderTimeout:  a.options.ReaderTimeout,
			TracerProvider: a.telemetry.Tracers,
			MeterProvider:  a.telemetry.Meters,
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

// endTokens are the ids that end an output: those of generation_config.json, or the end token's own.
func endTokens(folder *model.Folder, tok *tokenizer.Tokenizer) []uint32 {
	if ids := folder.GenerationConfig.EOSTokenIDs; len(ids) > 0 {
		return ids
	}
	if id, ok := tok.ID(folder.EOSToken); ok && folder.EOSToken != "" {
		return []uint32{id}
	}
	return nil
}

// defaults are the values of what a request leaves unset: the model's own over Sluice's. An output cannot be longer than
// the context.
func defaults(g model.GenerationConfig, maxTokens, length int) inference.Defaults {
	s := inference.Sampling{MaxTokens: maxTokens, Temperature: 1, TopP: 1, TypicalP: 1, RepetitionPenalty: 1}
	set := func(to *float32, from *float64) {
		if from != nil {
			*to = float32(*from)
		}
	}
	set(&s.Temperature, g.Temperature)
	set(&s.TopP, g.TopP)
	set(&s.MinP, g.MinP)
	set(&s.TypicalP, g.TypicalP)
	set(&s.RepetitionPenalty, g.RepetitionPenalty)
	if g.TopK != nil {
		s.TopK = *g.TopK
	}
	if g.MaxNewTokens != nil {
		s.MaxTokens = *g.MaxNewTokens
	}
	s.MaxTokens = min(s.MaxTokens, length)
	if g.MinNewTokens != nil {
		s.MinTokens = min(*g.MinNewTokens, s.MaxTokens)
	}
	if g.NoRepeatNGramSize != nil {
		s.NoRepeatNGram = *g.NoRepeatNGramSize
	}
	if g.DoSample != nil && !*g.DoSample {
		s.Temperature = 0
	}
	return inference.Defaults{Sampling: s}
}
