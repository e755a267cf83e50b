package sampling

import "golang.org/x/sys/cpu"

// scanBlocks sets the maximum and the sum of each block of a row of whole blocks. The order of a sum's additions is not
// said: a sum is there to be no number if one of its logits is none.
func scanBlocks(row, maxima, sums []float32) {
	if !cpu.X86.HasAVX2 || len(maxima) == 0 {
		scanBlocksGo(row, maxima, sums)
		return
	}
	_, _ = row[len(maxima)*blockSize-1], sums[len(maxima)-1] // the assembly checks no bounds
	scanBlocksAVX2(&row[0], &maxima[0], &sums[0], len(maxima))
}

// scanBlocksAVX2 is scanBlocks for at least one block. Of a block with a NaN the maximum is any value, and the sum NaN.
//
//go:noescape
func scanBlocksAVX2(row, maxima, sums *float32, blocks int)
