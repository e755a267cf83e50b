package kernels

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// randomHead draws weights of a head as they are in models: codes take all of their range, most of them small.
func randomHead(rng *rand.Rand, out, in int, exact, bias bool) Weights {
	w := randomWeights(rng, out, in, 8, false, bias, NoGate, exact)
	for i := range w.Codes {
		w.Codes[i] = byte(128 + min(max(rng.NormFloat64()*45, -127), 127))
	}
	for i := range w.Scales {
		w.Scales[i] = (16 + float32(rng.IntN(16))) / 4096
		if !exact {
			w.Scales[i] += 1e-7
		}
	}
	w.Head = true
	return w
}

// hiddenState draws an input for which one output's logit is far above most.
func hiddenState(rng *rand.Rand, w Weights) []float32 {
	likely := rng.IntN(w.Out)
	x := make([]float32, w.In)
	for i := range x {
		x[i] = float32(rng.NormFloat64()*0.3 + w.weight(likely, i)*5)
	}
	return x
}

func equalBits(a, b []float32) bool {
	return slices.EqualFunc(a, b, func(a, b float32) bool { return math.Float32bits(a) == math.Float32bits(b) })
}

// TestHead: of a row of which all logits are read, a head in two planes gives the bits of one in one plane. Of another, the best
// has these bits and is the best, and most of what lies below has not been computed to the end. Nothing of it depends on other rows,
// on threads or on the kind of processor.
func TestHead(t *testing.T) {
	variants(t)
	rng := rand.New(rand.NewPCG(31, 32))
	for i, c := range []struct {
		out, in     int
		exact, bias bool
		softcap     float32
	}{{20011, 96, true, false, 0}, {40960, 160, false, true, 0}, {262144, 96, true, false, 30}} {
		w := randomHead(rng, c.out, c.in, c.exact, c.bias)
		w.Cap = c.softcap
		head := pack(t, w)
		w.Head = false
		plain := pack(t, w)
		if head.c.split == 0 || plain.c.split != 0 {
			t.Fatalf("case %d: packed in two planes: %d and %d", i, head.c.split, plain.c.split)
		}
		if head.Bytes() > plain.Bytes()+64 {
			t.Errorf("case %d: two planes take %d bytes, one %d", i, head.Bytes(), plain.Bytes())
		}
		const rows = 23
		greedy := func(row int) bool { return row%4 != 1 }
		var x []float32
		for range rows {
			x = append(x, hiddenState(rng, w)...)
		}
		whole := testState(t, 1, c.in).multiply(plain, x, rows)
		var together []float32
		for threads := 1; threads <= 3; threads++ {
			s := testState(t, threads, 2*c.in).on(variants(t)[threads%len(variants(t))]) // one, or the other
			if got := s.multiply(head, x, rows); !equalBits(got, whole) {
				t.Errorf("case %d: %d threads: the whole head has other bits", i, threads)
			}
			for r := range rows {
				s.Want(r, greedy(r))
			}
			got := s.multiply(head, x, rows)
			if together == nil {
				together = got
			}
			if !equalBits(got, together) {
				t.Errorf("case %d: %d threads: other bits than one", i, threads)
			}
		}
		s := testState(t, 2, c.in)
		for r := range rows {
			s.Want(0, greedy(r))
			alone, wanted := s.multiply(head, x[r*c.in:(r+1)*c.in], 1), whole[r*c.out:(r+1)*c.out]
			if !equalBits(alone, together[r*c.out:(r+1)*c.out]) {
				t.Errorf("case %d: row %d differs from itself alone", i, r)
			}
			if !greedy(r) {
				if !equalBits(alone, wanted) {
					t.Errorf("case %d: row %d, of which all is read, has other bits than the whole head's", i, r)
				}
				continue
			}
			checkBest(t, fmt.Sprintf("case %d, row %d", i, r), alone, wanted)
		}
	}
}

// checkBest holds a row of which only the best logit is read to the whole head's.
func checkBest(t *testing.T, name string, got, whole []float32) {
	t.Helper()
	best := slices.Max(whole)
	same, furthest := 0, 0.0
	for o, v := range whole {
		switch {
		case math.Float32bits(got[o]) == math.Float32bits(v):
			same++
		case v >= best || got[o] >= best:
			t.Errorf("%s: logit %d is %v, of the whole head %v; the best is %v", name, o, got[o], v, best)
		}
		furthest = max(furthest, math.Abs(float64(got[o]-v)))
	}
	if same > len(whole)/2 || furthest > 8 {
		t.Errorf("%s: %d of %d logits are the whole head's, the others at most %v off", name, same, len(whole), furthest)
	}
}

