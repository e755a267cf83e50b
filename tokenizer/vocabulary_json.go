package tokenizer

import (
	"bytes"
	"encoding/json"
	"fmt"
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
	individual, err := v.preDigits()
	if err != nil {
		return nil, err
	}
	w := jsonWriter{}
	w.raw("{\n  \"version\": \"1.0\",\n  \"truncation\": null,\n  \"padding\": null,\n  \"added_tokens\": [")
	v.writeAdded(&w)
	w.raw("],\n  \"normalizer\": null,\n  \"pre_tokenizer\": ")
	w.raw(preTokenizerJSON(individual))
	w.raw(",\n  \"post_processor\": ")
	v.writeTemplate(&w)
	w.raw(",\n  \"decoder\": " + byteLevelJSON)
	w.raw(",\n  \"model\": {\n    \"type\": \"BPE\",\n    \"dropout\": null,\n    \"unk_token\": null,\n" +
		"    \"continuing_subword_prefix\": null,\n    \"end_of_word_suffix\": null,\n    \"fuse_unk\": false,\n" +
		"    \"byte_fallback\": false,\n    \"ignore_merges\": false,\n    \"vocab\": {")
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
	for i, line := range v.Merges {
		w.raw(listSeparator(i, "      "))
		w.value(line)
	}
	w.raw("\n    ]\n  }\n}\n")
	return w.Bytes(), w.err
}

const byteLevelJSON = `{
    "type": "ByteLevel",
    "add_prefix_space": false,
    "trim_offsets": true,
    "use_regex": true
  }`

func preTokenizerJSON(individualDigits bool) string {
	if !individualDigits {
		return byteLevelJSON
	}
	return `{
    "type": "Sequence",
    "pretokenizers": [
      {
        "type": "Digits",
        "individual_digits": true
      },
      {
        "type": "ByteLevel",
        "add_prefix_space": false,
        "trim_offsets": true,
        "use_regex": true
      }
    ]
  }`
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

// value writes a value without escaping <, > and &, and without a line end.
func (w *jsonWriter) value(x any) {
	enc := json.NewEncoder(&w.Buffer)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(x); err != nil && w.err == nil {
		w.err = err
	}
	w.Truncate(w.Len() - 1)
}
