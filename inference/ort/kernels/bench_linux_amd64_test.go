package kernels

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// BenchmarkRead reads memory that no cache holds, on one and on two threads: the limit of a step of one row, which reads
// all weights once.
func BenchmarkRead(b *testing.B) {
	const size = 256 << 20
	memory, err := unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := unix.Munmap(memory); err != nil {
			b.Error(err)
		}
	})
	if err := unix.Madvise(memory, unix.MADV_HUGEPAGE); err != nil { // as the weights lie
		b.Fatal(err)
	}
	for i := 0; i < size; i += 4096 {
		memory[i] = 1 // a page of its own, not the one of zeros
	}
	for _, threads := range []int{1, 2} {
		b.Run(fmt.Sprintf("threads=%d", threads), func(b *testing.B) {
			b.SetBytes(size)
			for b.Loop() {
				var all sync.WaitGroup
				for t := range threads {
					all.Go(func() {
						if bytes.IndexByte(memory[t*size/threads:(t+1)*size/threads], 2) >= 0 {
							b.Error("another byte")
						}
					})
				}
				all.Wait()
			}
		})
	}
}

// BenchmarkMultiply multiplies by a matrix in the cache, on one thread: what the processor can do at most.
func BenchmarkMultiply(b *testing.B) {
	const out, in = 1536, 576
	rng := rand.New(rand.NewPCG(1, 2))
	kinds := map[string]Weights{
		"4 bits":           randomWeights(rng, out, in, 4, true, false, NoGate, true),
		"8 bits":           randomWeights(rng, out, in, 8, false, false, NoGate, true),
		"8 bits by output": randomByOutput(rng, out, in, false, NoGate),
	}
	for _, v := range variants(b) {
		for kind, w := range kinds {
			b.Run(fmt.Sprintf("%v/%s", v, kind), func(b *testing.B) { benchmarkMultiply(b, v, w) })
		}
	}
}

func benchmarkMultiply(b *testing.B, v Variant, w Weights) {
	in, out := w.In, w.Out
	for _, rows := range []int{1, 2, 4, 8, 16, 128} {
		b.Run(fmt.Sprintf("rows=%d", rows), func(b *testing.B) {
			m, s := pack(b, w), testState(b, 1, in).on(v)
			x, y := make([]float32, rows*in), make([]float32, rows*out)
			for i := range x {
				x[i] = float32(i%251) - 125
			}
			for b.Loop() {
				s.multiplyInto(m, x, y, rows)
			}
			b.ReportMetric(float64(out*in*rows)*float64(b.N)/float64(b.Elapsed().Nanoseconds()), "GMAC/s")
		})
	}
}

// BenchmarkAttend attends with the default model's heads, on one thread: rows that decode and a chunk of a prompt, of
// many slots and layers, so that keys and values come from memory.
func BenchmarkAttend(b *testing.B) {
	for _, v := range variants(b) {
		b.Run(v.String(), func(b *testing.B) { benchmarkAttend(b, v) })
	}
}

func benchmarkAttend(b *testing.B, v Variant) {
	const heads, kvHeads, size, layers, slots, maxLength, width = 9, 3, 64, 30, 8, 1024, (9 + 2*3) * 64
	for _, c := range []struct{ rows, past, tokens int }{{1, 127, 1}, {8, 127, 1}, {1, 1023, 1}, {8, 1023, 1}, {1, 0, 128}, {1, 0, 512}} {
		b.Run(fmt.Sprintf("runs=%d/past=%d/tokens=%d", c.rows, c.past, c.tokens), func(b *testing.B) {
			table := make([]float32, maxLength*size/2)
			s := newState(b, StateConfig{
				Layers: slices.Repeat([]Layer{{Cosines: table, Sines: table, Pairs: size / 2, Scale: 0.125}}, layers), Heads: heads,
				KVHeads: kvHeads, HeadSize: size, MaxLength: maxLength, MaxTokens: 512, MaxIn: BlockLength, Threads: 1, Variant: v,
			})
			var memory [][2][]uint16
			for layer := range layers {
				of := [2][]uint16{}
				for i := range of {
					of[i] = make([]uint16, slots*kvHeads*maxLength*size)
					for j := range of[i] {
						of[i][j] = 0x3e80 // a quarter: memory of its own, not the page of zeros
					}
				}
				s.SetLayer(layer, of[0], of[1])
				memory = append(memory, of)
			}
			s.Reset()
			for slot := range c.rows {
				s.AddRun(slot, c.past, c.tokens)
			}
			qkv := make([]float32, c.rows*c.tokens*width)
			for i := range qkv {
				qkv[i] = float32(i%251)/125 - 1
			}
			y := make([]float32, c.rows*c.tokens*heads*size)
			for b.Loop() {
				for layer := range layers {
					s.attendInto(layer, qkv, y)
				}
			}
			runtime.KeepAlive(memory) // the state has only its addresses
			seconds := b.Elapsed().Seconds() / float64(b.N)
			seen := float64(c.rows) * float64(c.tokens) * (float64(c.past) + float64(c.tokens+1)/2) * layers
			b.ReportMetric(seen*heads*size*2/seconds/1e9, "GMAC/s")
			if c.tokens == 1 {
				b.ReportMetric(seen*kvHeads*size*4/seconds/1e6, "MB/s")
			}
		})
	}
}
