// Package models loads model folders for serving: it reads their tokenizers and templates, and opens a session and an engine on
// each device.
package models

import (
	"cmp"
	"context"
	"log/slog"
	"time"

	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"

	"github.com/sluiceml/sluice/cmd/sluice/internal/cleanup"
	"github.com/sluiceml/sluice/cmd/sluice/internal/usage"
	"github.com/sluiceml/sluice/inference"
	"github.com/sluiceml/sluice/inference/engine"
	"github.com/sluiceml/sluice/inference/model"
	"github.com/sluiceml/sluice/inference/ort"
	"github.com/sluiceml/sluice/tokenizer"
)

// Folder is a model folder and the name to serve it by.
type Folder struct {
	*model.Folder

	Name string
}

// Loader loads models with the same settings.
type Loader struct {
	Flags          *Flags
	ReaderTimeout  time.Duration       // how long a client may leave output unread
	RecordContent  bool                // put texts into the spans of sampled requests
	Sharers        int                 // models that share the process's memory
	Queue          func() engine.Queue // the limits in force when a model is loaded
	Logger         *slog.Logger
	TracerProvider trace.TracerProvider
	MeterProvider  metric.MeterProvider
}

// Load loads a folder, to replace a model that serves now or, if that is nil, none. The environment must outlive the model. Flags
// that do not fit the model are a *usage.Error.
func (l *Loader) Load(
	ctx context.Context, environment *ort.Environment, f Folder, replaces *inference.Model,
) (opened inference.Opened, err error) {
	var undo cleanup.Stack
	defer func() {
		if err != nil {
			undo.CloseInto(&err)
		}
	}()
	m, err := l.load(ctx, environment, f, replaces, &undo)
	return inference.Opened{Model: m, Close: undo.Close}, err
}

func (l *Loader) load(
	ctx context.Context, environment *ort.Environment, f Folder, replaces *inference.Model, undo *cleanup.Stack,
) (*inference.Model, error) {
	started := time.Now()
	length, err := l.contextLength(f)
	if err != nil {
		return nil, err
	}
	tok, templates, err := readTexts(f.Folder)
	if err != nil {
		return nil, err
	}
	forms, err := l.Flags.forms(f.Name, templates, tok)
	if err != nil {
		return nil, err
	}
	eos := endTokens(f.Folder, tok)
	l.warn(f, tok, eos)
	draft, err := l.draftFor(f.Name, tok)
	if err != nil {
		return nil, err
	}
	replicas, err := l.loadReplicas(ctx, environment, pair{target: f, draft: draft}, length, undo)
	if err != nil {
		return nil, err
	}
	manifest := f.Manifest
	l.Logger.Info("loaded a model", "model", f.Name, "folder", f.Dir, "quantization", manifest.Quantization,
		"context", length, "replicas", len(replicas), "took", time.Since(started).Round(time.Millisecond).String())
	return inference.NewModel(inference.Config{ //nolint:contextcheck // the model outlives the call that loads it
		Name:           f.Name,
		Architecture:   manifest.Architecture,
		Quantization:   manifest.Quantization,
		ContextLength:  length,
		EOSTokenIDs:    eos,
		Defaults:       defaults(f.GenerationConfig, l.Flags.DefaultMaxTokens, length),
		MaxOutputs:     l.Flags.MaxOutputs,
		Tokenizer:      tok,
		Template:       templates.def,
		Templates:      templates.named,
		Calls:          forms.calls,
		Reasoning:      forms.reasoning,
		BOSToken:       f.BOSToken,
		EOSToken:       f.EOSToken,
		Pooling:        inference.ParsePooling(manifest.Pooling),
		Replicas:       replicas,
		Replaces:       replaces,
		OnReplica:      logReplica(l.Logger, f.Name),
		OnPanic:        logPanic(l.Logger, f.Name),
		RecordContent:  l.RecordContent,
		WarmGrammars:   true,
		TracerProvider: l.TracerProvider,
		MeterProvider:  l.MeterProvider,
	})
}

// contextLength returns how many tokens prompt and output may have together.
func (l *Loader) contextLength(f Folder) (int, error) {
	trained := f.Manifest.ContextLength
	if l.Flags.MaxContext > trained {
		return 0, usage.Errorf("--max-context %d is more than the %d tokens that the model was made for", l.Flags.MaxContext, trained)
	}
	return cmp.Or(l.Flags.MaxContext, trained), nil
}

// warn logs what is unusual about a model and will show in how it serves.
func (l *Loader) warn(f Folder, tok *tokenizer.Tokenizer, eos []uint32) {
	warnOfTokenizer(l.Logger, f.Name, tok)
	if len(eos) == 0 {
		l.Logger.Warn("the model names no end token; outputs end at max_tokens or a stop sequence", "model", f.Name)
	}
	if names := f.GenerationConfig.Ineffective(); len(names) > 0 {
		l.Logger.Warn("generation_config.json asks for what has no effect yet", "model", f.Name, "fields", names)
	}
	if g := f.Manifest.Graph; g.Masked != nil && !g.Masked.Shared {
		l.Logger.Warn("the model's graph takes one row at a time and is slower for it", "model", f.Name, "runs", f.Execution())
	}
}
