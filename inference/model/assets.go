package model

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/sluiceml/sluice/inference/model/gguf"
)

// Assets are what a converted folder needs besides the graph: the tokenizer, the chat template, the generation
// config and the licence.
type Assets struct {
	Name    string // the model's own name, "" if it does not say
	License string // the licence's identifier, "" if it does not say

	// Vocabulary is that of a GGUF, from which package tokenizer makes tokenizer.json; nil: tokenizer.json is among
	// Files.
	Vocabulary *Vocabulary
	// Files are paths of files to copy unchanged, sorted.
	Files []string

	GenerationConfig GenerationConfig
	ChatTemplate     string            // "": none
	ChatTemplates    map[string]string // further ones, by name
	BOSToken         string            // "": none
	EOSToken         string            // "": none
	Pooling          string            // of embeddings, as Manifest.Pooling; "": it does not say
}

// ReadAssets reads what lies around the weights of the checkpoint at path, which OpenSource opens.
func ReadAssets(path string) (Assets, error) {
	info, err := os.Stat(path)
	if err != nil {
		return Assets{}, fmt.Errorf("open the model: %w", err)
	}
	if info.IsDir() {
		return checkpointAssets(path)
	}
	file, err := gguf.Open(path)
	if err != nil {
		return Assets{}, err
	}
	a, err := ggufAssets(path, file)
	return a, errors.Join(err, file.Close())
}

// checkpointAssets finds the files of a Hugging Face folder.
func checkpointAssets(dir string) (Assets, error) {
	names, err := listNames(dir)
	if err != nil {
		return Assets{}, fmt.Errorf("open the model: %w", err)
	}
	if !slices.Contains(names, tokenizerName) {
		return Assets{}, fmt.Errorf("%s: %s is missing: save the model's fast tokenizer beside it", dir, tokenizerName)
	}
	var a Assets
	for _, name := range names {
		if !isAsset(name) {
			continue
		}
		path := filepath.Join(dir, name)
		if _, err := regularSize(path); err != nil {
			return Assets{}, fmt.Errorf("open the model: %w", err)
		}
		a.Files = append(a.Files, path)
	}
	t, err := readTexts(dir)
	if err != nil {
		return Assets{}, err
	}
	a.BOSToken, a.EOSToken, a.ChatTemplate, a.ChatTemplates = t.bos, t.eos, t.chatTemplate, t.templates
	if a.Pooling, err = readPooling(dir); err != nil {
		return Assets{}, err
	}
	a.GenerationConfig, err = ReadGenerationConfig(dir)
	if errors.Is(err, fs.ErrNotExist) {
		// As transformers does: an older model has its end token in config.json.
		config, err := readHFConfig(filepath.Join(dir, configName))
		if err != nil {
			return Assets{}, err
		}
		a.GenerationConfig = GenerationConfig{
			BOSTokenID: config.BOSTokenID, EOSTokenIDs: config.EOSTokenID, PadTokenID: config.PadTokenID,
		}
		return a, nil
	}
	return a, err
}

// isAsset reports whether the file of a Hugging Face folder goes into the converted one as it is.
func isAsset(name string) bool {
	switch name {
	case tokenizerName, tokenizerConfigName, specialTokensMapName, generationConfigName, chatTemplateName:
		return true
	}
	stem, _, _ := strings.Cut(strings.ToUpper(name), ".")
	return stem == "LICENSE" || stem == "LICENCE" || stem == "NOTICE"
}

// Write puts the assets into the folder dir: the Files as they are, and what is not among them, from the values:
// generation_config.json, chat_template.jinja, tokenizer_config.json. The same assets give the same bytes. The
// tokenizer.json of a Vocabulary is left to the caller.
func (a Assets) Write(dir string) error {
	for _, path := range a.Files {
		if err := copyFile(filepath.Join(dir, filepath.Base(path)), path); err != nil {
			return fmt.Errorf("copy %s: %w", path, err)
		}
	}
	config, err := a.GenerationConfig.encode()
	if err != nil {
		return err
	}
	tokenizer, err := a.tokenizerConfig()
	if err != nil {
		return err
	}
	for _, file := range []struct {
		name string
		data []byte
	}{
		{generationConfigName, config},
		{chatTemplateName, []byte(a.ChatTemplate)},
		{tokenizerConfigName, tokenizer},
	} {
		if len(file.data) == 0 || a.has(file.name) {
			continue
		}
		if err := writeFile(filepath.Join(dir, file.name), file.data); err != nil {
			return err
		}
	}
	return a.writeTemplates(filepath.Join(dir, additionalTemplates))
}

// has reports whether a file of the name is among Files.
func (a Assets) has(name string) bool {
	return slices.ContainsFunc(a.Files, func(path string) bool { return filepath.Base(path) == name })
}

// tokenizerConfig gives the text of a tokenizer_config.json by which transformers loads the tokenizer.json that was
// made of a Vocabulary.
func (a Assets) tokenizerConfig() ([]byte, error) {
	config := struct {
		BOSToken string `json:"bos_token,omitzero"`
		EOSToken string `json:"eos_token,omitzero"`
		PadToken string `json:"pad_token,omitzero"`
		UNKToken string `json:"unk_token,omitzero"`
		CleanUp  bool   `json:"clean_up_tokenization_spaces"`
		Class    string `json:"tokenizer_class"`
	}{BOSToken: a.BOSToken, EOSToken: a.EOSToken, Class: "PreTrainedTokenizerFast"}
	if v := a.Vocabulary; v != nil {
		config.PadToken, config.UNKToken = v.text(v.PAD), v.text(v.UNK)
	}
	return encodeJSON(config)
}

// copyFile copies a file.
func copyFile(to, from string) error {
	src, err := os.Open(from)
	if err != nil {
		return err
	}
	defer src.Close()                                                      //nolint:errcheck // read only
	dst, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644) //nolint:gosec // a model is no secret
	if err != nil {
		return err
	}
	_, err = io.Copy(dst, src)
	return errors.Join(err, dst.Close())
}
