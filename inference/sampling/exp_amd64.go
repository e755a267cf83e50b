package sampling

import (
	"math"

	"golang.org/x/sys/cpu"
)

// expTable holds what the assembly multiplies and adds, each eight times.
var expTable = [...][8]float32{ //nolint:gochecknoglobals // constant: Go has no arrays of constants
	eight(negligible),
	eight(math.Log2E),
	eight(expRound),
	eight(expLn2),
	eight(expLn2Rest),
	eight(expC0),
	eight(expC1),
	eight(expC2),
	eight(expC3),
	eight(expC4),
	eight(expC5),
	eight(1),
	eight(math.Float32frombits(exponentBias)), // an integer
}

func eight(x float32) [8]float32 { return [8]float32{x, x, x, x, x, x, x, x} }

// weighBlock replaces the logits of a block by their weights exp((logit - best) * inverse) and returns the sum of these.
func weighBlock(block *[blockSize]float32, best, inverse float32) float64 {
	if !cpu.X86.HasAVX2 {
		return weighGo(block[:], best, inverse)
	}
	return weighBlockAVX2(block, &expTable, best, inverse)
}

// weighBlockAVX2 does what weighGo does, operation by operation: the bits are the same.
//
//go:noescape
func weighBlockAVX2(block *[blockSize]float32, table *[len(expTable)][8]float32, best, inverse float32) float64
