//go:build !families

package parity

// scale divides the corpus and the number of random tokenizers: the judges are slow.
const scale = 5
