package kernels

import (
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"
)

// attended is a layer's attention in a test.
type attended struct {
	heads, kvHeads, size, length int
	pairs, window                int
	cap                          float32
	cosines, sines               []float32
	queryNorm, keyNorm           []float32 // nil: none
	whole                        bool
	variant                      Variant // of its states
}

// newAttended has random angles.
func newAttended(rng *rand.Rand, heads, kvHeads, size, length int) attended {
	c := attended{heads: heads, kvHeads: kvHeads, size: size, length: length, pairs: size / 2}
	c.cosines, c.sines = make([]float32, length*c.pairs), make([]float32, length*c.pairs)
	for i := range c.cosines {
		angle := 2 * math.Pi * rng.Float64()
		c.cosines[i], c.sines[i] = float32(math.Cos(angle)), float32(math.Sin(angle))
	}
	return c
}

// normed is the same with norms of queries and keys.
func (c attended) normed(rng *rand.Rand, whole bool) attended {
	draw := func(heads int) []float32 {
		if !whole {
			heads = 1
		}
		weight := make([]float32, heads*c.size)
		for i := range weight {
			weight[i] = 0.5 + rng.Float32()
		}
		return weight
	}
	c.queryNorm, c.keyNorm, c.whole = draw(c.heads), draw(c.kvHeads), whole
	return c
}

// layer is the layer of a state.
func (c attended) layer() Layer {
	return Layer{
		Cosines: c.cosines, Sines: c.sines, Pairs: c.pairs, Scale: 0.125, Cap: c.cap, Window: c.window,
		QueryNorm: c.queryNorm, KeyNorm: c.keyNorm, NormEpsilon: testEpsilon, NormWhole: c.whole,
	}
}

// state is a state of one layer, two slots and three threads.
func (c attended) state(tb testing.TB) *State {
	maxLength := (c.length + PositionUnit - 1) / PositionUnit * PositionUnit
	s := newState(tb, StateConfig{
		Layers: []Layer{c.layer()}, Heads: c.heads, KVHeads: c.kvHeads, HeadSize: c.size, MaxLength: maxLength, MaxTokens: 2 * c.length, MaxIn: BlockLength, Threads: 3, Variant: c.variant,
	})
	keys, values := make([]uint16, 2*c.kvHeads*maxLength*c.size), make([]uint16, 2*c.kvHeads*maxLength*c.size)
	for i := range keys {
		keys[i], values[i] = 0x7fc0, 0x7fc0 // no numbers, until they are written
	}
	s.SetLayer(0, keys, values)
	tb.Cleanup(func() { runtime.KeepAlive([]any{c, keys, values}) }) // the state has only their addresses
	return s
}

// TestAttend compares attention with float64 for heads of several sizes, windows and soft caps, and every cut of a sequence
// into runs with the whole, bit by bit: with its keys divided between threads and without.
func TestAttend(t *testing.T) { eachVariant(t, testAttend) }

func testAttend(t *testing.T, v Variant) {
	rng := rand.New(rand.NewPCG(5, 6))
	cases := []attended{
		newAttended(rng, 9, 3, 64, 400), newAttended(rng, 4, 4, 16, 70), newAttended(rng, 8, 1, 128, 290), newAttended(rng, 2, 1, 96, 129),
		newAttended(rng, 7, 1, 32, 33), newAttended(rng, 2, 2, 256, 20),
	}
	for _, window := range []int{1, 16, 100, 128, 200} {
		c := newAttended(rng, 4, 2, 32, 350)
		c.window, c.cap = window, float32(window%3)
		cases = append(cases, c)
	}
	part := newAttended(rng, 4, 2, 64, 40)
	part.pairs = 8
	cases = append(cases, part)
	plain := newAttended(rng, 4, 2, 32, 40)
	plain.pairs = 0
	cases = append(cases, plain)
	keys := newAttended(rng, 4, 2, 32, 40).normed(rng, false)
	keys.queryNorm = nil
	cases = append(cases, keys, newAttended(rng, 8, 2, 64, 150).normed(rng, false), newAttended(rng, 4, 1, 256, 40).normed(rng, false),
		newAttended(rng, 6, 3, 16, 50).normed(rng, true), newAttended(rng, 3, 3, 32, 140).normed(rng, true), newAttended(rng, 4, 1, 32, 20).normed(rng, true))
	for _, c := range cases {
		c.variant = v
		name := fmt.Sprintf("%d heads, %d of keys, of %d values, %d turned, %d tokens, window %d, cap %v, norms of %d and %d values",
			c.heads, c.kvHeads, c.size, 2*c.pairs, c.length, c.window, c.cap, len(c.queryNorm), len(c.keyNorm))
		t.Run(name, func(t *testing.T) {
			s, width := c.state(t), (c.heads+2*c.kvHeads)*c.size
			qkv := make([]float32, c.length*width)
			for i := range qkv {
				qkv[i] = 4 * (rng.Float32() - 0.5)
			}
			s.Reset()
			s.AddRun(0, 0, c.length)
			whole := s.attend(0, qkv)
			checkRounded(t, whole, c.exactly(qkv))
			bf16 := s.c.bf16
			s.c.bf16 = 0 // as processors without AVX512_BF16 compute it
			s.Reset()
			s.AddRun(0, 0, c.length)
			if other := s.attend(0, qkv); !slices.Equal(other, whole) {
				t.Error("products of floats differ from those of pairs of bfloat16 numbers")
			}
			// The same tokens in slot 1, in runs of random lengths, each beside a token of slot 0 that is decoded again.
			for past := 0; past < c.length; {
				n := min(1+rng.IntN(20), c.length-past)
				if s.c.bf16 = bf16; rng.IntN(4) == 0 {
					s.c.bf16 = 0
				}
				s.Reset()
				s.AddRun(0, c.length-1, 1)
				s.AddRun(1, past, n)
				step := append(slices.Clone(qkv[(c.length-1)*width:]), qkv[past*width:(past+n)*width]...)
				got, row := s.attend(0, step), c.heads*c.size
				if !slices.Equal(got[:row], whole[(c.length-1)*row:]) || !slices.Equal(got[row:], whole[past*row:(past+n)*row]) {
					t.Errorf("%d tokens from %d on differ from the whole", n, past)
				}
				past += n
			}
		})
	}
}

