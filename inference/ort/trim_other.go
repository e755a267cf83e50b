//go:build !linux

package ort

// boundHeap has nothing to do: see trim_linux.go.
func boundHeap() {}

// trimHeap has nothing to do: see trim_linux.go.
func trimHeap() {}
