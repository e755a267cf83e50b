package kernels

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"golang.org/x/sys/unix"
)

// randomWeights draws a matrix; exact scales are binary16 numbers.
func randomWeights(rng *rand.Rand, out, in, bits int, offsets, bias bool, gate Gate, exact bool) Weights {
	return randomBlocks(rng, out, in, BlockLength, bits, offsets, bias, gate, exact)
}

// randomBlocks draws a matrix with blocks of a length.
func randomBlocks(rng *rand.Rand, out, in, block, bits int, offsets, bias bool, gate Gate, exact bool) Weights {
	blocks := (in + block - 1) / block
	w := Weights{Out: out, In: in, Bits: bits, Block: block, Gate: gate, Codes: make([]byte, out*blocks*block*bits/8), Scales: make([]float32, out*blocks)}
	for i := range w.Codes {
		w.Codes[i] = byte(rng.Uint32())
	}
	draw := func(values []float32) []float32 {
		for i := range values {
			values[i] = rng.Float32() - 0.5
			if exact {
				values[i] = float32(math.Round(float64(values[i])*256) / 256)
			}
		}
		return values
	}
	draw(w.Scales)
	if offsets {
		w.Offsets = draw(make([]float32, out*blocks))
	}
	if bias {
		w.Bias = draw(make([]float32, out))
	}
	return w
}

// randomByOutput draws a matrix with a scale for each output.
func randomByOutput(rng *rand.Rand, out, in int, bias bool, gate Gate) Weights {
	w := randomWeights(rng, out, in, 8, false, bias, gate, false)
	w.ByOutput, w.Scales = true, w.Scales[:out]
	return w
}

// weight is one weight, as Weights says.
func (w *Weights) weight(row, column int) float64 {
	if w.ByOutput {
		return float64(w.Scales[row]) * float64(int8(w.Codes[column*w.Out+row]))
	}
	blocks := (w.In + w.Block - 1) / w.Block
	at := row*blocks*w.Block + column
	code := int(w.Codes[at*w.Bits/8])
	if w.Bits == 4 {
		code = code >> (at % 2 * 4) & 15
	}
	block := at / w.Block
	v := float64(w.Scales[block]) * float64(code-1<<(w.Bits-1))
	if w.Offsets != nil {
		v += float64(w.Offsets[block])
	}
	return v
}

// shared is how many inputs share a scale.
func (w *Weights) shared() int {
	if w.ByOutput {
		return 4 * BlockLength
	}
	return w.length()
}

// reference multiplies rows that are rounded by block, in float64.
func reference(w Weights, x []float32, rows int) []float64 {
	all := make([]float64, rows*w.Out)
	for r := range rows {
		rounded := make([]float64, w.In)
		for b := 0; b < w.In; b += w.shared() {
			share := x[r*w.In+b:][:min(w.shared(), w.In-b)]
			most := float32(0)
			for _, v := range share {
				most = max(most, float32(math.Abs(float64(v))))
			}
			for i, v := range share {
				if most > 0 {
					rounded[b+i] = math.RoundToEven(float64(v*(127/most))) * float64(most/127)
				}
			}
		}
		for o := range w.Out {
			sum := 0.0
			for i, v := range rounded {
				sum += v * w.weight(o, i)
			}
			if w.Bias != nil {
				sum += float64(w.Bias[o])
			}
			all[r*w.Out+o] = sum
		}
	}
	for i := range all {
		if w.Cap > 0 {
			all[i] = float64(w.Cap) * math.Tanh(all[i]/float64(w.Cap))
		}
	}
	if w.Gate == NoGate {
		return all
	}
	half := w.Out / 2
	gated := make([]float64, 0, rows*half)
	for r := range rows {
		for o := range half {
			g := all[r*w.Out+o]
			f := g
			if w.Gate == GELUTanh {
				f = 2 * math.Sqrt(2/math.Pi) * (g + 0.044715*g*g*g)
			}
			gated = append(gated, g/(1+math.Exp(-f))*all[r*w.Out+half+o])
		}
	}
	return gated
}

func testState(tb testing.TB, threads, maxIn int) *State {
	return newState(tb, StateConfig{Heads: 1, KVHeads: 1, HeadSize: 16, MaxLength: 16, MaxTokens: 256, MaxIn: maxIn, Threads: threads})
}

// newState makes a state for a test.
func newState(tb testing.TB, c StateConfig) *State {
	tb.Helper()
	s, err := NewState(c)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(s.Close)
	return s
}

