package kernels

import (
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"unsafe"
)

// TestProgramRefuses: a program of actions that would read or write beside a buffer's rows is not made.
func TestProgramRefuses(t *testing.T) {
	const in, out, wide, own, other = 32, 20, 64, OwnBuffer, OwnBuffer + 1
	rng := rand.New(rand.NewPCG(13, 14))
	matrix := func(out, in int) *Matrix { return pack(t, randomWeights(rng, out, in, 4, true, false, NoGate, false)) }
	head, widen, narrow, square, low := matrix(out, in), matrix(wide, in), matrix(out/2, in), matrix(in, in), matrix(out, wide)
	weight := make([]float32, in)
	norm := Norm{X: InputBuffer, Branch: NoBuffer, Sum: NoBuffer, Y: own, Weight: weight}
	chosen := Select{X: own, Y: other, Width: in}
	last := Multiply{Wanted: true, X: other, Y: OutputBuffer, Matrix: head}
	widths := []int{in, in, wide, out}
	const third, odd = other + 1, other + 2 // the last has no whole vectors
	few := Multiply{X: own, Y: third, Matrix: widen, Chosen: RowUnit}
	good := []Action{norm, chosen, last}
	// with is the program with another norm, and what comes after it.
	with := func(change func(n *Norm), more ...Action) []Action {
		n := norm
		change(&n)
		return slices.Concat([]Action{n}, more, good[1:])
	}
	unchanged := func(*Norm) {}
	for _, actions := range [][]Action{
		good,
		with(unchanged, few, Attend{X: third, Y: odd, Chosen: true}),
		with(unchanged, few, Multiply{X: own, Y: third, Matrix: widen}, Attend{X: third, Y: odd}),
		with(unchanged, Attend{X: own, Y: third}, Multiply{X: third, Y: odd, Matrix: low}),
		{norm, Attend{X: InputBuffer, Y: own, Chosen: true}, chosen, last},
	} {
		p, err := NewProgram(in, out, widths, actions)
		if err != nil {
			t.Fatal(err)
		}
		p.Close()
	}
	for name, actions := range map[string][]Action{
		"nothing":                            {},
		"no result":                          {norm, chosen},
		"a norm without a weight":            with(func(n *Norm) { n.Weight = nil }),
		"a norm of other rows":               with(func(n *Norm) { n.Weight = make([]float32, wide) }),
		"a norm of no whole vectors":         with(func(n *Norm) { n.Weight = make([]float32, in-1) }),
		"a norm of nothing":                  with(func(n *Norm) { n.X = NoBuffer }),
		"a norm of what is not there yet":    with(func(n *Norm) { n.Branch = other }),
		"a norm that goes nowhere":           with(func(n *Norm) { n.Y = NoBuffer }),
		"a norm that goes behind the last":   with(func(n *Norm) { n.Y = odd + 1 }),
		"a norm that goes to the input":      with(func(n *Norm) { n.Y = InputBuffer }),
		"a norm that goes to its sum":        with(func(n *Norm) { n.Sum = n.Y }),
		"a norm of all rows to the output":   with(func(n *Norm) { n.Y = OutputBuffer }),
		"a norm of wanted rows of an input":  with(func(n *Norm) { n.Wanted = true }),
		"wide rows to a narrow buffer":       with(unchanged, Multiply{X: own, Y: own, Matrix: widen}),
		"wide rows of a narrow buffer":       with(unchanged, Add{X: own, Branch: InputBuffer, Y: third, Width: wide}),
		"a sum of no whole vectors":          with(unchanged, Multiply{X: own, Y: odd, Matrix: head}, Add{X: odd, Branch: odd, Y: odd, Width: out}),
		"a choice of no whole vectors":       {norm, Multiply{X: own, Y: odd, Matrix: head}, Select{X: odd, Y: OutputBuffer, Width: out}},
		"a choice of chosen rows":            {norm, chosen, Select{X: other, Y: own, Width: in}, last},
		"a choice within a buffer":           {norm, Select{X: own, Y: own, Width: in}, last},
		"all rows where wanted ones are":     {norm, chosen, Add{X: own, Branch: own, Y: other, Width: in}, last},
		"columns before others":              with(unchanged, Multiply{X: own, Y: third, Column: wide - out, Matrix: head}),
		"columns behind the last":            with(unchanged, Multiply{X: own, Y: third, Matrix: head}, Multiply{X: own, Y: third, Column: out, Matrix: widen}),
		"columns before the first":           with(unchanged, Multiply{X: own, Y: third, Column: -1, Matrix: head}),
		"columns far behind the last":        with(unchanged, Multiply{X: own, Y: third, Column: math.MaxInt - 1, Matrix: head}),
		"some columns of a row that is read": with(unchanged, Multiply{X: own, Y: third, Matrix: head}, Add{X: third, Branch: third, Y: third, Width: wide}),
		"some columns of the result":         {norm, chosen, Multiply{Wanted: true, X: other, Y: OutputBuffer, Matrix: narrow}},
		"attention of no buffer":             with(unchanged, Attend{X: odd + 1, Y: own}),
		"attention of wanted rows":           {norm, chosen, Attend{X: other, Y: own}, last},
		"some queries, of attention of all":  with(unchanged, few, Attend{X: third, Y: odd}),
		"some queries and some keys":         with(unchanged, Multiply{X: own, Y: third, Matrix: widen, Chosen: in}, Attend{X: third, Y: odd, Chosen: true}),
		"some rows of a sum":                 with(unchanged, few, Add{X: third, Branch: third, Y: third, Width: wide}),
		"some rows of attention, multiplied": with(unchanged, Attend{X: own, Y: third, Chosen: true}, Multiply{X: third, Y: odd, Matrix: low}),
		"some columns of no whole vectors":   with(unchanged, Multiply{X: own, Y: third, Matrix: widen, Chosen: in / 3}),
		"some columns behind the last":       with(unchanged, Multiply{X: own, Y: third, Matrix: widen, Chosen: wide + in}),
		"less than no columns":               with(unchanged, Multiply{X: own, Y: third, Matrix: widen, Chosen: -in}),
		"some columns of wanted rows":        {norm, chosen, Multiply{Wanted: true, X: other, Y: third, Matrix: widen, Chosen: in}, last},
		"some columns behind others":         with(unchanged, Multiply{X: own, Y: third, Matrix: square}, Multiply{X: own, Y: third, Column: in, Matrix: square, Chosen: in}),
		"a product of narrow rows":           {norm, chosen, Multiply{Wanted: true, X: other, Y: OutputBuffer, Matrix: widen}},
	} {
		if p, err := NewProgram(in, out, widths, actions); err == nil {
			t.Errorf("%s: made", name)
			p.Close()
		}
	}
}

