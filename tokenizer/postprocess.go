package tokenizer

import (
	"encoding/json"
	"fmt"
	"slices"
)

// trim is a post-processor that takes the white space at the ends of tokens out of their offsets.
type trim struct {
	prefixSpace bool // a space that a pre-tokenizer may have put there stays
	inner       bool // it comes after tokens were put before the text, if special tokens are added
}

// part of an encoding: the text, or nothing, with ids before and after.
type encodedPart struct {
	before, after []uint32
	text          bool
}

// maxAdded bounds how many tokens are added around a text: a template can name a long list of them again and again.
const maxAdded = 1 << 12

// postProcessor reads the ids that are put before and after a text, and what is done to offsets. Post-processors in a
// sequence work on parts, as the reference's do: a template makes several of one, and what comes after it treats each
// by itself.
func (d *definition) postProcessor(data json.RawMessage) error {
	const part = "post_processor"
	list, err := parseComponent(part, data, "processors", "ByteLevel", "TemplateProcessing", "RobertaProcessing", "BertProcessing")
	if err != nil {
		return err
	}
	parts := []encodedPart{{text: true}}
	for _, c := range list {
		if c.Type == "TemplateProcessing" {
			if parts, err = c.template(parts); err != nil {
				return err
			}
			continue
		}
		if c.Type != "BertProcessing" && isTrue(c.TrimOffsets) {
			t := trim{prefixSpace: isTrue(c.AddPrefixSpace)}
			for _, p := range parts {
				t.inner = t.inner || (p.text && len(p.before) > 0)
			}
			d.trims = append(d.trims, t)
		}
		if c.Type == "ByteLevel" {
			continue
		}
		if c.Sep == nil || c.Cls == nil {
			return formatError("%s: %s lacks sep or cls", part, c.Type)
		}
		for i := range parts {
			if i == 0 {
				parts[i].before = append([]uint32{c.Cls.id}, parts[i].before...)
			} else if c.Type == "RobertaProcessing" {
				parts[i].before = append([]uint32{c.Sep.id}, parts[i].before...)
			}
			parts[i].after = append(slices.Clip(parts[i].after), c.Sep.id)
		}
	}
	return d.addAround(parts)
}

// addAround notes the ids of the parts before the text and of those after it.
func (d *definition) addAround(parts []encodedPart) error {
	passed, added := false, 0
	for _, p := range parts {
		if added += len(p.before) + len(p.after); added > maxAdded {
			return &UnsupportedError{Part: "post_processor", Name: fmt.Sprintf("that adds more than %d tokens", maxAdded)}
		}
		if !passed {
			d.prefix = append(d.prefix, p.before...)
		} else {
			d.suffix = append(d.suffix, p.before...)
		}
		if passed = passed || p.text; passed {
			d.suffix = append(d.suffix, p.after...)
		} else {
			d.prefix = append(d.prefix, p.after...)
		}
	}
	return nil
}

// template puts parts into the template for as many: of one part, the text, or of two. The reference has no template
// for more.
func (c *component) template(parts []encodedPart) ([]encodedPart, error) {
	const part = "post_processor TemplateProcessing"
	template := c.Single
	switch len(parts) {
	case 1:
	case 2:
		template = c.Pair
	default:
		return nil, &UnsupportedError{Part: part, Name: "after a post-processor that makes more than two parts"}
	}
	var out []encodedPart
	texts := 0
	if len(template) > maxAdded {
		return nil, &UnsupportedError{Part: part, Name: fmt.Sprintf("of more than %d pieces", maxAdded)}
	}
	for _, p := range template {
		switch {
		case p.Sequence != nil:
			i := 0
			if p.Sequence.ID != "A" {
				i = 1
			}
			if i >= len(parts) {
				return nil, &UnsupportedError{Part: part, Name: "with another template than one $A for the text"}
			}
			if parts[i].text {
				texts++
			}
			out = append(out, parts[i])
		case p.SpecialToken != nil:
			word, ok := c.SpecialTokens[p.SpecialToken.ID]
			if !ok {
				return nil, formatError("%s: special token %q is not described", part, p.SpecialToken.ID)
			}
			out = append(out, encodedPart{before: word.IDs})
		default:
			return nil, formatError("%s: a piece is neither SpecialToken nor Sequence", part)
		}
	}
	if texts != 1 {
		return nil, &UnsupportedError{Part: part, Name: "with another template than one $A for the text"}
	}
	return out, nil
}
