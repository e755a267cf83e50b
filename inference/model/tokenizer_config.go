package model

import (
	"cmp"
	"encoding/json/jsontext"
	"encoding/json/v2"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
)

// tokenizerConfig is the part of a tokenizer_config.json, or of the older special_tokens_map.json, that a chat
// template needs. The rest is in tokenizer.json.
type tokenizerConfig struct {
	BOSToken     tokenText       `json:"bos_token"`
	EOSToken     tokenText       `json:"eos_token"`
	ChatTemplate chatTemplateSet `json:"chat_template"`
}

// tokenText is the text of a token: a JSON string, or an object with a member "content". Null is "".
type tokenText string

// UnmarshalJSONFrom implements json.UnmarshalerFrom.
func (t *tokenText) UnmarshalJSONFrom(dec *jsontext.Decoder) error {
	kind := dec.PeekKind()
	if kind == jsontext.KindNull {
		return dec.SkipValue()
	}
	if kind != jsontext.KindBeginObject {
		return json.UnmarshalDecode(dec, (*string)(t))
	}
	var object struct {
		Content string `json:"content"`
	}
	if err := json.UnmarshalDecode(dec, &object); err != nil {
		return err
	}
	*t = tokenText(object.Content)
	return nil
}

// defaultTemplateName is the name of the chat template that counts where none is asked for.
const defaultTemplateName = "default"

// chatTemplateSet are chat templates by name: a JSON string, which is the default one, or a list of named ones.
type chatTemplateSet map[string]string

// UnmarshalJSONFrom implements json.UnmarshalerFrom.
func (t *chatTemplateSet) UnmarshalJSONFrom(dec *jsontext.Decoder) error {
	kind := dec.PeekKind()
	if kind == jsontext.KindNull {
		return dec.SkipValue()
	}
	if kind != jsontext.KindBeginArray {
		var source string
		err := json.UnmarshalDecode(dec, &source)
		*t = chatTemplateSet{defaultTemplateName: source}
		return err
	}
	var list []struct {
		Name     string `json:"name"`
		Template string `json:"template"`
	}
	if err := json.UnmarshalDecode(dec, &list); err != nil {
		return err
	}
	*t = chatTemplateSet{}
	for _, named := range list {
		(*t)[named.Name] = named.Template
	}
	return nil
}

// texts are what a folder says around its tokenizer.
type texts struct {
	bos, eos     string            // "": not said
	chatTemplate string            // the default one; "": none
	templates    map[string]string // the others, by name; nil: none
}

// specialTokensMapName is where older folders name their special tokens.
const specialTokensMapName = "special_tokens_map.json"

// readTexts reads the chat template and the texts of the first and last token of the folder dir. Files that are not
// there say nothing. chat_template.jinja counts before tokenizer_config.json, as in transformers.
func readTexts(dir string) (texts, error) {
	var config, older tokenizerConfig
	if err := readIfThere(filepath.Join(dir, tokenizerConfigName), &config); err != nil {
		return texts{}, err
	}
	if config.BOSToken == "" || config.EOSToken == "" {
		if err := readIfThere(filepath.Join(dir, specialTokensMapName), &older); err != nil {
			return texts{}, err
		}
	}
	t := texts{
		bos: cmp.Or(string(config.BOSToken), string(older.BOSToken)), eos: cmp.Or(string(config.EOSToken), string(older.EOSToken)),
		chatTemplate: config.ChatTemplate[defaultTemplateName], templates: config.ChatTemplate,
	}
	delete(t.templates, defaultTemplateName)
	if err := t.addTemplates(filepath.Join(dir, additionalTemplates)); err != nil {
		return texts{}, err
	}
	path := filepath.Join(dir, chatTemplateName)
	data, err := readFile(path, maxConfig)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return texts{}, fmt.Errorf("read the chat template: %w", err)
	default:
		t.chatTemplate = string(data)
	}
	return t, nil
}

// readIfThere reads a JSON file that may be missing.
func readIfThere(path string, v any) error {
	err := readJSON(path, maxTokenCfg, v)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
