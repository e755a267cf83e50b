//go:build !amd64

package sampling

// scanBlocks sets the maximum and the sum of each block of a row of whole blocks. The order of a sum's additions is not
// said: a sum is there to be no number if one of its logits is none.
func scanBlocks(row, maxima, sums []float32) { scanBlocksGo(row, maxima, sums) }
