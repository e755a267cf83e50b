package model

import (
	"encoding/json/jsontext"
	"errors"
	"fmt"
	"math"
	"path/filepath"
)

// GenerationConfig is a model's generation_config.json: its end tokens, and the sampling that its makers recommend. A
// nil field was absent or null.
type GenerationConfig struct {
	BOSTokenID  *uint32  `json:"bos_token_id,omitzero"`
	EOSTokenIDs TokenIDs `json:"eos_token_id,omitempty"`
	PadTokenID  *uint32  `json:"pad_token_id,omitzero"`

	DoSample          *bool    `json:"do_sample,omitzero"`          // false: always the likeliest token
	Temperature       *float64 `json:"temperature,omitzero"`        // 0 to 2
	TopK              *int     `json:"top_k,omitzero"`              // not negative; 0: all
	TopP              *float64 `json:"top_p,omitzero"`              // above 0, to 1
	MinP              *float64 `json:"min_p,omitzero"`              // 0 to 1
	TypicalP          *float64 `json:"typical_p,omitzero"`          // above 0, to 1
	RepetitionPenalty *float64 `json:"repetition_penalty,omitzero"` // above 0
	NoRepeatNGramSize *int     `json:"no_repeat_ngram_size,omitzero"`
	MinNewTokens      *int     `json:"min_new_tokens,omitzero"`
	MaxNewTokens      *int     `json:"max_new_tokens,omitzero"` // at least 1

	// Read to be named by Ineffective, and kept by a conversion.
	NumBeams       *int           `json:"num_beams,omitzero"`
	EpsilonCutoff  *float64       `json:"epsilon_cutoff,omitzero"`
	EtaCutoff      *float64       `json:"eta_cutoff,omitzero"`
	StopStrings    jsontext.Value `json:"stop_strings,omitempty"`
	BadWordsIDs    jsontext.Value `json:"bad_words_ids,omitempty"`
	SuppressTokens jsontext.Value `json:"suppress_tokens,omitempty"`
}

// Ineffective names the fields that ask for something which Sluice does not do yet, in the order of the struct.
func (c GenerationConfig) Ineffective() []string {
	var names []string
	note := func(name string, asked bool) {
		if asked {
			names = append(names, name)
		}
	}
	note("num_beams", c.NumBeams != nil && *c.NumBeams > 1)
	note("epsilon_cutoff", c.EpsilonCutoff != nil && *c.EpsilonCutoff != 0)
	note("eta_cutoff", c.EtaCutoff != nil && *c.EtaCutoff != 0)
	note("stop_strings", holds(c.StopStrings))
	note("bad_words_ids", holds(c.BadWordsIDs))
	note("suppress_tokens", holds(c.SuppressTokens))
	return names
}

// holds says whether a JSON value is there and is more than nothing.
func holds(v jsontext.Value) bool {
	switch string(v) {
	case "", "null", "[]", `""`:
		return false
	}
	return true
}

// ReadGenerationConfig reads dir/generation_config.json and checks it. A folder without one gives an error for which
// errors.Is(err, fs.ErrNotExist).
func ReadGenerationConfig(dir string) (GenerationConfig, error) {
	path := filepath.Join(dir, generationConfigName)
	data, err := readFile(path, maxConfig)
	if err != nil {
		return GenerationConfig{}, err
	}
	return parseGenerationConfig(path, data)
}

// parseGenerationConfig reads the text of the generation_config.json at path.
func parseGenerationConfig(path string, data []byte) (GenerationConfig, error) {
	var c GenerationConfig
	if err := parseJSON(path, data, &c); err != nil {
		return GenerationConfig{}, err
	}
	for _, v := range []*jsontext.Value{&c.StopStrings, &c.BadWordsIDs, &c.SuppressTokens} {
		if !holds(*v) || v.Compact() != nil { // it parsed, so that it is sound
			*v = nil
		}
	}
	if err := c.validate(path); err != nil {
		return GenerationConfig{}, err
	}
	return c, nil
}

// validate says which values of the file at path are out of range: every fault, joined. The ranges are those of a
// request, as these values are the defaults of one, and are held by the float32 that a request has.
func (c GenerationConfig) validate(path string) error {
	var faults []error
	fault := func(field, format string, args ...any) {
		faults = append(faults, &FieldError{Path: path, Field: field, Err: fmt.Errorf(format, args...)})
	}
	number := func(field string, x *float64, most float64) {
		if x != nil && !(*x >= 0 && *x <= most) {
			fault(field, "%v is not from 0 to %v", *x, most)
		}
	}
	positive := func(field string, x *float64, most float64) {
		if x != nil && !(float32(*x) > 0 && *x <= most) {
			fault(field, "%v is not from 0 to %v, without 0 itself", *x, most)
		}
	}
	count := func(field string, n *int, least int) {
		if n != nil && (*n < least || *n > maxSize) {
			fault(field, "%d is not from %d to %d", *n, least, maxSize)
		}
	}
	number("temperature", c.Temperature, 2)
	positive("top_p", c.TopP, 1)
	number("min_p", c.MinP, 1)
	positive("typical_p", c.TypicalP, 1)
	positive("repetition_penalty", c.RepetitionPenalty, math.MaxFloat32)
	count("top_k", c.TopK, 0)
	count("no_repeat_ngram_size", c.NoRepeatNGramSize, 0)
	count("min_new_tokens", c.MinNewTokens, 0)
	count("max_new_tokens", c.MaxNewTokens, 1)
	return errors.Join(faults...)
}

// within says which token id of the file at path is not in a vocabulary of n tokens.
func (c GenerationConfig) within(path string, n int) error {
	check := func(field string, id uint32) error {
		if int64(id) < int64(n) {
			return nil
		}
		return &FieldError{Path: path, Field: field, Err: fmt.Errorf("token %d is not in the vocabulary of %d", id, n)}
	}
	var errs []error
	for _, id := range c.EOSTokenIDs {
		errs = append(errs, check("eos_token_id", id))
	}
	if c.BOSTokenID != nil {
		errs = append(errs, check("bos_token_id", *c.BOSTokenID))
	}
	return errors.Join(errs...)
}

// encode gives the text of a generation_config.json: the same bytes for the same values.
func (c GenerationConfig) encode() ([]byte, error) { return encodeJSON(c) }
