package models

import (
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"

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

// CheckTexts reads what a model is made of besides its graph, the tokenizer and the chat templates, and says what is wrong with it.
func CheckTexts(folder *model.Folder) error {
	_, _, err := readTexts(folder)
	return err
}

// readTexts reads a folder's tokenizer and chat templates.
func readTexts(folder *model.Folder) (*tokenizer.Tokenizer, chatTemplates, error) {
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

// warnOfTokenizer logs what an operator should know of a model's tokenizer, such as a pattern without a fast scanner.
func warnOfTokenizer(log *slog.Logger, name string, tok *tokenizer.Tokenizer) {
	for _, note := range tok.Notes() {
		log.Warn("the tokenizer is slower than it could be", "model", name, "reason", note)
	}
}