// TestStateRefuses: a state that its program, or what is computed of its sizes, would go beyond is not made.
func TestStateRefuses(t *testing.T) {
	if !Supported() {
		t.Skip("this processor has neither AVX2 nor AVX-512 VNNI")
	}
	d := newTestDecoder(t, rand.New(rand.NewPCG(15, 16)))
	for name, change := range map[string]func(c *StateConfig){
		"no positions":              func(c *StateConfig) { c.MaxLength = 0 },
		"positions beyond 2^32":     func(c *StateConfig) { c.MaxLength += 1 << 32 },
		"tokens beyond 2^32":        func(c *StateConfig) { c.MaxTokens += 1 << 32 },
		"another processor's code":  func(c *StateConfig) { c.Variant = Best() + 1 },
		"no threads":                func(c *StateConfig) { c.Threads = 0 },
		"no heads of keys":          func(c *StateConfig) { c.KVHeads = 0 },
		"heads that do not divide":  func(c *StateConfig) { c.KVHeads = 3 },
		"large heads":               func(c *StateConfig) { c.HeadSize = 2 * MaxHeadSize },
		"heads of no whole vectors": func(c *StateConfig) { c.HeadSize = 24 },
		"heads beyond 2^24":         func(c *StateConfig) { c.Heads = MaxSide },
		"short tables":              func(c *StateConfig) { c.MaxLength += PositionUnit },
		"too many pairs":            func(c *StateConfig) { c.Layers[1].Pairs = 9 },
		"fewer layers":              func(c *StateConfig) { c.Layers = c.Layers[:1] },
		"other heads":               func(c *StateConfig) { c.Heads = 2 },
		"a norm of another length":  func(c *StateConfig) { c.Layers[0].QueryNorm = c.Layers[0].QueryNorm[1:] },
		"an empty norm":             func(c *StateConfig) { c.Layers[0].KeyNorm = []float32{} },
		"a norm of all heads":       func(c *StateConfig) { c.Layers[0].NormWhole = true },
		"narrow products":           func(c *StateConfig) { c.MaxIn = testHidden },
		"products of parts":         func(c *StateConfig) { c.MaxIn++ },
	} {
		c := d.config(1)
		change(&c)
		if s, err := NewState(c); err == nil {
			t.Errorf("%s: made", name)
			s.Close()
		}
	}
}

