//go:build !amd64

package sampling

// weighBlock replaces the logits of a block by their weights exp((logit - best) * inverse) and returns the sum of these.
func weighBlock(block *[blockSize]float32, best, inverse float32) float64 {
	return weighGo(block[:], best, inverse)
}
