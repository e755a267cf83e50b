package kernels

import (
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"
)

// testDecoder is a small model: two layers of attention and a gated product, and a head.
type testDecoder struct {
	attended
	norms    [][]float32
	matrices []*Matrix
	parts    [2]*Matrix // what the second layer's first matrix is made of
	program  *Program
	chosen   *Program // the same, with what it need not make of tokens that are not wanted left out
}

const testHidden, testInner, testVocabulary, testEpsilon, testCut = 64, 96, 50, 1e-5, 40

// The buffers that attention reads and writes, and how much of the one are the queries that come with the first part.
const testQKV, testResult, testQueries = OwnBuffer + 1, OwnBuffer + 2, 32

// newTestDecoder makes a decoder of random weights. Layers have four matrices and two norms.
func newTestDecoder(t *testing.T, rng *rand.Rand) *testDecoder {
	t.Helper()
	d := &testDecoder{attended: newAttended(rng, 4, 2, 16, 300).normed(rng, false)}
	matrix := func(out, in int, gate Gate) {
		w := randomWeights(rng, out, in, 4, true, false, gate, true)
		for i := range w.Scales {
			w.Scales[i], w.Offsets[i] = w.Scales[i]/32, w.Offsets[i]/8
		}
		if len(d.matrices) == 4 { // the second layer's first
			d.parts = [2]*Matrix{pack(t, w.rows(0, testCut)), pack(t, w.rows(testCut, out))}
		}
		d.matrices = append(d.matrices, pack(t, w))
	}
	norm := func() {
		weight := make([]float32, testHidden)
		for i := range weight {
			weight[i] = 0.5 + rng.Float32()
		}
		d.norms = append(d.norms, weight)
	}
	for range 2 {
		norm()
		matrix((4+2*2)*16, testHidden, NoGate)
		matrix(testHidden, 4*16, NoGate)
		norm()
		matrix(2*testInner, testHidden, SiLU)
		matrix(testHidden, testInner, NoGate)
	}
	norm()
	matrix(testVocabulary, testHidden, NoGate)
	const normed, qkv, result, branch, sum, inner, wantedResult, wantedSum, wantedBranch, wantedNormed, wantedInner = OwnBuffer, testQKV,
		testResult, OwnBuffer + 3, OwnBuffer + 4, OwnBuffer + 5, OwnBuffer + 6, OwnBuffer + 7, OwnBuffer + 8, OwnBuffer + 9, OwnBuffer + 10
	widths := []int{testHidden, (4 + 2*2) * 16, 4 * 16, testHidden, testHidden, testInner, 4 * 16, testHidden, testHidden, testHidden, testInner}
	of := func(i, x, branch, sum, y int, wanted bool) Norm {
		return Norm{Wanted: wanted, X: x, Branch: branch, Sum: sum, Y: y, Weight: d.norms[i], Epsilon: testEpsilon}
	}
	actions := []Action{
		of(0, InputBuffer, NoBuffer, NoBuffer, normed, false),
		Multiply{X: normed, Y: qkv, Matrix: d.matrices[0]},
		Attend{X: qkv, Y: result, Layer: 0},
		Multiply{X: result, Y: branch, Matrix: d.matrices[1]},
		of(1, InputBuffer, branch, sum, normed, false),
		Multiply{X: normed, Y: inner, Matrix: d.matrices[2]},
		Multiply{X: inner, Y: branch, Matrix: d.matrices[3]},
		Add{X: sum, Branch: branch, Y: sum, Width: testHidden},
		of(2, sum, NoBuffer, NoBuffer, normed, false),
		Multiply{X: normed, Y: qkv, Matrix: d.parts[0]}, // those of the next matrix, cut within a tile
		Multiply{X: normed, Y: qkv, Column: testCut, Matrix: d.parts[1]},
		Attend{X: qkv, Y: result, Layer: 1},
		Select{X: result, Y: wantedResult, Width: 4 * 16},
		Select{X: sum, Y: wantedSum, Width: testHidden},
		Multiply{Wanted: true, X: wantedResult, Y: wantedBranch, Matrix: d.matrices[5]},
		of(3, wantedSum, wantedBranch, wantedSum, wantedNormed, true),
		Multiply{Wanted: true, X: wantedNormed, Y: wantedInner, Matrix: d.matrices[6]},
		Multiply{Wanted: true, X: wantedInner, Y: wantedBranch, Matrix: d.matrices[7]},
		of(4, wantedSum, wantedBranch, NoBuffer, wantedNormed, true),
		Multiply{Wanted: true, X: wantedNormed, Y: OutputBuffer, Matrix: d.matrices[8]},
	}
	program := func() *Program {
		p, err := NewProgram(testHidden, testVocabulary, widths, actions)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(p.Close)
		return p
	}
	d.program = program()
	for i, a := range actions[9:12] { // the second layer's
		switch a := a.(type) {
		case Multiply:
			if a.Column == 0 {
				a.Chosen = testQueries
			}
			actions[9+i] = a
		case Attend:
			a.Chosen = true
			actions[9+i] = a
		}
	}
	d.chosen = program()
	return d
}

