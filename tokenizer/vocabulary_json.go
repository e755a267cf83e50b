package tokenizer

import (
	"bytes"
	"encoding/json"
	"fmt"

	"github.com/sluiceml/sluice/tokenizer/pretoken"
)

// TokenizerJSON writes the vocabulary as a tokenizer.json that Hugging Face tokenizers loads and that encodes the same.
// The same vocabulary gives the same bytes.
func (v Vocabulary) TokenizerJSON() ([]byte, error) {
	d, err := v.definition()
	if err != nil {
		return nil, err
	}
	if _, err := d.build(); err != nil { // so that only what loads is written
		return nil, err
	}
	parts, err := v.parts()
	if err != nil {
		return nil, err
	}
	w := jsonWriter{}
	w.raw("{\n  \"version\": \"1.0\",\n  \"truncation\": null,\n  \"padding\": null,\n  \"added_tokens\": [")
	v.writeAdded(&w)
	w.raw("],\n  \"normalizer\": ")
	w.component(parts.normalizer)
	w.raw(",\n  \"pre_tokenizer\": ")
	w.component(parts.preTokenizer)
	w.raw(",\n  \"post_processor\": ")
	v.writeTemplate(&w)
	w.raw(",\n  \"decoder\": ")
	w.component(parts.decoder)
	w.raw(",\n  \"model\": {\n    \"type\": \"BPE\",\n    \"dropout\": null,\n    \"unk_token\": ")
	w.value(d.unknown)
	w.raw(fmt.Sprintf(",\n    \"continuing_subword_prefix\": null,\n    \"end_of_word_suffix\": null,\n    \"fuse_unk\": %t,\n"+
		"    \"byte_fallback\": %t,\n    \"ignore_merges\": %t,\n    \"vocab\": {", d.fuseUnknown, d.byteFallback, d.ignoreMerges))
	separator := "\n      "
	for i, text := range v.Tokens {
		if v.typeOf(i) != TokenUnused {
			w.raw(separator)
			w.value(text)
			w.raw(fmt.Sprintf(": %d", i))
			separator = ",\n      "
		}
	}
	w.raw("\n    },\n    \"merges\": [")
	if v.Model == "llama" {
		for i, m := range d.merges { // no space can stand between: tokens may hold spaces
			w.raw(listSeparator(i, "      "))
			w.value([2]string{v.Tokens[m.Left], v.Tokens[m.Right]})
		}
	} else {
		for i, line := range v.Merges {
			w.raw(listSeparator(i, "      "))
			w.value(line)
		}
	}
	w.raw("\n    ]\n  }\n}\n")
	return w.Bytes(), w.err
}

// fields are the fields of a component, in order.
type fields []field

type field struct {
	name  string
	value any // a bool, a string, fields, or a list of fields
}

// pipelineParts are the components of a tokenizer.json; nil is null.
type pipelineParts struct{ normalizer, preTokenizer, decoder fields }

func byteLevelFields(useRegex bool) fields {
	return fields{{"type", "ByteLevel"}, {"add_prefix_space", false}, {"trim_offsets", true}, {"use_regex", useRegex}}
}

func replaceFields(from, to string) fields {
	return fields{{"type", "Replace"}, {"pattern", fields{{"String", from}}}, {"content", to}}
}

// parts says what the vocabulary's components are in a tokenizer.json.
func (v *Vocabulary) parts() (pipelineParts, error) {
	mark := string(separator)
	if v.Model == "llama" {
		p := pipelineParts{
			normalizer: replaceFields(" ", mark),
			decoder: fields{{"type", "Sequence"}, {"decoders", []fields{
				replaceFields(mark, " "),
				{{"type", "ByteFallback"}},
				{{"type", "Fuse"}},
				{{"type", "Strip"}, {"content", " "}, {"start", 1}, {"stop", 0}},
			}}},
		}
		if v.NoSpacePrefix {
			p.decoder[1].value = p.decoder[1].value.([]fields)[:3] //nolint:forcetypeassert,errcheck // made above
			return p, nil
		}
		p.normalizer = fields{{"type", "Sequence"}, {"normalizers", []fields{
			{{"type", "Prepend"}, {"prepend", mark}}, p.normalizer,
		}}}
		return p, nil
	}
	pre, ok := v.preType()
	if !ok {
		return pipelineParts{}, &UnsupportedError{Part: "pre-tokenizer", Name: fmt.Sprintf("%q", v.Pre)}
	}
	return pre.parts(), nil
}