// checkRounded holds attention to float64. Queries, keys, values and weights are rounded to 8 bits, each by 2^-8 at most and by
// 0.4·2^-8 in the mean of squares. Of values, that is of their size; of queries and keys, the scores that come of it are wrong by
// less than twice as much; in a mean of many, all of it is less. So errors are 2^-8 of the values' size at most, in the mean of
// squares, and of values up to 2 none comes near 2^-5.
func checkRounded(t *testing.T, got []float32, want []float64) {
	t.Helper()
	var errors, squares float64
	for i, want := range want {
		d := float64(got[i]) - want
		if !(math.Abs(d) < 1.0/(1<<5)) {
			t.Fatalf("value %d is %v, want %v", i, got[i], want)
		}
		errors, squares = errors+d*d, squares+want*want
	}
	if d := math.Sqrt(errors / squares); !(d < 1.0/(1<<8)) {
		t.Errorf("values differ by %.5f of their size", d)
	}
}

// TestAttendForgets: tokens that were taken back show in none that come in their place, not even NaN in what lies beside the
// last key and the last value.
func TestAttendForgets(t *testing.T) { eachVariant(t, testAttendForgets) }

func testAttendForgets(t *testing.T, v Variant) {
	rng := rand.New(rand.NewPCG(15, 16))
	const drafts = 5
	c := newAttended(rng, 6, 2, 48, 40)
	c.variant = v
	s, width, row := c.state(t), (c.heads+2*c.kvHeads)*c.size, c.heads*c.size
	qkv, taken := make([]float32, c.length*width), make([]float32, drafts*width)
	for i := range qkv {
		qkv[i] = 4 * (rng.Float32() - 0.5)
	}
	for i := range taken {
		taken[i] = float32(math.NaN())
	}
	s.Reset()
	s.AddRun(0, 0, c.length)
	whole := s.attend(0, qkv)
	for past := range c.length - drafts {
		s.Reset()
		s.AddRun(1, past, drafts)
		s.attend(0, taken)
		s.Reset()
		s.AddRun(1, past, 1)
		if got := s.attend(0, qkv[past*width:(past+1)*width]); !slices.Equal(got, whole[past*row:(past+1)*row]) {
			t.Errorf("token %d differs after others in its place", past)
		}
	}
}

// TestAttendFinite: what attention makes of infinite keys and values is finite.
func TestAttendFinite(t *testing.T) { eachVariant(t, testAttendFinite) }

func testAttendFinite(t *testing.T, v Variant) {
	c := newAttended(rand.New(rand.NewPCG(17, 18)), 2, 1, 16, 20)
	c.pairs, c.variant = 0, v
	s, width := c.state(t), (c.heads+2)*c.size
	qkv := make([]float32, c.length*width)
	for i := range qkv {
		if qkv[i] = 1; i%width >= c.heads*c.size { // keys and values of either sign
			qkv[i] = float32(math.Inf(1 - 2*(i/width%2)))
		}
	}
	s.Reset()
	s.AddRun(0, 0, c.length)
	for i, v := range s.attend(0, qkv) {
		if math.IsNaN(float64(v)) || math.IsInf(float64(v), 0) || v == 0 {
			t.Fatalf("value %d is %v", i, v)
		}
	}
}

