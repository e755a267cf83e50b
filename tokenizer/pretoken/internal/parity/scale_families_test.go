//go:build families

package parity

// scale divides the texts: here they are whole.
const scale = 1
