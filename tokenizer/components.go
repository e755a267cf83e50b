package tokenizer

import (
	"encoding/json"
	"fmt"
	"unicode/utf8"

	"github.com/sluiceml/sluice/tokenizer/normalize"
	"github.com/sluiceml/sluice/tokenizer/pattern"
	"github.com/sluiceml/sluice/tokenizer/pretoken"
)

// normalizers reads the normalizer.
func (d *definition) normalizers(data json.RawMessage) error {
	const part = "normalizer"
	list, err := parseComponent(part, data, "normalizers", "NFC", "NFD", "NFKC", "NFKD", "Lowercase", "Replace", "Prepend", "Strip")
	if err != nil {
		return err
	}
	var all normalize.Sequence
	for _, c := range list {
		switch c.Type {
		case "NFC":
			all = append(all, normalize.NFC)
		case "NFD":
			all = append(all, normalize.NFD)
		case "NFKC":
			all = append(all, normalize.NFKC)
		case "NFKD":
			all = append(all, normalize.NFKD)
		case "Lowercase":
			all = append(all, normalize.Lowercase{})
		case "Replace":
			m, err := d.matcher(part+" Replace", c.Pattern)
			if err != nil {
				return err
			}
			if c.Content == nil {
				return formatError("%s: Replace lacks content", part)
			}
			all = append(all, normalize.Replace{Pattern: m, Content: *c.Content})
		case "Prepend":
			if c.Prepend == nil {
				return formatError("%s: Prepend lacks prepend", part)
			}
			all = append(all, normalize.Prepend(*c.Prepend))
		case "Strip":
			all = append(all, normalize.Strip{Left: c.StripLeft, Right: c.StripRight})
		}
	}
	if len(all) == 1 {
		d.normalizer = all[0]
	} else if len(all) > 1 {
		d.normalizer = all
	}
	return nil
}

// matcher makes what finds a pattern.
func (d *definition) matcher(part string, p patternSource) (normalize.Matcher, error) {
	switch {
	case p.String != nil && p.Regex == nil:
		if *p.String == "" {
			return nil, &UnsupportedError{Part: part, Name: "with an empty pattern"}
		}
		return normalize.Literal(*p.String), nil
	case p.Regex != nil && p.String == nil:
		return d.engine(part, *p.Regex)
	}
	return nil, formatError("%s: a pattern is neither String nor Regex", part)
}

// engine compiles a pattern that has no scanner.
func (d *definition) engine(part, text string) (*pattern.Regexp, error) {
	re, err := pattern.Compile(text)
	if err != nil {
		return nil, &UnsupportedError{Part: part, Name: err.Error()}
	}
	d.timed = true
	d.notes = append(d.notes, fmt.Sprintf("%s: the pattern %q has no scanner and runs in the regular-expression engine, which is slower", part, text))
	return re, nil
}

// maxChanging bounds the number of pre-tokenizers that can make a text longer: a few dozen would take all memory.
const maxChanging = 4

// preTokenizer reads the steps. Neighbouring scanners become one.
func (d *definition) preTokenizer(data json.RawMessage) error {
	list, err := parseComponent("pre_tokenizer", data, "pretokenizers", "ByteLevel", "Digits", "Split", "Metaspace", "Punctuation", "Whitespace", "WhitespaceSplit")
	if err != nil {
		return err
	}
	letters := newAlphabet()
	changing := 0
	for i := range list {
		if kind := list[i].Type; kind == "ByteLevel" || kind == "Metaspace" {
			if changing++; changing > maxChanging {
				return &UnsupportedError{Part: "pre_tokenizer", Name: fmt.Sprintf("with more than %d of ByteLevel and Metaspace", maxChanging)}
			}
		}
		if d.byteLevel { // the ByteLevel before was not the last
			d.byteLevel = false
			d.steps = append(d.steps, byteCharacters{letters})
		}
		if err := d.step(&list[i]); err != nil {
			return err
		}
	}
	d.joinScanners()
	return nil
}

