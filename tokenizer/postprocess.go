package tokenizer

import "encoding/json"

// trim is a post-processor that takes the white space at the ends of tokens out of their offsets.
type trim struct {
	prefixSpace bool // a space that a pre-tokenizer may have put there stays
	inner       bool // it comes after tokens were put before the text
}

// postProcessor reads the ids that are put before and after a text, and what is done to offsets.
func (d *definition) postProcessor(data json.RawMessage) error {
	const part = "post_processor"
	list, err := parseComponent(part, data, "ByteLevel", "TemplateProcessing", "RobertaProcessing", "BertProcessing")
	if err != nil {
		return err
	}
	for _, c := range list {
		var before, after []uint32
		switch c.Type {
		case "ByteLevel":
			if isTrue(c.TrimOffsets) {
				d.trims = append(d.trims, trim{prefixSpace: isTrue(c.AddPrefixSpace), inner: len(d.prefix) > 0})
			}
			continue
		case "TemplateProcessing":
			if before, after, err = c.template(); err != nil {
				return err
			}
		default:
			if c.Sep == nil || c.Cls == nil {
				return formatError("%s: %s lacks sep or cls", part, c.Type)
			}
			if c.Type == "RobertaProcessing" && isTrue(c.TrimOffsets) {
				d.trims = append(d.trims, trim{prefixSpace: isTrue(c.AddPrefixSpace), inner: len(d.prefix) > 0})
			}
			before, after = []uint32{c.Cls.id}, []uint32{c.Sep.id}
		}
		d.prefix = append(before, d.prefix...)
		d.suffix = append(d.suffix, after...)
	}
	return nil
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
