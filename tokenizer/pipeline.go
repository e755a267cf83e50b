package tokenizer

import (
	"encoding/json"
	"errors"
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
	var pair [3]json.RawMessage // one more than it should have; those after it are passed over
	if err := json.Unmarshal(data, &pair); err != nil {
		return err
	}
	if pair[1] == nil || pair[2] != nil {
		return errors.New("a token with its id is not an array of two")
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

// present reports whether a part of the file is there and not null.
func present(part json.RawMessage) bool { return len(part) > 0 && string(part) != "null" }

// What a part of the pipeline may be: a component of a few bytes takes much more memory, and every text goes through
// all of them.
const (
	maxPart       = 8 << 20 // bytes
	maxNesting    = 16      // Sequences in each other
	maxComponents = 256
)

// parts reads a part of the pipeline and lays out its Sequences.
type parts struct {
	name   string   // of the part
	key    string   // the name of a Sequence's list
	known  []string // the types that are supported
	list   []component
	number int // of components so far, Sequences too
}

// parseComponent reads a part of the pipeline: what it returns holds no Sequence, whose list has another key in each
// part. An absent part has no components. Types not listed as known are refused before their fields are read, since
// those of other types may have other shapes.
func parseComponent(part string, data json.RawMessage, key string, known ...string) ([]component, error) {
	if !present(data) {
		return nil, nil
	}
	if len(data) > maxPart {
		return nil, &UnsupportedError{Part: part, Name: fmt.Sprintf("of more than %d bytes", maxPart)}
	}
	p := parts{name: part, key: key, known: known}
	if err := p.read(data, 0); err != nil {
		return nil, err
	}
	return p.list, nil
}

// read reads a component, or those of the Sequence that it is.
func (p *parts) read(data json.RawMessage, depth int) error {
	if p.number++; p.number > maxComponents {
		return &UnsupportedError{Part: p.name, Name: fmt.Sprintf("of more than %d components", maxComponents)}
	}
	var kind struct {
		Type string `json:"type"`
	}
	if err := json.Unmarshal(data, &kind); err != nil {
		return fmt.Errorf("tokenizer: %s: %w", p.name, err)
	}
	if slices.Contains(p.known, kind.Type) {
		var c component
		if err := json.Unmarshal(data, &c); err != nil {
			return fmt.Errorf("tokenizer: %s: %w", p.name, err)
		}
		p.list = append(p.list, c)
		return nil
	}
	if kind.Type != "Sequence" || depth == maxNesting {
		return &UnsupportedError{Part: p.name, Name: kind.Type}
	}
	found := false
	s := &jsonScanner{data: data}
	err := s.object(func(key []byte) error {
		if string(key) != p.key {
			_, err := s.value()
			return err
		}
		found = true
		return s.array(func() error {
			inner, err := s.value()
			if err != nil {
				return err
			}
			return p.read(inner, depth+1)
		})
	})
	if err == nil && !found {
		err = formatError("%s: Sequence lacks %s", p.name, p.key)
	}
	return err
}

// isTrue reads a field that is true unless stated.
func isTrue(b *bool) bool { return b == nil || *b }