// pack makes a matrix for a test, in memory of its own.
func pack(tb testing.TB, w Weights) *Matrix {
	tb.Helper()
	memory, err := unix.Mmap(-1, 0, w.MaxBytes(), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		tb.Fatal(err)
	}
	m, err := Pack(w, memory)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		m.Close()
		if err := unix.Munmap(memory); err != nil {
			tb.Error(err)
		}
	})
	return m
}

// TestMultiply compares products of every kind of matrix with float64, and each row with itself alone. NaN makes all of its
// row NaN, gated and capped too, and nothing of another.
func TestMultiply(t *testing.T) { eachVariant(t, testMultiply) }

func testMultiply(t *testing.T, v Variant) {
	rng := rand.New(rand.NewPCG(1, 2))
	for i := range 192 {
		bits, offsets, exact, bias, gate := 4+4*(i&1), i&2 != 0, i&4 != 0, i&8 != 0, Gate(i/16%3)
		block := []int{16, 32, 64, 128, 32}[rng.IntN(5)]
		out, in, rows := 2*(1+rng.IntN(50)), min(block, 32)*(1+rng.IntN(12)), 1+rng.IntN(20)
		name := fmt.Sprintf("%d: %d by %d of %d bits in blocks of %d, offsets %t, exact %t, bias %t, gate %d, %d rows", i, out, in, bits, block, offsets, exact, bias, gate, rows)
		w := randomBlocks(rng, out, in, block, bits, offsets, bias, gate, exact)
		byOutput := bits == 8 && !offsets && block == BlockLength
		if byOutput {
			w = randomByOutput(rng, out, in, bias, gate)
			name += ", by output"
		}
		if gate == NoGate && i&32 != 0 {
			w.Cap = 2 // which most values come to
			name += ", capped"
		}
		m := pack(t, w)
		// The minimum of 8-bit codes is 128 scales from the offset, and often no binary16 number any more.
		if got := m.c.half != 0; got != exact && (bits == 4 || !offsets) && !byOutput {
			t.Errorf("%s: scales of 16 bits: %t", name, got)
		}
		s := testState(t, 1+i%3, 4*in).on(v) // as of a model whose other products have more inputs
		x := make([]float32, rows*in)
		for j := range x {
			x[j] = rng.Float32() - 0.5
		}
		clear(x[:min(len(x), w.shared())]) // zeros alone that share a scale
		got, want := s.multiply(m, x, rows), reference(w, x, rows)
		for j := range want {
			if d := math.Abs(float64(got[j]) - want[j]); !(d <= 1e-3*(1+math.Abs(want[j]))) {
				t.Errorf("%s: value %d is %v, want %v", name, j, got[j], want[j])
				break
			}
		}
		for r := range rows {
			alone := s.multiply(m, x[r*in:(r+1)*in], 1)
			if !slices.Equal(alone, got[r*len(alone):(r+1)*len(alone)]) {
				t.Errorf("%s: row %d differs from itself alone", name, r)
			}
		}
		x[len(x)-1-i%in] = float32(math.NaN()) // of the last row
		broken := s.multiply(m, x, rows)
		others := len(broken) / rows * (rows - 1)
		if !slices.Equal(broken[:others], got[:others]) {
			t.Errorf("%s: NaN in the last row changes others", name)
		}
		if slices.ContainsFunc(broken[others:], func(v float32) bool { return v == v }) {
			t.Errorf("%s: NaN becomes %v", name, broken[others:])
		}
	}
}

// TestMultiplyExtremes: sums of the largest codes, of inputs and of weights of either sign, are exact.
func TestMultiplyExtremes(t *testing.T) { eachVariant(t, testMultiplyExtremes) }

func testMultiplyExtremes(t *testing.T, v Variant) {
	const out, in, rows = 20, 3*4*BlockLength + BlockLength, 9 // in groups of four blocks, and one of one
	rng := rand.New(rand.NewPCG(23, 24))
	for _, code := range []int8{-128, -127, 127} {
		w := randomByOutput(rng, out, in, false, NoGate)
		x := make([]float32, rows*in)
		for i := range w.Codes {
			w.Codes[i] = byte(code)
		}
		for i := range x {
			x[i] = 1
		}
		got, want := testState(t, 2, 4*in).on(v).multiply(pack(t, w), x, rows), reference(w, x, rows)
		for i := range want {
			if d := math.Abs(float64(got[i]) - want[i]); !(d <= 1e-6*math.Abs(want[i])) {
				t.Errorf("codes of %d: value %d is %v, want %v", code, i, got[i], want[i])
				break
			}
		}
	}
}

