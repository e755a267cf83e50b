//go:build !amd64

package kernels

// Supported says whether this processor has what the kernels are written for.
func Supported() bool { return false }
