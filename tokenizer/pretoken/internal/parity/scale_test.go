//go:build !families

package parity

// scale divides the texts: the judge is slow.
const scale = 5