// config is a state's for the decoder.
func (d *testDecoder) config(threads int) StateConfig {
	layer := d.layer()
	return StateConfig{
		Layers: []Layer{layer, layer}, Heads: 4, KVHeads: 2, HeadSize: 16, MaxLength: (d.length + PositionUnit - 1) / PositionUnit * PositionUnit,
		MaxTokens: d.length + 1, MaxIn: testInner, Threads: threads, Program: d.program, Variant: d.variant,
	}
}

// state is a state for the decoder, of two slots.
func (d *testDecoder) state(t *testing.T, threads int) *State {
	t.Helper()
	c := d.config(threads)
	s, length := newState(t, c), c.MaxLength
	for i := range 2 {
		memory := make([][]uint16, 2)
		for j := range memory {
			memory[j] = make([]uint16, 2*2*length*16)
		}
		s.SetLayer(i, memory[0], memory[1])
		t.Cleanup(func() { clear(memory[0]) }) // the state has only its address
	}
	return s
}

// expected are the logits of a sequence of embeddings, action by action: norms in float64, and products and attention alone.
func (d *testDecoder) expected(t *testing.T, x []float32) []float32 {
	t.Helper()
	tokens := len(x) / testHidden
	s := d.state(t, 1)
	s.Reset()
	s.AddRun(0, 0, tokens)
	add := func(a, b []float32) []float32 {
		sum := slices.Clone(a)
		for i, v := range b {
			sum[i] += v
		}
		return sum
	}
	for layer := range 2 {
		of := d.matrices[4*layer:]
		qkv := s.multiply(of[0], normExactly(x, d.norms[2*layer]), tokens)
		x = add(x, s.multiply(of[1], s.attend(layer, qkv), tokens))
		inner := s.multiply(of[2], normExactly(x, d.norms[2*layer+1]), tokens)
		x = add(x, s.multiply(of[3], inner, tokens))
	}
	return s.multiply(d.matrices[8], normExactly(x, d.norms[4]), tokens)
}

// rows are some of a matrix's, which has no gate and no bias.
func (w Weights) rows(first, end int) Weights {
	blocks := w.In / w.Block
	bytes := w.In * w.Bits / 8
	w.Codes, w.Out = w.Codes[first*bytes:end*bytes], end-first
	w.Scales, w.Offsets = w.Scales[first*blocks:end*blocks], w.Offsets[first*blocks:end*blocks]
	return w
}

func normExactly(x, weight []float32) []float32 {
	y := make([]float32, 0, len(x))
	for row := range slices.Chunk(x, len(weight)) {
		sum := 0.0
		for _, v := range row {
			sum += float64(v) * float64(v)
		}
		scale := 1 / math.Sqrt(sum/float64(len(weight))+testEpsilon)
		for i, v := range row {
			y = append(y, float32(float64(v)*scale*float64(weight[i])))
		}
	}
	return y
}

// TestProgram compares a decoder's logits with those of its parts one by one, and, bit by bit, with themselves for every
// number of threads and every cut of a sequence, beside others or alone.
func TestProgram(t *testing.T) { eachVariant(t, testProgram) }