// step reads one pre-tokenizer.
func (d *definition) step(c *component) error {
	const part = "pre_tokenizer"
	switch c.Type {
	case "ByteLevel":
		if isTrue(c.AddPrefixSpace) {
			d.steps = append(d.steps, spacePrefix{})
		}
		if isTrue(c.UseRegex) {
			s, _ := pretoken.Lookup(pretoken.GPT2)
			d.steps = append(d.steps, scan{s})
		}
		d.byteLevel = true
	case "Digits":
		d.steps = append(d.steps, scan{pretoken.Digits(c.IndividualDigits)})
	case "Split":
		return d.splitStep(c)
	case "Metaspace":
		return d.metaspaceStep(c)
	case "Punctuation":
		b := isolated
		if c.Behavior != nil {
			var err error
			if b, err = behaviorNamed(part+" Punctuation", *c.Behavior); err != nil {
				return err
			}
		}
		d.steps = append(d.steps, delimiter{match: characters(normalize.IsPunctuation), behavior: b})
	case "Whitespace":
		d.steps = append(d.steps, delimiter{match: wordOrPunctuation{}, behavior: removed, invert: true})
	case "WhitespaceSplit":
		d.steps = append(d.steps, delimiter{match: characters(isWhiteSpace), behavior: removed})
	}
	return nil
}

func behaviorNamed(part, name string) (behavior, error) {
	switch name {
	case "Removed":
		return removed, nil
	case "Isolated":
		return isolated, nil
	case "MergedWithPrevious":
		return mergedWithPrevious, nil
	case "MergedWithNext":
		return mergedWithNext, nil
	case "Contiguous":
		return contiguous, nil
	}
	return 0, formatError("%s: unknown behavior %q", part, name)
}

// splitStep reads a Split. A scanner isolates: its words are the matches and what lies between. Where a pattern matches
// every character nothing lies between, and to remove that is to isolate the matches.
func (d *definition) splitStep(c *component) error {
	const part = "pre_tokenizer Split"
	if c.Behavior == nil {
		return formatError("%s lacks behavior", part)
	}
	b, err := behaviorNamed(part, *c.Behavior)
	if err != nil {
		return err
	}
	if re := c.Pattern.Regex; re != nil && (b == isolated || (b == removed && c.Invert && matchesAll(*re))) {
		if s, ok := pretoken.Lookup(*re); ok {
			d.steps = append(d.steps, scan{s})
			return nil
		}
	}
	m, err := d.matcher(part, c.Pattern)
	if err != nil {
		return err
	}
	d.steps = append(d.steps, delimiter{match: m, behavior: b, invert: c.Invert})
	return nil
}

// matchesAll reports whether a known pattern leaves no character out.
func matchesAll(re string) bool {
	switch re {
	case pretoken.GPT2, pretoken.CL100K, pretoken.Qwen2, pretoken.Qwen35, pretoken.O200K, pretoken.Tekken:
		return true
	}
	return false
}

// metaspaceStep reads a Metaspace.
func (d *definition) metaspaceStep(c *component) error {
	mark, scheme, err := c.metaspace("pre_tokenizer Metaspace")
	if err != nil {
		return err
	}
	d.steps = append(d.steps, metaspace{
		replace: normalize.Replace{Pattern: normalize.Literal(" "), Content: mark},
		prepend: scheme,
		split:   isTrue(c.Split),
	})
	return nil
}

// metaspace reads what the pre-tokenizer and the decoder share.
func (c *component) metaspace(part string) (mark string, scheme prepend, err error) {
	if c.Replacement == nil || utf8.RuneCountInString(*c.Replacement) != 1 {
		return "", 0, formatError("%s: replacement is not one character", part)
	}
	switch name := c.PrependScheme; {
	case name == nil, *name == "always":
		scheme = prependAlways
	case *name == "first":
		scheme = prependFirst
	case *name == "never":
		scheme = prependNever
	default:
		return "", 0, formatError("%s: unknown prepend_scheme %q", part, *name)
	}
	if !isTrue(c.AddPrefixSpace) && scheme != prependNever {
		return "", 0, formatError("%s: add_prefix_space does not match prepend_scheme", part)
	}
	return *c.Replacement, scheme, nil
}

// joinScanners makes neighbouring scanners one, since known pairs are faster together.
func (d *definition) joinScanners() {
	var steps []step
	for _, s := range d.steps {
		if next, ok := s.(scan); ok && len(steps) > 0 {
			if last, ok := steps[len(steps)-1].(scan); ok {
				steps[len(steps)-1] = scan{pretoken.Sequence(last.Splitter, next.Splitter)}
				continue
			}
		}
		steps = append(steps, s)
	}
	d.steps = steps
}
