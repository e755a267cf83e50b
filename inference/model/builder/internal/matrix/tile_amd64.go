package matrix

import "golang.org/x/sys/cpu"

// addTile is addTilePlain, with AVX where the processor has it.
func addTile(c []float32, stride int, a, b []float32) {
	if !cpu.X86.HasAVX {
		addTilePlain(c, stride, a, b)
		return
	}
	_ = c[3*stride+tileCols-1]
	addTileAVX(len(a)/tileRows, &a[0], &b[0], &c[0], 4*stride)
}

// addTileAVX takes the length of the inner dimension, at least 1, and the stride of c in bytes.
//
//go:noescape
func addTileAVX(n int, a, b, c *float32, stride int)