func testProgram(t *testing.T, v Variant) {
	rng := rand.New(rand.NewPCG(9, 10))
	d := newTestDecoder(t, rng)
	d.variant = v
	x := make([]float32, d.length*testHidden)
	for i := range x {
		x[i] = 2 * (rng.Float32() - 0.5)
	}
	want := d.expected(t, x)
	var whole []float32
	for threads := 1; threads <= 4; threads++ {
		t.Run(fmt.Sprintf("%d threads", threads), func(t *testing.T) {
			s := d.state(t, threads)
			s.Reset()
			s.AddRun(0, 0, d.length)
			got := s.run(d.program, x, places(0, d.length))
			if !slices.Equal(s.run(d.chosen, x, places(0, d.length)), got) {
				t.Error("differs where nothing is left out")
			}
			if whole == nil {
				whole = got
				for i, v := range want {
					if e := math.Abs(float64(v - got[i])); !(e < 0.05*(1+math.Abs(float64(v)))) {
						t.Fatalf("value %d is %v, want %v", i, got[i], v)
					}
				}
			}
			if !slices.Equal(got, whole) {
				t.Error("differs from one thread")
			}
			row := func(token int) []float32 { return whole[token*testVocabulary:][:testVocabulary] }
			for past := 0; past < d.length; {
				// A part of the sequence in slot 1, beside a token of slot 0: of some, only the last logits are wanted.
				n := min(1+rng.IntN(12)*rng.IntN(8), d.length-past)
				s.Reset()
				s.AddRun(0, d.length-1, 1)
				s.AddRun(1, past, n)
				step := append(slices.Clone(x[(d.length-1)*testHidden:]), x[past*testHidden:(past+n)*testHidden]...)
				wanted := places(0, n+1)
				if past%2 == 0 {
					wanted = []int64{0, int64(n)}
				}
				logits := s.run(d.chosen, step, wanted)
				if !slices.Equal(s.run(d.program, step, wanted), logits) {
					t.Fatalf("%d tokens from %d on: differs where something is left out", n, past)
				}
				for i, place := range wanted {
					token := d.length - 1
					if place > 0 {
						token = past + int(place) - 1
					}
					if !slices.Equal(logits[i*testVocabulary:][:testVocabulary], row(token)) {
						t.Fatalf("%d tokens from %d on: the logits of token %d differ", n, past, token)
					}
				}
				past += n
			}
			// None are wanted: keys and values are stored all the same.
			last := d.length - 1
			s.Reset()
			s.AddRun(1, 0, last)
			if got := s.run(d.chosen, x[:last*testHidden], nil); len(got) != 0 {
				t.Errorf("%d values that were not wanted", len(got))
			}
			s.Reset()
			s.AddRun(1, last, 1)
			if !slices.Equal(s.run(d.chosen, x[last*testHidden:], places(0, 1)), row(last)) {
				t.Error("the logits differ behind tokens of which none were wanted")
			}
		})
	}
}

// TestProgramLeavesOut: of tokens that are not wanted there are no queries and no attention once the last layer has their keys
// and values: what the layer before left of them is still there.
func TestProgramLeavesOut(t *testing.T) { eachVariant(t, testProgramLeavesOut) }

func testProgramLeavesOut(t *testing.T, v Variant) {
	const widthQKV, widthResult = (4 + 2*2) * 16, 4 * 16
	rng := rand.New(rand.NewPCG(19, 20))
	d := newTestDecoder(t, rng)
	d.variant = v
	x := make([]float32, 40*testHidden)
	for i := range x {
		x[i] = rng.Float32() - 0.5
	}
	for _, c := range []struct {
		first, tokens int // tokens of the first run, and of both
		wanted        []int64
	}{
		{3, 40, nil}, {3, 40, []int64{0}}, {3, 40, []int64{4, 2, 4}}, {1, 40, []int64{7, 8, 39}}, {20, 40, places(0, 40)}, {2, 7, []int64{1, 6}},
	} {
		for threads := 1; threads <= 3; threads++ {
			s := d.state(t, threads)
			s.Reset()
			s.AddRun(1, 0, c.first)
			s.AddRun(0, 0, c.tokens-c.first)
			s.run(d.program, x[:c.tokens*testHidden], c.wanted)
			qkv, result := slices.Clone(s.buffer(testQKV, widthQKV)), slices.Clone(s.buffer(testResult, widthResult))
			s.run(d.chosen, x[:c.tokens*testHidden], c.wanted)
			for i := range c.tokens {
				same := func(all, chosen []float32, width, from, to int) bool {
					return slices.Equal(all[i*width+from:i*width+to], chosen[i*width+from:i*width+to])
				}
				wanted := slices.Contains(c.wanted, int64(i))
				if !same(qkv, s.buffer(testQKV, widthQKV), widthQKV, testQueries, widthQKV) {
					t.Errorf("%d threads, %v of %d: keys and values of token %d differ", threads, c.wanted, c.tokens, i)
				}
				if same(qkv, s.buffer(testQKV, widthQKV), widthQKV, 0, testQueries) != wanted {
					t.Errorf("%d threads, %v of %d: queries of token %d: not what was wanted", threads, c.wanted, c.tokens, i)
				}
				if same(result, s.buffer(testResult, widthResult), widthResult, 0, widthResult) != wanted {
					t.Errorf("%d threads, %v of %d: attention of token %d: not what was wanted", threads, c.wanted, c.tokens, i)
				}
			}
		}
	}
}

