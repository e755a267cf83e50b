//go:build families

package parity

// scale divides the corpus and the number of random tokenizers: here both are whole.
const scale = 1
