// Package calibration holds the built-in texts by which a conversion measures a model's activations: a little of everything that
// models are asked to read and write. They were written for this purpose.
package calibration

import (
	_ "embed"
	"strings"
)

//go:embed texts.txt
var texts string

// separator stands between two texts, on a line of its own.
const separator = "\n%%\n"

// Texts are the built-in ones.
func Texts() []string { return Split(texts) }

// Split cuts a file of texts.
func Split(file string) []string {
	var all []string
	for text := range strings.SplitSeq(file, separator) {
		if text = strings.TrimSpace(text); text != "" {
			all = append(all, text)
		}
	}
	return all
}
