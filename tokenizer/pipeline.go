package tokenizer

import (
	"encoding/json"
	"fmt"
	"slices"

	"github.com/sluiceml/sluice/tokenizer/pretoken"
)

// component is a part of a tokenizer.json's pipeline; which of its fields mean something depends on the type.
type component struct {
	Type string `json:"type"`

	// ByteLevel
	AddPrefixSpace *bool `json:"add_prefix_space"`
	UseRegex       *bool `json:"use_regex"`
	// Digits
	IndividualDigits bool `json:"individual_digits"`
	// Split
	Pattern struct {
		String *string `json:"String"`
		Regex  *string `json:"Regex"`
	} `json:"pattern"`
	Behavior string `json:"behavior"`
	Invert   bool   `json:"invert"`
	// TemplateProcessing
	Single        []piece                 `json:"single"`
	SpecialTokens map[string]templateWord `json:"special_tokens"`
	// Sequence, whose list has another name in each part
	PreTokenizers []component `json:"pretokenizers"`
	Processors    []component `json:"processors"`
	Decoders      []component `json:"decoders"`
	Normalizers   []component `json:"normalizers"`
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
	if err := checkKinds(part, data, known, 0); err != nil {
		return nil, err
	}
	if err := json.Unmarshal(data, &c); err != nil {
		return nil, fmt.Errorf("tokenizer: %s: %w", part, err)
	}
	return c.flatten(nil), nil
}

// maxNesting bounds how deep sequences lie in each other.
const maxNesting = 16

// checkKinds refuses types that are not known, in sequences too.
func checkKinds(part string, data json.RawMessage, known []string, depth int) error {
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
			if err := checkKinds(part, inner, known, depth+1); err != nil {
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

// parsePreTokenizer makes the splitter. The last pre-tokenizer must be ByteLevel, which turns text into bytes.
func parsePreTokenizer(data json.RawMessage) (pretoken.Splitter, error) {
	const part = "pre_tokenizer"
	list, err := parseComponent(part, data, "ByteLevel", "Digits", "Split")
	if err != nil {
		return nil, err
	}
	var splitters []pretoken.Splitter
	for i, c := range list {
		last := i == len(list)-1
		switch c.Type {
		case "ByteLevel":
			if !last {
				return nil, &UnsupportedError{Part: part, Name: "ByteLevel before another one"}
			}
			var s pretoken.Splitter
			if isTrue(c.UseRegex) {
				s, _ = pretoken.Lookup(pretoken.GPT2)
			}
			if isTrue(c.AddPrefixSpace) {
				s = pretoken.Prefixed(s)
			}
			if s != nil {
				splitters = append(splitters, s)
			}
			return pretoken.Sequence(splitters...), nil
		case "Digits":
			splitters = append(splitters, pretoken.Digits(c.IndividualDigits))
		case "Split":
			s, err := parseSplit(&c)
			if err != nil {
				return nil, err
			}
			splitters = append(splitters, s)
		}
	}
	return nil, &UnsupportedError{Part: part, Name: "without ByteLevel at the end"}
}

// parseSplit makes the splitter of a Split pre-tokenizer. The known patterns match every character, so there is nothing
// between matches, and to remove what is not a match is to isolate the matches.
func parseSplit(c *component) (pretoken.Splitter, error) {
	const part = "pre_tokenizer Split"
	if c.Pattern.Regex == nil {
		return nil, &UnsupportedError{Part: part, Name: "with a string pattern"}
	}
	isolates := (c.Behavior == "Isolated" && !c.Invert) || (c.Behavior == "Removed" && c.Invert)
	if !isolates {
		return nil, &UnsupportedError{Part: part, Name: fmt.Sprintf("with behavior %s, invert %t", c.Behavior, c.Invert)}
	}
	s, ok := pretoken.Lookup(*c.Pattern.Regex)
	if !ok {
		return nil, &UnsupportedError{Part: part, Name: fmt.Sprintf("with the pattern %q", *c.Pattern.Regex)}
	}
	return s, nil
}

// parsePostProcessor returns the ids that the post-processor puts before and after a text. ByteLevel only changes
// offsets.
func parsePostProcessor(data json.RawMessage) (prefix, suffix []uint32, err error) {
	const part = "post_processor"
	list, err := parseComponent(part, data, "ByteLevel", "TemplateProcessing")
	if err != nil {
		return nil, nil, err
	}
	for _, c := range list {
		if c.Type != "TemplateProcessing" {
			continue
		}
		before, after, err := c.template()
		if err != nil {
			return nil, nil, err
		}
		prefix = append(before, prefix...)
		suffix = append(suffix, after...)
	}
	return prefix, suffix, nil
}

// template returns what the template for single texts puts around the text.
func (c *component) template() (before, after []uint32, err error) {
	const part = "post_processor TemplateProcessing"
	texts := 0
	for _, p := range c.Single {
		switch {
		case p.Sequence != nil:
			texts++
			if p.Sequence.ID != "A" || texts > 1 {
				return nil, nil, &UnsupportedError{Part: part, Name: "with another single template than one $A"}
			}
		case p.SpecialToken != nil:
			word, ok := c.SpecialTokens[p.SpecialToken.ID]
			if !ok {
				return nil, nil, formatError("%s: special token %q is not described", part, p.SpecialToken.ID)
			}
			if texts == 0 {
				before = append(before, word.IDs...)
			} else {
				after = append(after, word.IDs...)
			}
		default:
			return nil, nil, formatError("%s: a piece is neither SpecialToken nor Sequence", part)
		}
	}
	if texts == 0 {
		return nil, nil, &UnsupportedError{Part: part, Name: "with a single template without $A"}
	}
	return before, after, nil
}

// checkNormalizer refuses every normalizer.
func checkNormalizer(data json.RawMessage) error {
	_, err := parseComponent("normalizer", data)
	return err
}

// checkDecoder wants one ByteLevel.
func checkDecoder(data json.RawMessage) error {
	const part = "decoder"
	list, err := parseComponent(part, data, "ByteLevel")
	if err != nil {
		return err
	}
	if len(list) != 1 {
		return &UnsupportedError{Part: part, Name: fmt.Sprintf("of %d components instead of one ByteLevel", len(list))}
	}
	return nil
}