// TestVariantCheck: a processor that runs no variant has none by default either.
func TestVariantCheck(t *testing.T) {
	for _, c := range []struct {
		variant, best Variant
		good          bool
	}{
		{None, AVX512, true},
		{None, AVX2, true},
		{AVX2, AVX2, true},
		{AVX2, AVX512, true},
		{AVX512, AVX2, false},
		{AVX512 + 1, AVX512, false},
		{-1, AVX512, false},
		{None, None, false},
		{AVX2, None, false},
	} {
		if err := c.variant.check(c.best); (err == nil) != c.good {
			t.Errorf("variant %d on a processor that has %d: %v", c.variant, c.best, err)
		}
	}
	for v := None; v <= AVX512+1; v++ {
		if known := v == AVX2 || v == AVX512; known != v.known() {
			t.Errorf("variant %d: there is one: %t", v, v.known())
		}
	}
}

// TestNoMemory: whichever allocation fails, what it was for is not made.
func TestNoMemory(t *testing.T) {
	if !Supported() {
		t.Skip("this processor has neither AVX2 nor AVX-512 VNNI")
	}
	rng := rand.New(rand.NewPCG(17, 18))
	d := newTestDecoder(t, rng)
	weights := randomWeights(rng, 20, 64, 4, true, true, NoGate, true)
	head := randomHead(rng, splitOutputs, 32, true, true)
	memory := make([]byte, max(weights.MaxBytes(), head.MaxBytes()))
	for name, c := range map[string]struct {
		allocations int // at least
		make        func() (interface{ Close() }, error)
	}{
		"a matrix": {2, func() (interface{ Close() }, error) {
			clear(memory)
			return Pack(weights, memory)
		}},
		"a head in two planes": {3, func() (interface{ Close() }, error) {
			clear(memory)
			return Pack(head, memory)
		}},
		"a program": {2, func() (interface{ Close() }, error) {
			return NewProgram(testHidden, testHidden, nil, []Action{Select{X: InputBuffer, Y: OutputBuffer, Width: testHidden}})
		}},
		"a state": {20, func() (interface{ Close() }, error) { return NewState(d.config(2)) }},
	} {
		t.Run(name, func(t *testing.T) {
			whole := allocate
			defer func() { allocate = whole }()
			for failing := 0; ; failing++ {
				n := 0
				allocate = func(count, size int) unsafe.Pointer {
					if n++; n-1 == failing {
						return nil
					}
					return whole(count, size)
				}
				made, err := c.make()
				if err == nil {
					made.Close()
					if n > failing || failing < c.allocations {
						t.Errorf("made without allocation %d of %d", failing, n)
					}
					return
				}
				if !errors.Is(err, errMemory) {
					t.Fatal(err)
				}
			}
		})
	}
}

// TestNodeWithoutMemory: a node that there is no memory for is an error of the session's, not the end of the process.
func TestNodeWithoutMemory(t *testing.T) {
	if why := makeNode(true); why != "" {
		t.Error(why)
	}
	if makeNode(false) == "" {
		t.Error("made of no memory")
	}
}
