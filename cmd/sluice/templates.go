package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/sluiceml/sluice/cmd/sluice/internal/exit"
	answers "github.com/sluiceml/sluice/inference/answer" // answer is a function here
	"github.com/sluiceml/sluice/inference/chat"
	"github.com/sluiceml/sluice/inference/model"
	"github.com/sluiceml/sluice/tokenizer"
)

// chatTemplates are a model's.
type chatTemplates struct {
	def   *chat.Template            // nil: the model takes no conversations
	named map[string]*chat.Template // further ones
}

// source is the text of all of them.
func (t chatTemplates) source() string {
	var sources []string
	if t.def != nil {
		sources = append(sources, t.def.Source())
	}
	for _, name := range slices.Sorted(maps.Keys(t.named)) {
		sources = append(sources, t.named[name].Source())
	}
	return strings.Join(sources, "\n")
}

// tokenizerAndTemplates reads a folder's tokenizer and chat templates.
func tokenizerAndTemplates(folder *model.Folder) (*tokenizer.Tokenizer, chatTemplates, error) {
	var templates chatTemplates
	tok, err := tokenizer.Load(folder.TokenizerPath)
	if err != nil {
		return nil, templates, err
	}
	if size, vocabulary := tok.Size(), folder.Manifest.VocabSize; size > vocabulary {
		return nil, templates, fmt.Errorf("the tokenizer has %d ids, the model %d", size, vocabulary)
	}
	if folder.ChatTemplate == "" {
		return tok, templates, nil
	}
	options := chat.Options{Special: tok.SpecialTokens()}
	if templates.def, err = chat.Parse(folder.ChatTemplate, options); err != nil {
		return nil, templates, err
	}
	sources, err := model.ReadChatTemplates(folder.Dir)
	if err != nil {
		return nil, templates, err
	}
	templates.named = make(map[string]*chat.Template, len(sources))
	for name, source := range sources {
		if templates.named[name], err = chat.Parse(source, options); err != nil {
			return nil, templates, fmt.Errorf("the chat template %q: %w", name, err)
		}
	}
	return tok, templates, nil
}

// forms are how a model calls tools and reasons.
type forms struct {
	calls     answers.CallFormat
	reasoning answers.Reasoning
}

// noForm is what the flags call the form of a model that has none.
const noForm = "none"

// forms are those that the flags name for a model, or what its templates and tokens tell of it.
func (c *serveCmd) forms(name string, templates chatTemplates, tok *tokenizer.Tokenizer) (forms, error) {
	source := templates.source()
	hasToken := func(text string) bool { _, ok := tok.ID(text); return ok }
	var f forms
	f.calls = answers.DetectCalls(source, hasToken)
	f.reasoning, _ = answers.DetectReasoning(source, hasToken)
	if asked, ok := formatOf(c.ToolCallFormat, name); ok {
		f.calls = answers.CallFormat(asked)
		if asked == noForm {
			f.calls = answers.NoCalls
		} else if !slices.Contains(answers.CallFormats(), f.calls) {
			return f, exit.Usagef("--tool-call-format %s=%s: it is none of %v and none", name, asked, answers.CallFormats())
		}
	}
	if asked, ok := formatOf(c.ReasoningFormat, name); ok {
		i := slices.IndexFunc(answers.Reasonings(), func(r answers.Reasoning) bool { return r.Name == asked })
		switch {
		case asked == noForm:
			f.reasoning = answers.Reasoning{}
		case i < 0:
			return f, exit.Usagef("--reasoning-format %s=%s: it is none of think, cohere, mistral, seed, gemma, harmony and none", name, asked)
		default:
			f.reasoning = answers.Reasonings()[i]
		}
	}
	return f, nil
}
