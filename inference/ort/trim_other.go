//go:build !linux

package ort

// trimHeap has nothing to do: see trim_linux.go.
func trimHeap() {}
