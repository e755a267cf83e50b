package models

import (
	"fmt"

	"github.com/sluiceml/sluice/cmd/sluice/internal/cleanup"
	"github.com/sluiceml/sluice/cmd/sluice/internal/usage"
	"github.com/sluiceml/sluice/inference/engine"
	"github.com/sluiceml/sluice/inference/model"
	"github.com/sluiceml/sluice/inference/ort"
	"github.com/sluiceml/sluice/tokenizer"
)

// draftFor reads the small files of the model of --draft-model, for a model with a tokenizer; nil: there is none. A guess is
// an id, so that both models must mean the same by each.
func (l *Loader) draftFor(name string, tok *tokenizer.Tokenizer) (*model.Folder, error) {
	dir := l.Flags.DraftModel
	if dir == "" {
		return nil, nil //nolint:nilnil // as documented
	}
	folder, err := model.Open(dir)
	if err != nil {
		return nil, fmt.Errorf("--draft-model: %w", err)
	}
	draft, err := tokenizer.Load(folder.TokenizerPath)
	if err != nil {
		return nil, fmt.Errorf("--draft-model: %w", err)
	}
	if err := sameVocabulary(tok, draft); err != nil {
		return nil, usage.Errorf("--draft-model %s cannot guess for model %q: %w", dir, name, err)
	}
	return folder, nil
}

// sameVocabulary says by what id two tokenizers differ.
func sameVocabulary(a, b *tokenizer.Tokenizer) error {
	for id := range uint32(max(a.Size(), b.Size())) {
		x, inA := a.Token(id)
		y, inB := b.Token(id)
		if x != y || inA != inB || a.IsSpecial(id) != b.IsSpecial(id) {
			return fmt.Errorf("token %d is %q to the one and %q to the other", id, y, x)
		}
	}
	return nil
}

// drafts opens sessions of a draft model, one for each replica of another.
type drafts struct {
	environment *ort.Environment
	folder      *model.Folder // nil: there are none
	weights     *ort.Weights  // that those on the CPU share; nil: each has its own
	config      ort.Config    // what they have in common
}

// drafts prepares the sessions of a model's draft model, which share its weights if the model's own do.
func (l *Loader) drafts(environment *ort.Environment, f pair, length int, share bool, undo *cleanup.Stack) (*drafts, error) {
	d := &drafts{environment: environment, folder: f.draft}
	if f.draft == nil || l.Flags.NoSpeculation {
		d.folder = nil
		return d, nil
	}
	length = min(length, f.draft.Manifest.ContextLength)
	d.config = ort.Config{
		Model: f.draft.ModelPath, Graph: f.draft.Manifest.Graph, ContextLength: f.draft.Manifest.ContextLength,
		Slots: l.Flags.Slots, MaxLength: length, MaxChunk: min(l.Flags.ChunkTokens, length), NoKernels: l.Flags.NoKernels,
	}
	if !share {
		return d, nil
	}
	var err error
	d.weights, err = shareWeights(environment, f.draft, l.Flags.Devices(), undo)
	return d, err
}

// open opens a session beside another one on a device, and returns the bytes that the two take for a position. Without a draft
// model the session is nil.
func (d *drafts) open(beside *ort.Session, device ort.Device, undo *cleanup.Stack) (draft *ort.Session, positionBytes int, err error) {
	limits := beside.Limits()
	if d.folder == nil {
		return nil, limits.PositionBytes, nil
	}
	config := d.config
	config.Device = device
	if device.Provider == ort.CPU {
		config.Weights = d.weights
	}
	draft, err = d.environment.Open(config)
	if err != nil {
		return nil, 0, fmt.Errorf("--draft-model: %w", err)
	}
	undo.Add(draft.Close)
	own := draft.Limits()
	switch {
	case limits.MaxDraft == 0:
		return nil, 0, usage.Errorf("--draft-model: the served model cannot check guesses: that needs Sluice's kernels or the form row8")
	case !own.Uniform || own.MaxDraft == 0:
		return nil, 0, usage.Errorf("--draft-model: %s does not run with Sluice's kernels, which guessing needs: they take weights of 4 or 8 bits, and a processor with AVX2, FMA and F16C", d.folder.Dir)
	}
	return draft, limits.PositionBytes + own.PositionBytes, nil
}

// guessing is an engine's configuration with the session of a draft model, which may be nil.
func guessing(config engine.Config, draft *ort.Session) engine.Config {
	if draft != nil {
		config.Draft = draft
	}
	return config
}