// TestProgramSkips: where nothing is wanted, an action of wanted rows does nothing, whatever stands before and behind it. The index
// that it would read has room, so that what it does shows.
func TestProgramSkips(t *testing.T) { eachVariant(t, testProgramSkips) }

func testProgramSkips(t *testing.T, v Variant) {
	const own, other, third = OwnBuffer, OwnBuffer + 1, OwnBuffer + 2
	rng := rand.New(rand.NewPCG(21, 22))
	weight, matrix := make([]float32, testHidden), pack(t, randomWeights(rng, testHidden, testHidden, 4, true, false, NoGate, true))
	for i := range weight {
		weight[i] = 1
	}
	norm := Norm{X: InputBuffer, Branch: NoBuffer, Sum: NoBuffer, Y: own, Weight: weight, Epsilon: testEpsilon}
	early := Select{X: InputBuffer, Y: other, Width: testHidden}
	product := Multiply{X: own, Y: third, Matrix: matrix}
	last := Multiply{Wanted: true, X: other, Y: OutputBuffer, Matrix: matrix}
	x := make([]float32, 64*testHidden)
	for i := range x {
		x[i] = rng.Float32() + 1
	}
	for _, n := range []int{5, 64} { // few tokens, and so many that threads take their own through several actions
		for threads := 1; threads <= 3; threads++ {
			run := func(actions []Action, index []int64) (others, thirds, y []float32) {
				p, err := NewProgram(testHidden, testHidden, []int{testHidden, testHidden, testHidden}, actions)
				if err != nil {
					t.Fatal(err)
				}
				defer p.Close()
				s := newState(t, StateConfig{
					Heads: 1, KVHeads: 1, HeadSize: 16, MaxLength: 64, MaxTokens: 64, MaxIn: testHidden, Threads: threads, Program: p, Variant: v,
				})
				s.AddRun(0, 0, n)
				y = s.run(p, x[:n*testHidden], index)
				return slices.Clone(s.buffer(other, testHidden)), slices.Clone(s.buffer(third, testHidden))[:n*testHidden], y
			}
			index := make([]int64, 64)
			others, thirds, _ := run([]Action{norm, early, product, last}, index[:0])
			if slices.ContainsFunc(others, func(v float32) bool { return v != 0 }) {
				t.Errorf("%d tokens, %d threads: rows were chosen that nobody wants", n, threads)
			}
			_, want, y := run([]Action{norm, product, early, last}, index[:1])
			if !slices.Equal(thirds, want) {
				t.Errorf("%d tokens, %d threads: a product behind what is skipped differs", n, threads)
			}
			if _, got, result := run([]Action{norm, early, product, last}, index[:1]); !slices.Equal(got, want) || !slices.Equal(result, y) {
				t.Errorf("%d tokens, %d threads: a choice before a product changes it", n, threads)
			}
		}
	}
	runtime.KeepAlive(weight) // programs have only its address
}

// TestProgramManyThreads: threads that come late, or have nothing to do, do no harm.
func TestProgramManyThreads(t *testing.T) { eachVariant(t, testProgramManyThreads) }

func testProgramManyThreads(t *testing.T, v Variant) {
	rng := rand.New(rand.NewPCG(11, 12))
	d := newTestDecoder(t, rng)
	d.variant = v
	x := make([]float32, 3*testHidden)
	for i := range x {
		x[i] = rng.Float32()
	}
	one, many := d.state(t, 1), d.state(t, 9)
	for _, s := range []*State{one, many} {
		s.Reset()
		s.AddRun(0, 0, 3)
	}
	want := one.run(d.program, x, places(0, 3))
	for range 200 {
		if !slices.Equal(many.run(d.program, x, places(0, 3)), want) {
			t.Fatal("differs from one thread")
		}
	}
}

// places are the numbers from first to before end.
func places(first, end int) []int64 {
	var all []int64
	for i := first; i < end; i++ {
		all = append(all, int64(i))
	}
	return all
}