// TestHeadExtremes: rows of zeros, of what is no number, of very large and very small numbers have the whole head's bits where
// they are among the best.
func TestHeadExtremes(t *testing.T) {
	variants(t)
	rng := rand.New(rand.NewPCG(33, 34))
	w := randomHead(rng, 9000, 64, true, false)
	head := pack(t, w)
	w.Head = false
	plain, s := pack(t, w), testState(t, 2, w.In)
	s.Want(0, true)
	inf := float32(math.Inf(1))
	for name, change := range map[string]func(x []float32){
		"zeros":      func(x []float32) { clear(x) },
		"NaN":        func(x []float32) { x[40] = float32(math.NaN()) },
		"infinite":   func(x []float32) { x[3] = inf },
		"-infinite":  func(x []float32) { x[3], x[50] = -inf, inf },
		"large":      func(x []float32) { scaleBy(x, 1e36) },
		"small":      func(x []float32) { scaleBy(x, 1e-25) },
		"very small": func(x []float32) { scaleBy(x, 1e-36) },
	} {
		x := hiddenState(rng, w)
		change(x)
		got, whole := s.multiply(head, x, 1), s.multiply(plain, x, 1)
		finite := !slices.ContainsFunc(whole, func(v float32) bool { return v-v != 0 })
		if !finite || name == "zeros" {
			if !equalBits(got, whole) {
				t.Errorf("%s: other bits than the whole head's", name)
			}
			continue
		}
		at := slices.Index(whole, slices.Max(whole))
		if slices.Max(got) != got[at] || got[at] != whole[at] {
			t.Errorf("%s: the best is %v, at its place %v, of the whole head %v", name, slices.Max(got), got[at], whole[at])
		}
	}
}

func scaleBy(x []float32, by float32) {
	for i := range x {
		x[i] *= by
	}
}

// checkPlanes holds some rows of a head, of which only the best logit is read, to that head in one plane, by each variant.
func checkPlanes(t *testing.T, w Weights, x []float32) (got, whole []float32) {
	t.Helper()
	head := pack(t, w)
	w.Head = false
	plain, s, rows := pack(t, w), testState(t, 2, w.In), len(x)/w.In
	if head.c.split == 0 {
		t.Fatal("a head in one plane")
	}
	whole = s.multiply(plain, x, rows)
	for r := range rows {
		s.Want(r, true)
	}
	for _, v := range variants(t) {
		got = s.on(v).multiply(head, x, rows)
		for r := range rows {
			got, whole := got[r*w.Out:][:w.Out], whole[r*w.Out:][:w.Out]
			at := slices.Index(whole, slices.Max(whole))
			if slices.Index(got, slices.Max(got)) != at || got[at] != whole[at] {
				t.Errorf("%v, row %d: the best is %v at %d, of the whole head %v at %d", v, r, slices.Max(got), slices.Index(got, slices.Max(got)), whole[at], at)
			}
		}
	}
	return got, whole
}

// TestHeadOutlier: one input has nearly all of a row, and the weights of its block are far larger than others, as those of models
// with outlier channels may be. The high halves of that input's weights are then most of what is known of a row's logits.
func TestHeadOutlier(t *testing.T) {
	variants(t)
	const rows, outlier = 12, 70
	rng := rand.New(rand.NewPCG(41, 42))
	w := randomHead(rng, splitOutputs, 2560, true, false)
	for o := range w.Out {
		w.Codes[o*w.In+outlier] = byte(230 + rng.IntN(11)) // low halves up to 15 where the high one is 14, and of 0 where it is 15
		w.Scales[(o*w.In+outlier)/BlockLength] = 1.0 / 16
	}
	x := make([]float32, rows*w.In)
	for i := range x {
		x[i] = float32(rng.NormFloat64() * 0.3)
		switch {
		case i%w.In == outlier:
			x[i] = 24
		case i%w.In/BlockLength == outlier/BlockLength:
			x[i] = 0
		}
	}
	checkPlanes(t, w, x)
}

// TestHeadBias: the low halves of some outputs, none of which is looked at when it is seen whether a head has two planes, are off
// their mean together. Inputs of one sign bring all of it into the logits.
func TestHeadBias(t *testing.T) {
	variants(t)
	rng := rand.New(rand.NewPCG(43, 44))
	w := randomHead(rng, splitOutputs, 2048, true, false)
	biased := make([]bool, w.Out)
	for o := range w.Out {
		biased[o] = o%8 == 3
	}
	for i := range splitSamples {
		biased[i*(w.Out-1)/(splitSamples-1)] = false
	}
	for i, code := range w.Codes {
		if biased[i/w.In] {
			w.Codes[i] = code &^ 3
		}
	}
	x := make([]float32, 12*w.In)
	for i := range x {
		x[i] = float32(math.Abs(rng.NormFloat64()) * (1 - 2*float64(i/w.In%2)))
	}
	checkPlanes(t, w, x)
}

