//go:build !amd64

package kernels

// Best is the best variant of the kernels that this processor has the instructions for.
func Best() Variant { return None }
