package tokenizer

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"unicode/utf8"

	"github.com/sluiceml/sluice/tokenizer/bpe"
)

// maxFile is the size in bytes of the largest file that Load reads. The largest tokenizer.json in use have some 35 MB.
const maxFile = 128 << 20

func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	data, err := readAll(f)
	if err := errors.Join(err, f.Close()); err != nil {
		return nil, err
	}
	if len(data) > maxFile {
		return nil, fmt.Errorf("%s is larger than %d bytes", path, maxFile)
	}
	return data, nil
}

// readAll reads at most one byte more than maxFile, into memory of the file's size from the start.
func readAll(f *os.File) ([]byte, error) {
	size := int64(0)
	if info, err := f.Stat(); err == nil && info.Mode().IsRegular() {
		size = min(info.Size(), maxFile)
	}
	data := make([]byte, 0, size+512)
	for r := io.LimitReader(f, maxFile+1); ; {
		n, err := r.Read(data[len(data):cap(data)])
		data = data[:len(data)+n]
		switch {
		case errors.Is(err, io.EOF):
			return data, nil
		case err != nil:
			return nil, err
		case len(data) == cap(data):
			data = append(data, 0)[:len(data)]
		}
	}
}

// FromJSON makes the tokenizer that the contents of a tokenizer.json describe. If they use anything that this package does not
// support, the error is an [UnsupportedError].
func FromJSON(data []byte) (*Tokenizer, error) {
	if !utf8.Valid(data) {
		return nil, formatError("tokenizer.json is not valid UTF-8")
	}
	f, err := readJSON(data)
	if err != nil {
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
	Version       string
	Truncation    json.RawMessage
	Padding       json.RawMessage
	AddedTokens   []addedToken
	Normalizer    json.RawMessage
	PreTokenizer  json.RawMessage
	PostProcessor json.RawMessage
	Decoder       json.RawMessage
	Model         *model
}

// model is the model part of a tokenizer.json.
type model struct {
	Type                    *string
	Dropout                 *float64
	UnkToken                *string
	ContinuingSubwordPrefix *string
	EndOfWordSuffix         *string
	FuseUnk                 bool
	ByteFallback            bool
	IgnoreMerges            bool
	Vocab                   json.RawMessage // as it stands, if it could not be read at once
	Merges                  json.RawMessage // as it stands

	more    int // the number of added tokens
	vocab   *vocab
	merges  []bpe.Merge
	skipped int // the length of continuing_subword_prefix that the merges were read with
}

// readJSON reads the file.
func readJSON(data []byte) (*file, error) {
	f := &file{}
	s := &jsonScanner{data: data}
	err := s.object(func(key []byte) error {
		name := string(key)
		if name == "model" {
			var err error
			f.Model, err = readModel(s, len(f.AddedTokens))
			return err
		}
		if name == "added_tokens" && s.space() == '[' {
			return f.readAdded(s)
		}
		value, err := s.value()
		if err != nil {
			return err
		}
		var into any
		switch name {
		case "version":
			into = &f.Version
		case "added_tokens": // null
			f.AddedTokens = nil
			into = &f.AddedTokens
		case "truncation":
			into = &f.Truncation
		case "padding":
			into = &f.Padding
		case "normalizer":
			into = &f.Normalizer
		case "pre_tokenizer":
			into = &f.PreTokenizer
		case "post_processor":
			into = &f.PostProcessor
		case "decoder":
			into = &f.Decoder
		}
		if err := unmarshal(value, into); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return f, s.end()
}

// maxAddedTokens bounds the number of added tokens. Vocabularies for speech have tens of thousands.
const maxAddedTokens = 1 << 18

// readAdded reads the added tokens one by one. Empty ones, which are never found, take no memory.
func (f *file) readAdded(s *jsonScanner) error {
	f.AddedTokens = nil
	return s.array(func() error {
		value, err := s.value()
		if err != nil {
			return err
		}
		var a addedToken
		if err := json.Unmarshal(value, &a); err != nil {
			return fmt.Errorf("added_tokens: %w", err)
		}
		if a.Content == "" {
			return nil
		}
		if len(f.AddedTokens) == maxAddedTokens {
			return &UnsupportedError{Part: "added_tokens", Name: fmt.Sprintf("of more than %d tokens", maxAddedTokens)}
		}
		f.AddedTokens = append(f.AddedTokens, a)
		return nil
	})
}

// readModel reads the model. The vocabularies of other models than BPE have other shapes, so the type must be known
// before the vocabulary is read; it comes first in most files, and then the vocabulary and the merges are read at
// once, and otherwise when the end is reached. More says for how many added tokens to leave room.
func readModel(s *jsonScanner, more int) (*model, error) {
	if s.space() == 'n' {
		value, err := s.value()
		if err == nil && string(value) != "null" {
			err = s.fail("the model is no object")
		}
		return nil, err
	}
	m := &model{more: more}
	err := s.object(func(key []byte) error { return m.field(string(key), s) })
	if err != nil {
		return nil, err
	}
	return m, m.finish()
}

// field reads one field of the model.
func (m *model) field(name string, s *jsonScanner) error {
	var into any
	switch name {
	case "vocab":
		m.vocab = nil
		if m.Type != nil && s.space() == '{' {
			return m.readVocab(s)
		}
	case "merges":
		m.merges, m.skipped = nil, 0
		if m.vocab != nil && s.space() == '[' {
			start := s.pos
			if m.readMerges(s) == nil {
				m.Merges = s.data[start:s.pos]
				return nil
			}
			// A continuing_subword_prefix may come behind the merges: finish reads them again, or says what is wrong.
			s.pos, m.merges = start, nil
		}
	}
	value, err := s.value()
	if err != nil {
		return fmt.Errorf("model: %s: %w", name, err)
	}
	switch name {
	case "type":
		into = &m.Type
	case "dropout":
		into = &m.Dropout
	case "unk_token":
		into = &m.UnkToken
	case "continuing_subword_prefix":
		into = &m.ContinuingSubwordPrefix
	case "end_of_word_suffix":
		into = &m.EndOfWordSuffix
	case "fuse_unk":
		into = &m.FuseUnk
	case "byte_fallback":
		into = &m.ByteFallback
	case "ignore_merges":
		into = &m.IgnoreMerges
	case "vocab":
		m.Vocab = value
		return nil
	case "merges":
		m.Merges = value
		return nil
	}
	if err := unmarshal(value, into); err != nil {
		return fmt.Errorf("model: %s: %w", name, err)
	}
	return m.checkType()
}

// unmarshal reads a value, or only checks it if it is of no interest: other values can be large.
func unmarshal(value []byte, into any) error {
	if into != nil {
		return json.Unmarshal(value, into)
	}
	if !json.Valid(value) {
		return errJSON
	}
	return nil
}

// checkType refuses other models.
func (m *model) checkType() error {
	if m.Type != nil && *m.Type != "BPE" {
		return &UnsupportedError{Part: "model", Name: *m.Type}
	}
	return nil
}

// finish reads the vocabulary and the merges if that could not be done on the way.
func (m *model) finish() error {
	if m.vocab == nil && present(m.Vocab) {
		s := &jsonScanner{data: m.Vocab}
		if err := m.readVocab(s); err != nil {
			return err
		}
		if err := s.end(); err != nil {
			return err
		}
		m.merges = nil
	}
	if m.vocab != nil && present(m.Merges) && (m.merges == nil || m.skipped != len(m.prefix())) {
		s := &jsonScanner{data: m.Merges}
		if err := m.readMerges(s); err != nil {
			return err
		}
		return s.end()
	}
	return nil
}

// prefix returns continuing_subword_prefix.
func (m *model) prefix() string {
	if m.ContinuingSubwordPrefix == nil {
		return ""
	}
	return *m.ContinuingSubwordPrefix
}

// definition checks that all of the file is supported.
func (f *file) definition() (*definition, error) {
	if f.Version != "" && f.Version != "1.0" {
		return nil, &UnsupportedError{Part: "version", Name: f.Version}
	}
	m := f.Model
	if m == nil || m.vocab == nil || m.merges == nil {
		return nil, formatError("tokenizer.json has no BPE model with vocab and merges")
	}
	switch {
	case present(f.Truncation):
		return nil, &UnsupportedError{Part: "truncation", Name: string(f.Truncation)}
	case present(f.Padding):
		return nil, &UnsupportedError{Part: "padding", Name: string(f.Padding)}
	case m.Dropout != nil && *m.Dropout != 0:
		return nil, &UnsupportedError{Part: "model", Name: fmt.Sprintf("dropout %g", *m.Dropout)}
	}
	d := &definition{
		unknown:      m.UnkToken,
		fuseUnknown:  m.FuseUnk,
		byteFallback: m.ByteFallback,
		ignoreMerges: m.IgnoreMerges,
		added:        f.AddedTokens,
		vocab:        m.vocab,
		merges:       m.merges,
		wordPrefix:   m.prefix(),
	}
	if m.EndOfWordSuffix != nil {
		d.wordSuffix = *m.EndOfWordSuffix
	}
	for _, read := range []func() error{
		func() error { return d.normalizers(f.Normalizer) },
		func() error { return d.preTokenizer(f.PreTokenizer) },
		func() error { return d.postProcessor(f.PostProcessor) },
		func() error { return d.decoderChain(f.Decoder) },
	} {
		if err := read(); err != nil {
			return nil, err
		}
	}
	return d, nil
}