// TestHeadMissed: the low halves of one output are all against the input, so that its logit is far below the bound that its high
// halves raise. It is seen that no logit comes up to it, and all of the row is computed.
func TestHeadMissed(t *testing.T) {
	variants(t)
	rng := rand.New(rand.NewPCG(45, 46))
	w := randomHead(rng, 9000, 320, true, false)
	for i := range w.Scales {
		w.Scales[i] = 1.0 / 256
	}
	const liar = 4001
	x := hiddenState(rng, w)
	logit := func(o int, code func(code byte) float64) (sum float64) {
		for i, v := range x {
			sum += code(w.Codes[o*w.In+i]) * float64(v) / 256
		}
		return sum
	}
	exact := func(code byte) float64 { return float64(code) - 128 }
	best := math.Inf(-1)
	for o := range w.Out {
		best = max(best, logit(o, exact))
	}
	// Low halves are 0 or 15. High halves go up until the logit by them alone is above the best by what low halves take off it.
	off := 0.0
	for i, v := range x {
		low := byte(0)
		if v < 0 {
			low = 15
		}
		w.Codes[liar*w.In+i] = 0x80 + low
		off += 7.5 * math.Abs(float64(v)) / 256
	}
	for i, v := range x {
		if logit(liar, exact) > best-off/4 {
			break
		}
		if v > 0 {
			w.Codes[liar*w.In+i] += 0x70
		} else {
			w.Codes[liar*w.In+i] -= 0x70
		}
	}
	if at := logit(liar, exact); at >= best || at < best-off/3 {
		t.Fatalf("the logit is %v, the best %v, and low halves take %v off", at, best, off)
	}
	got, whole := checkPlanes(t, w, slices.Concat(x, hiddenState(rng, w)))
	if !equalBits(got[:w.Out], whole[:w.Out]) {
		t.Error("a row whose bound is above its best logit was not computed to the end")
	}
	if equalBits(got[w.Out:], whole[w.Out:]) {
		t.Error("so was another")
	}
}

// TestWantRefuses: what is said of a row that no step has goes nowhere.
func TestWantRefuses(t *testing.T) {
	variants(t)
	s := testState(t, 1, 32)
	s.Want(255, true)
	for _, row := range []int{-1, 256} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("row %d was written", row)
				}
			}()
			s.Want(row, true)
		}()
	}
}

// TestHeadSplits: what high halves of codes say too little of, what is small, and what has no such codes, stays in one plane.
func TestHeadSplits(t *testing.T) {
	rng := rand.New(rand.NewPCG(35, 36))
	for name, change := range map[string]func(w *Weights){
		"not a head": func(w *Weights) { w.Head = false },
		"small":      func(w *Weights) { w.Out, w.Codes, w.Scales = 8191, w.Codes[:8191*w.In], w.Scales[:8191*2] },
		"5 bits": func(w *Weights) {
			for i, code := range w.Codes {
				w.Codes[i] = 112 + code>>3
			}
		},
		"multiples of 4": func(w *Weights) {
			for i, code := range w.Codes {
				w.Codes[i] = code &^ 3
			}
		},
		"4 bits":  func(w *Weights) { *w = randomWeights(rng, w.Out, w.In, 4, false, false, NoGate, true); w.Head = true },
		"offsets": func(w *Weights) { w.Offsets = slices.Clone(w.Scales) },
		"short blocks": func(w *Weights) {
			*w = randomBlocks(rng, w.Out, w.In, ShortBlock, 8, false, false, NoGate, true)
			w.Head = true
		},
		"by output": func(w *Weights) { *w = randomByOutput(rng, w.Out, w.In, false, NoGate); w.Head = true },
		"gated":     func(w *Weights) { w.Gate = SiLU },
	} {
		w := randomHead(rng, 8192, 64, true, false)
		if !w.splits() {
			t.Fatal("a head stays in one plane")
		}
		change(&w)
		if w.splits() {
			t.Errorf("%s: in two planes", name)
		}
	}
	w := randomHead(rng, 8192, 64, true, false)
	for i := range 100 * w.In { // rows that fill the vocabulary up
		w.Codes[len(w.Codes)-1-i], w.Scales[len(w.Scales)-1-i*len(w.Scales)/len(w.Codes)] = 128, 0
	}
	if !w.splits() {
		t.Error("rows of zeros: in one plane")
	}
	w = randomHead(rng, 8192, 64, true, false)
	w.Block, w.Scales = 128, w.Scales[:8192] // of which half is padding
	w.Codes = append(w.Codes, w.Codes...)
	if !w.splits() {
		t.Error("long blocks: in one plane")
	}
}

// TestHeadIsOfWanted: which of the best logits are read is said of the rows that are wanted.
func TestHeadIsOfWanted(t *testing.T) {
	variants(t)
	m := pack(t, randomHead(rand.New(rand.NewPCG(37, 38)), 8192, 32, true, false))
	_, err := NewProgram(32, 8192, []int{8192}, []Action{Multiply{X: InputBuffer, Y: OwnBuffer, Matrix: m}})
	if err == nil {
		t.Error("a program has a head of tokens that are not wanted")
	}
}
