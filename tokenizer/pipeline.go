package tokenizer

import (
	"encoding/json"
	"fmt"
	"slices"
)

// component is a part of a tokenizer.json's pipeline; which of its fields mean something depends on the type.
type component struct {
	Type string `json:"type"`

	// ByteLevel, and add_prefix_space of an old Metaspace
	AddPrefixSpace *bool `json:"add_prefix_space"`
	TrimOffsets    *bool `json:"trim_offsets"`
	UseRegex       *bool `json:"use_regex"`
	// Digits
	IndividualDigits bool `json:"individual_digits"`
	// Split, Replace, Punctuation
	Pattern  patternSource `json:"pattern"`
	Behavior *string       `json:"behavior"`
	Invert   bool          `json:"invert"`
	// Replace, and Strip as a decoder
	Content *string `json:"content"`
	Start   int     `json:"start"`
	Stop    int     `json:"stop"`
	// Prepend, and Strip as a normalizer
	Prepend    *string `json:"prepend"`
	StripLeft  bool    `json:"strip_left"`
	StripRight bool    `json:"strip_right"`
	// Metaspace
	Replacement   *string `json:"replacement"`
	PrependScheme *string `json:"prepend_scheme"`
	Split         *bool   `json:"split"`
	// RobertaProcessing, BertProcessing
	Sep *wordWithID `json:"sep"`
	Cls *wordWithID `json:"cls"`
	// TemplateProcessing
	Single        []piece                 `json:"single"`
	Pair          []piece                 `json:"pair"`
	SpecialTokens map[string]templateWord `json:"special_tokens"`
	// Sequence, whose list has another name in each part
	PreTokenizers []component `json:"pretokenizers"`
	Processors    []component `json:"processors"`
	Decoders      []component `json:"decoders"`
	Normalizers   []component `json:"normalizers"`
}

// patternSource is a pattern: one of the two fields is set.
type patternSource struct {
	String *string `json:"String"`
	Regex  *string `json:"Regex"`
}

// wordWithID is a token and its id, written as an array of the two.
type wordWithID struct{ id uint32 }

// UnmarshalJSON reads the array.
func (w *wordWithID) UnmarshalJSON(data []byte) error {
	var pair []json.RawMessage
	if err := json.Unmarshal(data, &pair); err != nil {
		return err
	}
	if len(pair) != 2 {
		return fmt.Errorf("a token with its id has %d parts", len(pair))
	}
	return json.Unmarshal(pair[1], &w.id)
}

// piece is a part of a template: one of the two fields is set.
type piece struct {
	SpecialToken *struct {
		ID string `json:"id"`
	} `json:"SpecialToken"`
	Sequence *struct {
		ID string `json:"id"`
	} `json:"Sequence"`
}

// templateWord is what a special token of a template stands for.
type templateWord struct {
	IDs []uint32 `json:"ids"`
}

// kind is the type of a component alone.
type kind struct {
	Type string `json:"type"`
}

// present reports whether a part of the file is there and not null.
func present(part json.RawMessage) bool { return len(part) > 0 && string(part) != "null" }

// parseComponent reads a part of the pipeline and lays out its sequences: what it returns holds none. An absent part
// has no components. Types not listed as known are refused before their fields are read, since those of other types
// may have other shapes.
func parseComponent(part string, data json.RawMessage, known ...string) ([]component, error) {
	if !present(data) {
		return nil, nil
	}
	var c component
	count := 0
	if err := checkKinds(part, data, known, 0, &count); err != nil {
		return nil, err
	}
	if err := json.Unmarshal(data, &c); err != nil {
		return nil, fmt.Errorf("tokenizer: %s: %w", part, err)
	}
	return c.flatten(nil), nil
}

// maxNesting bounds how deep sequences lie in each other, and maxComponents how many components a part has: each of a
// few bytes takes much more memory, and every text goes through all.
const (
	maxNesting    = 16
	maxComponents = 256
)

// checkKinds refuses types that are not known, in sequences too. It counts the components.
func checkKinds(part string, data json.RawMessage, known []string, depth int, count *int) error {
	if *count++; *count > maxComponents {
		return &UnsupportedError{Part: part, Name: fmt.Sprintf("of more than %d components", maxComponents)}
	}
	var c struct {
		kind
		PreTokenizers []json.RawMessage `json:"pretokenizers"`
		Processors    []json.RawMessage `json:"processors"`
		Decoders      []json.RawMessage `json:"decoders"`
		Normalizers   []json.RawMessage `json:"normalizers"`
	}
	var k kind
	if err := json.Unmarshal(data, &k); err != nil {
		return fmt.Errorf("tokenizer: %s: %w", part, err)
	}
	if slices.Contains(known, k.Type) {
		return nil
	}
	if k.Type != "Sequence" || depth == maxNesting {
		return &UnsupportedError{Part: part, Name: k.Type}
	}
	if err := json.Unmarshal(data, &c); err != nil {
		return fmt.Errorf("tokenizer: %s: %w", part, err)
	}
	for _, list := range [][]json.RawMessage{c.PreTokenizers, c.Processors, c.Decoders, c.Normalizers} {
		for _, inner := range list {
			if err := checkKinds(part, inner, known, depth+1, count); err != nil {
				return err
			}
		}
	}
	return nil
}

// flatten appends the component, or those of the sequence that it is.
func (c *component) flatten(dst []component) []component {
	if c.Type != "Sequence" {
		return append(dst, *c)
	}
	for _, list := range [][]component{c.PreTokenizers, c.Processors, c.Decoders, c.Normalizers} {
		for i := range list {
			dst = list[i].flatten(dst)
		}
	}
	return dst
}

// isTrue reads a field that is true unless stated.
func isTrue(b *bool) bool { return b == nil || *b }
