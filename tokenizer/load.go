package tokenizer

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"unicode/utf8"
)

// maxFile is the size in bytes of the largest tokenizer.json that Load reads. The largest in use have some 35 MB.
const maxFile = 512 << 20

// Load reads a tokenizer.json, or the one in a folder.
func Load(path string) (*Tokenizer, error) {
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		path = filepath.Join(path, "tokenizer.json")
	}
	data, err := readFile(path)
	if err != nil {
		return nil, fmt.Errorf("tokenizer: load: %w", err)
	}
	t, err := FromJSON(data)
	if err != nil {
		return nil, fmt.Errorf("%w (in %s)", err, path)
	}
	return t, nil
}

func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err := errors.Join(err, f.Close()); err != nil {
		return nil, err
	}
	if len(data) > maxFile {
		return nil, fmt.Errorf("%s is larger than %d bytes", path, maxFile)
	}
	return data, nil
}

// FromJSON makes the tokenizer that the contents of a tokenizer.json describe. What the package does not do is refused
// with an [UnsupportedError].
func FromJSON(data []byte) (*Tokenizer, error) {
	if !utf8.Valid(data) {
		return nil, formatError("tokenizer.json is not valid UTF-8")
	}
	var f file
	if err := json.Unmarshal(data, &f); err != nil {
		return nil, fmt.Errorf("tokenizer: tokenizer.json: %w", err)
	}
	d, err := f.definition()
	if err != nil {
		return nil, err
	}
	return d.build()
}

// file is a tokenizer.json.
type file struct {
	Version       string          `json:"version"`
	Truncation    json.RawMessage `json:"truncation"`
	Padding       json.RawMessage `json:"padding"`
	AddedTokens   []addedToken    `json:"added_tokens"`
	Normalizer    json.RawMessage `json:"normalizer"`
	PreTokenizer  json.RawMessage `json:"pre_tokenizer"`
	PostProcessor json.RawMessage `json:"post_processor"`
	Decoder       json.RawMessage `json:"decoder"`
	Model         *model          `json:"model"`
}

// model is the model part of a tokenizer.json.
type model struct {
	Type                    string            `json:"type"`
	Dropout                 *float64          `json:"dropout"`
	UnkToken                *string           `json:"unk_token"`
	ContinuingSubwordPrefix *string           `json:"continuing_subword_prefix"`
	EndOfWordSuffix         *string           `json:"end_of_word_suffix"`
	FuseUnk                 bool              `json:"fuse_unk"`
	ByteFallback            bool              `json:"byte_fallback"`
	IgnoreMerges            bool              `json:"ignore_merges"`
	Vocab                   map[string]uint32 `json:"vocab"`
	Merges                  []merge           `json:"merges"`
}

// UnmarshalJSON looks at the type before anything else: the vocabularies of other models have other shapes.
func (m *model) UnmarshalJSON(data []byte) error {
	var kind struct {
		Type *string `json:"type"`
	}
	if err := json.Unmarshal(data, &kind); err != nil {
		return err
	}
	if kind.Type != nil && *kind.Type != "BPE" {
		return &UnsupportedError{Part: "model", Name: *kind.Type}
	}
	type plain model
	return json.Unmarshal(data, (*plain)(m))
}

// merge is a pair of tokens, written as an array or, before 2024, as one string with a space between them.
type merge [2]string

// UnmarshalJSON reads either form.
func (m *merge) UnmarshalJSON(data []byte) error {
	if len(data) > 0 && data[0] == '[' {
		var pair []string
		if err := json.Unmarshal(data, &pair); err != nil {
			return err
		}
		if len(pair) != 2 {
			return fmt.Errorf("a merge of %d tokens", len(pair))
		}
		*m = merge(pair)
		return nil
	}
	var line string
	if err := json.Unmarshal(data, &line); err != nil {
		return err
	}
	pair, err := splitMerge(line)
	*m = merge(pair)
	return err
}

// splitMerge splits a merge written as one string.
func splitMerge(line string) ([2]string, error) {
	left, right, ok := strings.Cut(line, " ")
	if !ok || strings.Contains(right, " ") {
		return [2]string{}, fmt.Errorf("merge %q is not two tokens with a space between", line)
	}
	return [2]string{left, right}, nil
}

// definition checks that all of the file is supported.
func (f *file) definition() (*definition, error) {
	if f.Version != "" && f.Version != "1.0" {
		return nil, &UnsupportedError{Part: "version", Name: f.Version}
	}
	if f.Model == nil || f.Model.Vocab == nil || f.Model.Merges == nil {
		return nil, formatError("tokenizer.json has no BPE model with vocab and merges")
	}
	if err := f.unsupported(); err != nil {
		return nil, err
	}
	d := &definition{
		vocab:        f.Model.Vocab,
		unknown:      f.Model.UnkToken,
		fuseUnknown:  f.Model.FuseUnk,
		ignoreMerges: f.Model.IgnoreMerges,
		added:        f.AddedTokens,
		merges:       make([][2]string, 0, len(f.Model.Merges)),
	}
	for _, m := range f.Model.Merges {
		d.merges = append(d.merges, m)
	}
	var err error
	if d.splitter, err = parsePreTokenizer(f.PreTokenizer); err != nil {
		return nil, err
	}
	if d.prefix, d.suffix, err = parsePostProcessor(f.PostProcessor); err != nil {
		return nil, err
	}
	return d, nil
}

// unsupported names the first thing in the file that changes ids or text and is not done here.
func (f *file) unsupported() error {
	m := f.Model
	set := func(s *string) bool { return s != nil && *s != "" }
	switch {
	case present(f.Truncation):
		return &UnsupportedError{Part: "truncation", Name: string(f.Truncation)}
	case present(f.Padding):
		return &UnsupportedError{Part: "padding", Name: string(f.Padding)}
	case m.Dropout != nil && *m.Dropout != 0:
		return &UnsupportedError{Part: "model", Name: fmt.Sprintf("dropout %g", *m.Dropout)}
	case m.ByteFallback:
		return &UnsupportedError{Part: "model", Name: "byte_fallback"}
	case set(m.ContinuingSubwordPrefix):
		return &UnsupportedError{Part: "model", Name: fmt.Sprintf("continuing_subword_prefix %q", *m.ContinuingSubwordPrefix)}
	case set(m.EndOfWordSuffix):
		return &UnsupportedError{Part: "model", Name: fmt.Sprintf("end_of_word_suffix %q", *m.EndOfWordSuffix)}
	}
	if err := checkNormalizer(f.Normalizer); err != nil {
		return err
	}
	return checkDecoder(f.Decoder)
}
