package kernels

import (
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"

	"golang.org/x/sys/unix"
)

// randomWeights draws a matrix; exact scales are binary16 numbers.
func randomWeights(rng *rand.Rand, out, in, bits int, offsets, bias, gated, exact bool) Weights {
	blocks := in / BlockLength
	w := Weights{Out: out, In: in, Bits: bits, Gated: gated, Codes: make([]byte, out*in*bits/8), Scales: make([]float32, out*blocks)}
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

// weight is one weight, as Weights says.
func (w *Weights) weight(row, column int) float64 {
	at := row*w.In + column
	code := int(w.Codes[at*w.Bits/8])
	if w.Bits == 4 {
		code = code >> (at % 2 * 4) & 15
	}
	block := at / BlockLength
	v := float64(w.Scales[block]) * float64(code-1<<(w.Bits-1))
	if w.Offsets != nil {
		v += float64(w.Offsets[block])
	}
	return v
}

// reference multiplies rows that are rounded by block, in float64.
func reference(w Weights, x []float32, rows int) []float64 {
	all := make([]float64, rows*w.Out)
	for r := range rows {
		rounded := make([]float64, w.In)
		for b := 0; b < w.In; b += BlockLength {
			most := float32(0)
			for _, v := range x[r*w.In+b:][:BlockLength] {
				most = max(most, float32(math.Abs(float64(v))))
			}
			for i, v := range x[r*w.In+b:][:BlockLength] {
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
	if !w.Gated {
		return all
	}
	half := w.Out / 2
	gated := make([]float64, 0, rows*half)
	for r := range rows {
		for o := range half {
			g := all[r*w.Out+o]
			gated = append(gated, g/(1+math.Exp(-g))*all[r*w.Out+half+o])
		}
	}
	return gated
}

func testState(tb testing.TB, threads, maxIn int) *State {
	table := make([]float32, 4) // which products do not read
	return newState(tb, StateConfig{Layers: 1, Heads: 1, KVHeads: 1, HeadSize: 16, MaxLength: 16, Cosines: table, Sines: table, MaxTokens: 256, MaxIn: maxIn, Threads: threads})
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

// TestMultiply compares products of every kind of matrix with float64, and each row with itself alone.
func TestMultiply(t *testing.T) {
	if !Supported() {
		t.Skip("this processor has no AVX-512 VNNI")
	}
	rng := rand.New(rand.NewPCG(1, 2))
	for i := range 64 {
		bits, offsets, exact, bias, gated := 4+4*(i&1), i&2 != 0, i&4 != 0, i&8 != 0, i&16 != 0
		out, in, rows := 2*(1+rng.IntN(50)), BlockLength*(1+rng.IntN(5)), 1+rng.IntN(20)
		name := fmt.Sprintf("%d: %d by %d of %d bits, offsets %t, exact %t, bias %t, gated %t, %d rows", i, out, in, bits, offsets, exact, bias, gated, rows)
		w := randomWeights(rng, out, in, bits, offsets, bias, gated, exact)
		m := pack(t, w)
		// The minimum of 8-bit codes is 128 scales from the offset, and often no binary16 number any more.
		if got := m.c.half != 0; got != exact && (bits == 4 || !offsets) {
			t.Errorf("%s: scales of 16 bits: %t", name, got)
		}
		s := testState(t, 1+i%3, in)
		x := make([]float32, rows*in)
		for j := range x {
			x[j] = rng.Float32() - 0.5
		}
		clear(x[:min(len(x), BlockLength)]) // a block of zeros
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
	}
}

// TestPackRefuses: parts that do not fit together are no matrix.
func TestPackRefuses(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for name, change := range map[string]func(w *Weights){
		"inputs": func(w *Weights) { w.In++ },
		"sides": func(w *Weights) { // of one block, in 64 bits
			*w = Weights{Out: 4427218533709827277, In: BlockLength * (1<<40 + 5), Bits: 4, Codes: w.Codes[:16], Scales: w.Scales[:1]}
		},
		"bits":    func(w *Weights) { w.Bits = 5 },
		"codes":   func(w *Weights) { w.Codes = w.Codes[1:] },
		"scales":  func(w *Weights) { w.Scales = w.Scales[1:] },
		"offsets": func(w *Weights) { w.Offsets = w.Offsets[1:] },
		"bias":    func(w *Weights) { w.Bias = append(w.Bias, 0) },
		"gated":   func(w *Weights) { *w = randomWeights(rng, 3, 32, 4, false, false, true, false) },
	} {
		w := randomWeights(rng, 4, 64, 4, true, true, false, false)
		change(&w)
		if m, err := Pack(w, make([]byte, 4096)); err == nil {
			t.Errorf("%s: packed", name)
			m.Close()
		}
	}
}

// TestPackNeedsRoom: a matrix is not written behind its memory.
func TestPackNeedsRoom(t *testing.T) {
	w := randomWeights(rand.New(rand.NewPCG(7, 8)), 20, 64, 4, true, false, false, false)
	if m, err := Pack(w, make([]byte, w.MaxBytes()-1)); err == nil {
		t.Error("packed")
		m.Close()
	}
}

// TestStateNeedsMemory: a state that does not fit into memory is an error.
func TestStateNeedsMemory(t *testing.T) {
	table := make([]float32, 1)
	s, err := NewState(StateConfig{Layers: 1, MaxLength: PositionUnit, Cosines: table, Sines: table, MaxTokens: math.MaxInt32, MaxIn: math.MaxInt32 / BlockLength * BlockLength})
	if err == nil {
		t.Error("made")
		s.Close()
	}
}

// TestAttend compares attention with float64 for heads of several sizes, and every cut of a sequence into runs with the
// whole, bit by bit.
func TestAttend(t *testing.T) {
	if !Supported() {
		t.Skip("this processor has no AVX-512 VNNI")
	}
	rng := rand.New(rand.NewPCG(5, 6))
	for _, c := range []struct{ heads, kvHeads, size, length int }{
		{9, 3, 64, 150}, {4, 4, 16, 70}, {8, 1, 128, 90}, {2, 1, 96, 65}, {7, 1, 32, 33}, {2, 2, 256, 20},
	} {
		name := fmt.Sprintf("%d heads, %d of keys, of %d values, %d tokens", c.heads, c.kvHeads, c.size, c.length)
		maxLength := (c.length + PositionUnit - 1) / PositionUnit * PositionUnit
		cosines, sines := make([]float32, maxLength*c.size/2), make([]float32, maxLength*c.size/2)
		for i := range cosines {
			angle := float64(i/(c.size/2)) * math.Pow(10000, -2*float64(i%(c.size/2))/float64(c.size))
			cosines[i], sines[i] = float32(math.Cos(angle)), float32(math.Sin(angle))
		}
		s := newState(t, StateConfig{
			Layers: 1, Heads: c.heads, KVHeads: c.kvHeads, HeadSize: c.size, MaxLength: maxLength, Scale: 0.125,
			Cosines: cosines, Sines: sines, MaxTokens: 2 * c.length, MaxIn: BlockLength, Threads: 3,
		})
		keys, values := make([]uint16, 2*c.kvHeads*maxLength*c.size), make([]uint16, 2*c.kvHeads*maxLength*c.size)
		for i := range keys {
			keys[i], values[i] = 0x7e00, 0x7e00 // no numbers, until they are written
		}
		s.SetLayer(0, keys, values)
		width := (c.heads + 2*c.kvHeads) * c.size
		qkv := make([]float32, c.length*width)
		for i := range qkv {
			qkv[i] = 2 * (rng.Float32() - 0.5)
		}
		s.Reset()
		s.AddRun(0, 0, c.length)
		whole := s.attend(0, qkv)
		want := attendExactly(c.heads, c.kvHeads, c.size, c.length, cosines, sines, qkv)
		for i := range want {
			if d := math.Abs(float64(whole[i]) - want[i]); !(d < 2e-3) {
				t.Errorf("%s: value %d is %v, want %v", name, i, whole[i], want[i])
				break
			}
		}
		// The same tokens in slot 1, in runs of random lengths, each beside a token of slot 0 that is decoded again.
		for past := 0; past < c.length; {
			n := min(1+rng.IntN(20), c.length-past)
			s.Reset()
			s.AddRun(0, c.length-1, 1)
			s.AddRun(1, past, n)
			step := append(slices.Clone(qkv[(c.length-1)*width:]), qkv[past*width:(past+n)*width]...)
			got, row := s.attend(0, step), c.heads*c.size
			if !slices.Equal(got[:row], whole[(c.length-1)*row:]) || !slices.Equal(got[row:], whole[past*row:(past+n)*row]) {
				t.Errorf("%s: %d tokens from %d on differ from the whole", name, n, past)
			}
			past += n
		}
		runtime.KeepAlive([]any{cosines, sines, keys, values}) // the state has only their addresses
	}
}

// attendExactly is causal attention in float64.
func attendExactly(heads, kvHeads, size, length int, cosines, sines, qkv []float32) []float64 {
	width := (heads + 2*kvHeads) * size
	at := func(token, head int, rotated bool) []float64 {
		x := qkv[token*width+head*size:][:size]
		y := make([]float64, size)
		for i := range size / 2 {
			c, n := float64(cosines[token*size/2+i]), float64(sines[token*size/2+i])
			if !rotated {
				c, n = 1, 0
			}
			a, b := float64(x[i]), float64(x[i+size/2])
			y[i], y[i+size/2] = a*c-b*n, b*c+a*n
		}
		return y
	}
	out := make([]float64, length*heads*size)
	for t := range length {
		for h := range heads {
			kv := h / (heads / kvHeads)
			query, scores, sum := at(t, h, true), make([]float64, t+1), 0.0
			for j := range scores {
				for i, k := range at(j, heads+kv, true) {
					scores[j] += 0.125 * query[i] * k
				}
				scores[j] = math.Exp(scores[j])
				sum += scores[j]
			}
			for j, p := range scores {
				for i, v := range at(j, heads+kvHeads+kv, false) {
					out[(t*heads+h)*size+i] += p / sum * v
				}
			}
		}
	}
	return out
}