// parts says what a pre-tokenizer's components are in a tokenizer.json.
func (p preType) parts() pipelineParts {
	out := pipelineParts{decoder: byteLevelFields(true)}
	if p.nfc {
		out.normalizer = fields{{"type", "NFC"}}
	}
	var list []fields
	if p.punctuation {
		list = append(list, fields{{"type", "Punctuation"}, {"behavior", "Contiguous"}})
	}
	if p.digits {
		list = append(list, fields{{"type", "Digits"}, {"individual_digits", true}})
	}
	inner := false // the last pattern is the one that ByteLevel has built in
	for i, text := range p.patterns {
		if inner = text == pretoken.GPT2 && i == len(p.patterns)-1; inner {
			break
		}
		list = append(list, fields{
			{"type", "Split"}, {"pattern", fields{{"Regex", text}}}, {"behavior", "Isolated"}, {"invert", false},
		})
	}
	if p.spaces {
		out.normalizer = replaceFields(" ", string(separator))
		out.decoder = fields{{"type", "Sequence"}, {"decoders", []fields{
			replaceFields(string(separator), " "), {{"type", "ByteFallback"}}, {{"type", "Fuse"}},
		}}}
	} else {
		list = append(list, byteLevelFields(inner))
	}
	out.preTokenizer = list[0]
	if len(list) > 1 {
		out.preTokenizer = fields{{"type", "Sequence"}, {"pretokenizers", list}}
	}
	return out
}

// writeAdded writes the control and user-defined tokens.
func (v *Vocabulary) writeAdded(w *jsonWriter) {
	n := 0
	for i, text := range v.Tokens {
		kind := v.typeOf(i)
		if kind != TokenControl && kind != TokenUserDefined {
			continue
		}
		w.raw(listSeparator(n, "    "))
		n++
		w.raw(fmt.Sprintf("{\n      \"id\": %d,\n      \"content\": ", i))
		w.value(text)
		w.raw(fmt.Sprintf(",\n      \"single_word\": false,\n      \"lstrip\": false,\n      \"rstrip\": false,\n"+
			"      \"normalized\": false,\n      \"special\": %t\n    }", kind == TokenControl))
	}
	if n > 0 {
		w.raw("\n  ")
	}
}

// writeTemplate writes the post-processor that adds BOS and EOS.
func (v *Vocabulary) writeTemplate(w *jsonWriter) {
	if !v.AddBOS && !v.AddEOS {
		w.raw("null")
		return
	}
	type specialToken struct {
		ID     string   `json:"id"`
		IDs    []uint32 `json:"ids"`
		Tokens []string `json:"tokens"`
	}
	type entry struct {
		ID     string `json:"id"`
		TypeID int    `json:"type_id"`
	}
	type templatePiece struct {
		SpecialToken *entry `json:"SpecialToken,omitempty"`
		Sequence     *entry `json:"Sequence,omitempty"`
	}
	special := map[string]specialToken{}
	template := func(texts ...string) (pieces []templatePiece) {
		for i, text := range texts {
			if v.AddBOS {
				name := v.Tokens[*v.BOS]
				special[name] = specialToken{ID: name, IDs: []uint32{*v.BOS}, Tokens: []string{name}}
				pieces = append(pieces, templatePiece{SpecialToken: &entry{ID: name, TypeID: i}})
			}
			pieces = append(pieces, templatePiece{Sequence: &entry{ID: text, TypeID: i}})
			if v.AddEOS {
				name := v.Tokens[*v.EOS]
				special[name] = specialToken{ID: name, IDs: []uint32{*v.EOS}, Tokens: []string{name}}
				pieces = append(pieces, templatePiece{SpecialToken: &entry{ID: name, TypeID: i}})
			}
		}
		return pieces
	}
	w.value(struct {
		Type          string                  `json:"type"`
		Single        []templatePiece         `json:"single"`
		Pair          []templatePiece         `json:"pair"`
		SpecialTokens map[string]specialToken `json:"special_tokens"`
	}{"TemplateProcessing", template("A"), template("A", "B"), special})
}

// listSeparator stands before the n-th entry of a list.
func listSeparator(n int, indent string) string {
	if n == 0 {
		return "\n" + indent
	}
	return ",\n" + indent
}

// jsonWriter writes JSON piece by piece and keeps the first error.
type jsonWriter struct {
	bytes.Buffer
	err error
}

func (w *jsonWriter) raw(s string) { _, _ = w.WriteString(s) } // a Buffer does not fail

// component writes the fields of a component, or null.
func (w *jsonWriter) component(f fields) {
	if f == nil {
		w.raw("null")
		return
	}
	w.fields(f, "  ")
}

// fields writes an object with its fields in order.
func (w *jsonWriter) fields(list fields, indent string) {
	for i, f := range list {
		w.raw(map[bool]string{true: "{\n", false: ",\n"}[i == 0] + indent + "  ")
		w.value(f.name)
		w.raw(": ")
		switch value := f.value.(type) {
		case fields:
			w.fields(value, indent+"  ")
		case []fields:
			for j, inner := range value {
				w.raw(map[bool]string{true: "[\n", false: ",\n"}[j == 0] + indent + "    ")
				w.fields(inner, indent+"    ")
			}
			w.raw("\n" + indent + "  ]")
		default:
			w.value(value)
		}
	}
	w.raw("\n" + indent + "}")
}

// value writes a value without escaping <, > and &, and without a line end.
func (w *jsonWriter) value(x any) {
	enc := json.NewEncoder(&w.Buffer)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(x); err != nil && w.err == nil {
		w.err = err
	}
	w.Truncate(w.Len() - 1)
}
