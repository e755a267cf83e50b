package filetest

import "runtime/metrics"

// Allocated gives the bytes that the process has taken from the heap so far. Of two calls the difference is what lay
// between them took, give or take some kilobytes.
func Allocated() uint64 {
	sample := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}
