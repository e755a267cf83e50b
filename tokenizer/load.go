package tokenizer

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"unicode/utf8"

	"github.com/sluiceml/sluice/tokenizer/bpe"
)

// maxFile is the size in bytes of the largest file that Load reads. The largest tokenizer.json in use have some 35 MB.
const maxFile = 512 << 20

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

// FromJSON makes the tokenizer that the contents of a tokenizer.json describe. What the package does not do is refused
// with an [UnsupportedError].
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
	Vocab                   json.RawMessage
	Merges                  json.RawMessage
}

// readJSON reads the file but for the vocabulary and the merges.
func readJSON(data []byte) (*file, error) {
	f := &file{}
	s := &jsonScanner{data: data}
	err := s.object(func(key []byte) error {
		name := string(key)
		value, err := s.value()
		if err != nil {
			return err
		}
		read := func(into any) error {
			if err := json.Unmarshal(value, into); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			return nil
		}
		switch name {
		case "version":
			return read(&f.Version)
		case "added_tokens":
			f.AddedTokens = nil
			return read(&f.AddedTokens)
		case "truncation":
			return read(&f.Truncation)
		case "padding":
			return read(&f.Padding)
		case "normalizer":
			return read(&f.Normalizer)
		case "pre_tokenizer":
			return read(&f.PreTokenizer)
		case "post_processor":
			return read(&f.PostProcessor)
		case "decoder":
			return read(&f.Decoder)
		case "model":
			f.Model, err = readModel(value)
			return err
		}
		var other any
		return read(&other)
	})
	if err != nil {
		return nil, err
	}
	return f, s.end()
}

// readModel reads the model. The vocabularies of other models than BPE have other shapes, so the type is looked at
// first.
func readModel(data []byte) (*model, error) {
	m := &model{}
	if !present(data) {
		return nil, nil //nolint:nilnil // a file without a model
	}
	s := &jsonScanner{data: data}
	err := s.object(func(key []byte) error {
		name := string(key)
		value, err := s.value()
		if err != nil {
			return err
		}
		var into any
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
		default:
			return nil
		}
		if err := json.Unmarshal(value, into); err != nil {
			return fmt.Errorf("model: %s: %w", name, err)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if m.Type != nil && *m.Type != "BPE" {
		return nil, &UnsupportedError{Part: "model", Name: *m.Type}
	}
	return m, s.end()
}

// definition checks that all of the file is supported.
func (f *file) definition() (*definition, error) {
	if f.Version != "" && f.Version != "1.0" {
		return nil, &UnsupportedError{Part: "version", Name: f.Version}
	}
	m := f.Model
	if m == nil || !present(m.Vocab) || !present(m.Merges) {
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
	}
	if m.ContinuingSubwordPrefix != nil {
		d.wordPrefix = *m.ContinuingSubwordPrefix
	}
	if m.EndOfWordSuffix != nil {
		d.wordSuffix = *m.EndOfWordSuffix
	}
	for _, read := range []func() error{
		func() error { return d.normalizers(f.Normalizer) },
		func() error { return d.preTokenizer(f.PreTokenizer) },
		func() error { return d.postProcessor(f.PostProcessor) },
		func() error { return d.decoderChain(f.Decoder) },
		func() error { return d.readVocab(m.Vocab, len(f.AddedTokens)) },
		func() error { return d.readMerges(m.Merges) },
	} {
		if err := read(); err != nil {
			return nil, err
		}
	}
	return d, nil
}

// readVocab reads the object of texts and ids. The texts are copied into few large pieces of memory.
func (d *definition) readVocab(data []byte, more int) error {
	s := &jsonScanner{data: data}
	entries := make([]entry, 0, len(data)/24)
	var texts arena
	err := s.object(func(key []byte) error {
		text := texts.copy(key)
		id, err := s.id()
		entries = append(entries, entry{text, id})
		return err
	})
	if err == nil {
		err = s.end()
	}
	if err != nil {
		return fmt.Errorf("tokenizer: tokenizer.json: model: vocab: %w", err)
	}
	if len(entries) >= maxTokens {
		return formatError("%d tokens are too many", len(entries))
	}
	d.vocab, err = newVocab(entries, more)
	return err
}

// arena holds many small texts in few pieces of memory.
type arena struct{ buf []byte }

func (a *arena) copy(text []byte) string {
	if cap(a.buf)-len(a.buf) < len(text) {
		a.buf = make([]byte, 0, max(len(text), 1<<16))
	}
	start := len(a.buf)
	a.buf = append(a.buf, text...)
	return stringOf(a.buf[start:len(a.buf):len(a.buf)])
}

// readMerges reads the list of merges: pairs of tokens, written as arrays or, before 2024, as one string with a space
// between them.
func (d *definition) readMerges(data []byte) error {
	s := &jsonScanner{data: data}
	m := merger{vocab: d.vocab, skip: len(d.wordPrefix), merges: make([]bpe.Merge, 0, len(data)/24)}
	var left []byte
	err := s.array(func() error {
		if s.space() != '[' {
			line, err := s.text()
			if err != nil {
				return err
			}
			return m.addLine(line)
		}
		parts := 0
		var right []byte
		err := s.array(func() error {
			text, err := s.text()
			switch parts++; parts {
			case 1:
				left = append(left[:0], text...)
			default:
				right = text
			}
			return err
		})
		if err != nil {
			return err
		}
		if parts != 2 {
			return formatError("merge %d has %d tokens", len(m.merges), parts)
		}
		return m.add(left, right)
	})
	if err == nil {
		err = s.end()
	}
	d.merges = m.merges
	if errors.Is(err, errJSON) {
		return fmt.Errorf("tokenizer: tokenizer.json: model: merges: %w", err)
	}
	return err
}

// addLine enters a merge that is written as one string.
func (m *merger) addLine(line []byte) error {
	left, right, ok := strings.Cut(stringOf(line), " ")
	if !ok || strings.Contains(right, " ") {
		return formatError("merge %d, %q, is not two tokens with a space between", len(m.merges), line)
	}
	return m.add([]byte(left), []byte(right))
}