// TestAttendKeepsNaN: NaN in a query, a key or a value is in what attention makes of it, as it is in float64, and nowhere else:
// of all tokens in one run, and of the token itself and the last one with their keys divided between threads. Some tokens are
// the first of a span of keys, of which they see nothing else.
func TestAttendKeepsNaN(t *testing.T) { eachVariant(t, testAttendKeepsNaN) }

func testAttendKeepsNaN(t *testing.T, v Variant) {
	rng := rand.New(rand.NewPCG(13, 14))
	const heads, kvHeads, size, length, last = 4, 2, 32, 300, 299
	capped := newAttended(rng, heads, kvHeads, size, length)
	capped.cap = 5
	for form, c := range map[string]attended{
		"plain": newAttended(rng, heads, kvHeads, size, length), "capped": capped,
		"with norms": newAttended(rng, heads, kvHeads, size, length).normed(rng, false),
	} {
		c.variant = v
		for part, head := range map[string]int{"query": 1, "key": heads + 1, "value": heads + kvHeads} {
			for _, token := range []int{40, 128, 256} { // each the first of the tokens that are taken together
				t.Run(fmt.Sprintf("%s, %s of token %d", form, part, token), func(t *testing.T) {
					s, width, row := c.state(t), (heads+2*kvHeads)*size, heads*size
					qkv := make([]float32, length*width)
					for i := range qkv {
						qkv[i] = 4 * (rng.Float32() - 0.5)
					}
					qkv[token*width+head*size+3] = float32(math.NaN())
					if part == "query" { // of the last token too, which is decoded below
						qkv[last*width+head*size+3] = float32(math.NaN())
					}
					s.Reset()
					s.AddRun(0, 0, length)
					got, want := s.attend(0, qkv), c.exactly(qkv)
					for _, alone := range []int{token, last} {
						s.Reset()
						s.AddRun(0, alone, 1)
						got = append(got, s.attend(0, qkv[alone*width:][:width])...)
						want = append(want, want[alone*row:][:row]...)
					}
					numbers := 0
					for i, v := range got {
						if v == v {
							numbers++
						}
						if math.IsNaN(want[i]) != (v != v) {
							t.Fatalf("value %d of token %d is %v, want %v", i%row, i/row, v, want[i])
						}
					}
					if numbers == 0 || numbers == len(got) {
						t.Errorf("%d of %d values are numbers", numbers, len(got))
					}
				})
			}
		}
	}
}

// exactly is causal attention in float64.
func (c attended) exactly(qkv []float32) []float64 {
	width := (c.heads + 2*c.kvHeads) * c.size
	// at is a head of a row: of those from first to before end, by a norm's weight unless it is nil.
	at := func(token, head, pairs, first, end int, weight []float32) []float64 {
		x := qkv[token*width+head*c.size:][:c.size]
		y := make([]float64, c.size)
		for i := range y {
			y[i] = float64(x[i])
		}
		if weight != nil {
			of, from := qkv[token*width+first*c.size:token*width+end*c.size], (head-first)*c.size
			if !c.whole {
				of, from = x, 0
			}
			square := 0.0
			for _, v := range of {
				square += float64(v) * float64(v)
			}
			for i := range y {
				y[i] *= float64(weight[from+i]) / math.Sqrt(square/float64(len(of))+testEpsilon)
			}
		}
		for i := range pairs {
			cos, sin := float64(c.cosines[token*pairs+i]), float64(c.sines[token*pairs+i])
			a, b := y[i], y[i+pairs]
			y[i], y[i+pairs] = a*cos-b*sin, b*cos+a*sin
		}
		return y
	}
	out := make([]float64, c.length*c.heads*c.size)
	keys, values := make([][]float64, c.length*c.kvHeads), make([][]float64, c.length*c.kvHeads)
	for i := range keys {
		token, head := i/c.kvHeads, i%c.kvHeads
		keys[i], values[i] = at(token, c.heads+head, c.pairs, c.heads, c.heads+c.kvHeads, c.keyNorm), at(token, c.heads+c.kvHeads+head, 0, 0, 0, nil)
	}
	for t := range c.length {
		first := 0
		if c.window > 0 {
			first = max(0, t+1-c.window)
		}
		for h := range c.heads {
			kv := h / (c.heads / c.kvHeads)
			query, scores, sum := at(t, h, c.pairs, 0, c.heads, c.queryNorm), make([]float64, t+1), 0.0
			for j := first; j <= t; j++ {
				for i, k := range keys[j*c.kvHeads+kv] {
					scores[j] += 0.125 * query[i] * k
				}
				if c.cap > 0 {
					scores[j] = float64(c.cap) * math.Tanh(scores[j]/float64(c.cap))
				}
				scores[j] = math.Exp(scores[j])
				sum += scores[j]
			}
			for j := first; j <= t; j++ {
				for i, v := range values[j*c.kvHeads+kv] {
					out[(t*c.heads+h)*c.size+i] += scores[j] / sum * v
				}
			}
		}
	}
	return out
}
