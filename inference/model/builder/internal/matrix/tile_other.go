//go:build !amd64

package matrix

// addTile is addTilePlain.
func addTile(c []float32, stride int, a, b []float32) { addTilePlain(c, stride, a, b) }
