// Package tokenizerfile reads tokenizers from what models come with: a tokenizer.json, or the vocabulary of a GGUF file,
// which it writes as the former.
package tokenizerfile

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/sluiceml/sluice/inference/model"
	"github.com/sluiceml/sluice/tokenizer"
)

// fileName is the file of a tokenizer in a model folder.
const fileName = "tokenizer.json" //nolint:gosec // no credential

// vocabularyOf is a GGUF's vocabulary as package tokenizer takes it; neither that nor package model knows the other.
// Which kinds there are, package tokenizer says.
func vocabularyOf(v *model.Vocabulary) tokenizer.Vocabulary {
	var types []tokenizer.TokenType
	if v.Types != nil {
		types = make([]tokenizer.TokenType, len(v.Types))
		for i, t := range v.Types {
			types[i] = tokenizer.TokenType(t)
		}
	}
	return tokenizer.Vocabulary{
		Model: v.Model, Tokens: v.Tokens, Types: types, Scores: v.Scores, Merges: v.Merges, Pre: v.Pre,
		BOS: v.BOS, EOS: v.EOS, UNK: v.UNK, PAD: v.PAD, AddBOS: v.AddBOS, AddEOS: v.AddEOS,
		NoSpacePrefix: !v.AddSpacePrefix,
	}
}

// Write writes tokenizer.json from a GGUF's vocabulary, unless the assets bring the file itself.
func Write(assets model.Assets, dir string) error {
	if assets.Vocabulary == nil {
		return nil
	}
	data, err := vocabularyOf(assets.Vocabulary).TokenizerJSON()
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, fileName), data, 0o644) //nolint:gosec // a model folder is not secret
}

// Load reads a tokenizer.json, the one in a folder, or the vocabulary of a GGUF file.
func Load(path string) (*tokenizer.Tokenizer, error) {
	if !strings.EqualFold(filepath.Ext(path), ".gguf") {
		return tokenizer.Load(path)
	}
	assets, err := model.ReadAssets(path)
	if err != nil {
		return nil, err
	}
	if assets.Vocabulary == nil {
		return nil, fmt.Errorf("%s has no vocabulary", path)
	}
	t, err := tokenizer.FromVocabulary(vocabularyOf(assets.Vocabulary))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return t, nil
}
