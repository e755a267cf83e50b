package models

import (
	"fmt"
	"slices"
	"strings"

	"github.com/sluiceml/sluice/cmd/sluice/internal/usage"
	"github.com/sluiceml/sluice/inference/answer"
	"github.com/sluiceml/sluice/tokenizer"
)

// forms are how a model calls tools and reasons.
type forms struct {
	calls     answer.CallFormat
	reasoning answer.Reasoning
}

// noForm is what the flags call the form of a model that has none.
const noForm = "none"

// forms are those that the flags name for a model, or what its templates and tokens tell of it.
func (f *Flags) forms(name string, templates chatTemplates, tok *tokenizer.Tokenizer) (forms, error) {
	source := templates.source()
	hasToken := func(text string) bool { _, ok := tok.ID(text); return ok }
	var found forms
	found.calls = answer.DetectCalls(source, hasToken)
	found.reasoning, _ = answer.DetectReasoning(source, hasToken)
	if asked, ok := formatOf(f.ToolCallFormat, name); ok {
		found.calls = answer.CallFormat(asked)
		if asked == noForm {
			found.calls = answer.NoCalls
		} else if !slices.Contains(answer.CallFormats(), found.calls) {
			return found, usage.Errorf("--tool-call-format %s=%s: the format must be one of %v, or none", name, asked, answer.CallFormats())
		}
	}
	if asked, ok := formatOf(f.ReasoningFormat, name); ok {
		i := slices.IndexFunc(answer.Reasonings(), func(r answer.Reasoning) bool { return r.Name == asked })
		switch {
		case asked == noForm:
			found.reasoning = answer.Reasoning{}
		case i < 0:
			return found, usage.Errorf("--reasoning-format %s=%s: the format must be think, cohere, mistral, seed, gemma, harmony or none", name, asked)
		default:
			found.reasoning = answer.Reasonings()[i]
		}
	}
	return found, nil
}

// formatFlag says which of several formats a model has: NAME=FORMAT.
type formatFlag struct{ model, format string }

// UnmarshalText implements encoding.TextUnmarshaler.
func (f *formatFlag) UnmarshalText(text []byte) error {
	model, format, ok := strings.Cut(string(text), "=")
	if !ok || model == "" || format == "" {
		return fmt.Errorf("%q is not NAME=FORMAT", text)
	}
	f.model, f.format = model, format
	return nil
}

func (f formatFlag) String() string { return f.model + "=" + f.format }

// formatOf is the format that the last of the flags for a model names.
func formatOf(flags []formatFlag, model string) (string, bool) {
	for _, f := range slices.Backward(flags) {
		if f.model == model {
			return f.format, true
		}
	}
	return "", false
}