// TestMultiplyTiny: inputs too small for a scale of floats make results that are as small, and infinite ones no finite results.
func TestMultiplyTiny(t *testing.T) { eachVariant(t, testMultiplyTiny) }

func testMultiplyTiny(t *testing.T, v Variant) {
	const out, in = 20, 4 * BlockLength
	rng := rand.New(rand.NewPCG(25, 26))
	for _, w := range []Weights{
		randomByOutput(rng, out, in, false, NoGate), randomWeights(rng, out, in, 8, false, false, NoGate, true), randomWeights(rng, out, in, 4, true, false, NoGate, true),
	} {
		m, s := pack(t, w), testState(t, 1, in).on(v)
		for _, input := range []float32{1e-38, -1e-38, 1e-44, float32(math.Inf(1)), float32(math.Inf(-1))} {
			x := make([]float32, in)
			for i := range x {
				x[i] = input
			}
			for i, y := range s.multiply(m, x, 1) {
				if finite := y-y == 0; finite != (input-input == 0) || finite && math.Abs(float64(y)) > 1e-25 {
					t.Errorf("%d bits, by output %t: value %d of inputs %v is %v", w.Bits, w.ByOutput, i, input, y)
					break
				}
			}
		}
	}
}

// TestPackRefuses: parts that do not fit together are no matrix.
func TestPackRefuses(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for name, change := range map[string]func(w *Weights){
		"inputs": func(w *Weights) { w.In++ },
		"sides": func(w *Weights) { // of one block, in 64 bits
			*w = Weights{Out: 4427218533709827277, In: BlockLength * (1<<40 + 5), Bits: 4, Block: BlockLength, Codes: w.Codes[:16], Scales: w.Scales[:1]}
		},
		"bits":     func(w *Weights) { w.Bits = 5 },
		"blocks":   func(w *Weights) { w.Block = 48 },
		"block":    func(w *Weights) { w.Block = 8 },
		"no block": func(w *Weights) { w.Block = 0 },
		"long blocks": func(w *Weights) { // whose codes have 2^64 bits
			*w = Weights{Out: 1, In: BlockLength, Bits: 4, Block: 1 << 62, Scales: w.Scales[:1]}
		},
		"codes":            func(w *Weights) { w.Codes = w.Codes[1:] },
		"scales":           func(w *Weights) { w.Scales = w.Scales[1:] },
		"offsets":          func(w *Weights) { w.Offsets = w.Offsets[1:] },
		"bias":             func(w *Weights) { w.Bias = append(w.Bias, 0) },
		"a gate and a cap": func(w *Weights) { w.Gate, w.Cap = SiLU, 1 },
		"by output, of 4 bits": func(w *Weights) {
			w.ByOutput, w.Codes, w.Scales, w.Offsets = true, make([]byte, 4*64), w.Scales[:4], nil
		},
		"by output, of blocks": func(w *Weights) { w.ByOutput, w.Bits, w.Codes, w.Offsets = true, 8, make([]byte, 4*64), nil },
		"by output, offsets": func(w *Weights) {
			*w = randomByOutput(rng, 4, 64, true, NoGate)
			w.Offsets = make([]float32, 4)
		},
		"by output, long blocks": func(w *Weights) {
			*w = randomByOutput(rng, 4, 64, true, NoGate)
			w.Block = 64
		},
		"gated": func(w *Weights) { *w = randomWeights(rng, 3, 32, 4, false, false, SiLU, false) },
	} {
		w := randomWeights(rng, 4, 64, 4, true, true, NoGate, false)
		change(&w)
		if m, err := Pack(w, make([]byte, 4096)); err == nil {
			t.Errorf("%s: packed", name)
			m.Close()
		}
	}
}

// TestPackNeedsRoom: a matrix is not written behind its memory.
func TestPackNeedsRoom(t *testing.T) {
	w := randomWeights(rand.New(rand.NewPCG(7, 8)), 20, 64, 4, true, false, NoGate, false)
	if m, err := Pack(w, make([]byte, w.MaxBytes()-1)); err == nil {
		t.Error("packed")
		m.Close()
	}
}

// TestStateNeedsMemory: a state that does not fit into memory is an error.
func TestStateNeedsMemory(t *testing.T) {
	s, err := NewState(StateConfig{Heads: 1, KVHeads: 1, HeadSize: 16, MaxLength: PositionUnit, Threads: 1, MaxTokens: MaxSide, MaxIn: MaxSide})
	if err == nil {
		t.Error("made")
		s.Close()
	}
}
