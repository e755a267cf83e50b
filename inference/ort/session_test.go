package ort

import (
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/sluiceml/sluice/inference/inferencetest"
	"github.com/sluiceml/sluice/inference/runner"
)

func TestConformance(t *testing.T) {
	env := openEnvironment(t)
	inferencetest.TestSession(t, func() runner.Session {
		s, err := env.Open(tinyConfig())
		if err != nil {
			t.Fatal(err)
		}
		return s
	})
}

// TestRaggedBatchEqualsAlone decodes rows of different lengths together, in slots that held other things before, while
// a prompt's chunk rides along, and wants each row's logits bitwise as if it had been alone in a session.
func TestRaggedBatchEqualsAlone(t *testing.T) {
	env := openEnvironment(t)
	config := tinyConfig()
	testRaggedBatch(t, env, config, []int{1, 37, 5, 120, 64, 2, 300})
}

// spoil fills the slots with what is no number.
func spoil(s *Session) {
	if spoiled, ok := s.executor.(interface{ spoil() }); ok {
		spoiled.spoil()
		return
	}
	for _, buffer := range s.cache.buffers {
		for i := range buffer {
			buffer[i] = float32(math.NaN())
		}
	}
}

func testRaggedBatch(t *testing.T, env *Environment, config Config, lengths []int) {
	t.Helper()
	const steps = 4
	random := rand.New(rand.NewPCG(1, 2))
	vocabulary := config.Graph.VocabSize
	prompts, decoded := make([][]uint32, len(lengths)), make([][]uint32, len(lengths))
	want := make([][][]float32, len(lengths))
	for i, n := range lengths {
		prompts[i], decoded[i] = prompt(random, vocabulary, n), prompt(random, vocabulary, steps)
		want[i] = alone(t, env, config, prompts[i], decoded[i])
	}
	s := openSession(t, env, config)
	spoil(s) // what was in the slots before must not matter
	for i, tokens := range prompts {
		if got := prefill(t, s, i, 0, tokens, 13); !slices.Equal(got, want[i][0]) {
			t.Errorf("the prompt of %d tokens differs from itself alone", len(tokens))
		}
	}
	for at := range steps {
		st := runner.Step{Chunks: []runner.Chunk{{
			Slot: len(lengths), Past: 3 * at, Tokens: prompt(random, vocabulary, 3), Logits: at%2 == 0,
		}}}
		for i, n := range lengths {
			st.Decode = append(st.Decode, runner.DecodeRow{Slot: i, Token: decoded[i][at], Past: n + at})
		}
		logits := step(t, s, st)
		if got := logits.Chunks[0] != nil; got != st.Chunks[0].Logits {
			t.Errorf("step %d: logits of the chunk: %v, want %v", at, got, st.Chunks[0].Logits)
		}
		for i, n := range lengths {
			if !slices.Equal(logits.Decode[i], want[i][at+1]) {
				t.Errorf("step %d: row %d of length %d differs from itself alone", at, i, n)
			}
		}
	}
}

// TestChunksEqualWhole runs prompts cut in several ways, with more and fewer threads than there are processors.
func TestChunksEqualWhole(t *testing.T) {
	env := openEnvironment(t)
	config := tinyConfig()
	config.MaxChunk = 300
	for _, threads := range []int{1, 2, 3, 8} {
		config.Device.Threads = threads
		// 33, 65, 129 and 257: one token more than a block of queries of some kernel.
		testChunks(t, env, config, []int{2, 17, 33, 65, 129, 257}, []int{1, 2, 7, 16, 64, 100, 128})
	}
}

func testChunks(t *testing.T, env *Environment, config Config, lengths, sizes []int) {
	t.Helper()
	s := openSession(t, env, config)
	for _, n := range lengths {
		tokens := prompt(rand.New(rand.NewPCG(3, uint64(n))), config.Graph.VocabSize, n)
		want := prefill(t, s, 0, 0, tokens, n)
		for _, size := range append(sizes, n-1) {
			if got := prefill(t, s, 1, 0, tokens, size); !slices.Equal(got, want) {
				t.Errorf("%d threads: %d tokens in chunks of %d differ from one run", config.Device.Threads, n, size)
			}
		}
	}
}

// TestBatchSizesEqual decodes one row among 1 to all others.
func TestBatchSizesEqual(t *testing.T) {
	env := openEnvironment(t)
	config := tinyConfig()
	s := openSession(t, env, config)
	tokens := prompt(rand.New(rand.NewPCG(5, 6)), config.Graph.VocabSize, 50)
	var rows []runner.DecodeRow
	var want []float32
	for slot := range config.Slots {
		prefill(t, s, slot, 0, tokens[:49], 32)
		rows = append(rows, runner.DecodeRow{Slot: slot, Token: tokens[49], Past: 49})
		logits := step(t, s, runner.Step{Decode: rows}).Decode
		if want == nil {
			want = slices.Clone(logits[0])
		}
		for i, got := range logits {
			if !slices.Equal(got, want) {
				t.Errorf("row %d of %d differs from itself alone", i, len(rows))
			}
		}
	}
}

func TestCopySlot(t *testing.T) {
	env := openEnvironment(t)
	config := tinyConfig()
	s := openSession(t, env, config)
	random := rand.New(rand.NewPCG(7, 8))
	tokens := prompt(random, config.Graph.VocabSize, 90)
	want := prefill(t, s, 0, 0, tokens, 64)

	prefill(t, s, 3, 0, prompt(random, config.Graph.VocabSize, 200), 64) // something else lies there
	for _, length := range []int{0, 1, 40, 89} {
		if err := s.CopySlot(3, 0, length); err != nil {
			t.Fatal(err)
		}
		if got := prefill(t, s, 3, length, tokens[length:], 64); !slices.Equal(got, want) {
			t.Errorf("after copying %d positions the logits differ", length)
		}
	}
	if got := prefill(t, s, 0, 89, tokens[89:], 64); !slices.Equal(got, want) {
		t.Error("the copied slot has changed")
	}
	for _, bad := range [][3]int{{-1, 0, 1}, {0, 8, 1}, {8, 0, 1}, {0, 1, -1}, {0, 1, 513}} {
		if err := s.CopySlot(bad[0], bad[1], bad[2]); err == nil {
			t.Errorf("CopySlot%v is accepted", bad)
		}
	}
}

// TestPositionsOfOneSlotOnly writes to the last position of a slot and looks at its neighbour.
func TestPositionsOfOneSlotOnly(t *testing.T) {
	env := openEnvironment(t)
	config := tinyConfig()
	config.Slots, config.MaxLength, config.MaxChunk = 3, 33, 33 // slots end inside pages
	s := openSession(t, env, config)
	random := rand.New(rand.NewPCG(9, 10))
	tokens := prompt(random, config.Graph.VocabSize, 33)
	want := prefill(t, s, 1, 0, tokens, 33)
	for _, slot := range []int{0, 2} {
		prefill(t, s, slot, 0, prompt(random, config.Graph.VocabSize, 33), 33)
		s.ReleaseSlot(slot)
	}
	if got := prefill(t, s, 1, 31, tokens[31:], 33); !slices.Equal(got, want) {
		t.Error("running and releasing a slot's neighbours changes it")
	}
}

// TestBadBlocks asks for what lies outside the slots or the store.
func TestBadBlocks(t *testing.T) {
	env := openEnvironment(t)
	s := openSession(t, env, tinyConfig())
	limits := s.Limits()
	if want := 2 * 2 * 2 * 16 * 16 * 4; limits.BlockBytes != want || limits.Blocks != 1<<20/want {
		t.Errorf("%d blocks of %d bytes, want %d bytes", limits.Blocks, limits.BlockBytes, want)
	}
	for _, bad := range []struct {
		slot, past int
		blocks     []int
	}{
		{-1, 0, []int{0}},
		{8, 0, []int{0}},
		{0, -1, []int{0}},
		{0, 497, []int{0}},
		{0, 513, nil},
		{0, math.MaxInt, []int{0}},
		{0, 0, []int{-1}},
		{0, 0, []int{limits.Blocks}},
		{0, 0, make([]int, 33)},
	} {
		if err := s.SaveBlocks(bad.slot, bad.past, bad.blocks); err == nil {
			t.Errorf("SaveBlocks(%d, %d, %v) is accepted", bad.slot, bad.past, bad.blocks)
		}
		if bad.past != 0 {
			continue
		}
		if err := s.LoadBlocks(bad.slot, bad.blocks, 16*len(bad.blocks)); err == nil {
			t.Errorf("LoadBlocks(%d, %v) is accepted", bad.slot, bad.blocks)
		}
	}
	for _, length := range []int{-1, 0, 16, 33, math.MaxInt} {
		if err := s.LoadBlocks(0, []int{0, 1}, length); err == nil {
			t.Errorf("%d positions of two blocks are accepted", length)
		}
	}
	config := tinyConfig()
	config.PrefixBytes = limits.BlockBytes - 1
	none := openSession(t, env, config)
	if n := none.Limits().Blocks; n != 0 {
		t.Errorf("%d blocks in less memory than one takes", n)
	}
	if none.SaveBlocks(0, 0, nil) == nil || none.LoadBlocks(0, nil, 0) == nil {
		t.Error("a session without a store takes blocks")
	}
}

// TestStepAllocations counts Go's allocations of steps in a steady state.
func TestStepAllocations(t *testing.T) {
	env := openEnvironment(t)
	s := openSession(t, env, tinyConfig())
	rows := rows([]uint32{1, 2, 3}, 0)
	chunks := []runner.Chunk{{Slot: 5, Tokens: []uint32{1, 2, 3, 4}}}
	for _, test := range []struct {
		name string
		step runner.Step
	}{
		{"decode", runner.Step{Decode: rows}},
		{"decode and chunk", runner.Step{Decode: rows, Chunks: chunks}},
	} {
		if n := testing.AllocsPerRun(50, func() {
			if _, err := s.Step(test.step); err != nil {
				t.Fatal(err)
			}
		}); n != 0 {
			t.Errorf("a step of %s allocates %v times", test.name, n)
		}
	}
}

func TestBadConfig(t *testing.T) {
	env := openEnvironment(t)
	for name, spoil := range map[string]func(*Config){
		"no model":          func(c *Config) { c.Model = "" },
		"no device":         func(c *Config) { c.Device = Device{} },
		"no slots":          func(c *Config) { c.Slots = 0 },
		"too many slots":    func(c *Config) { c.Slots = maxSlots + 1 },
		"no length":         func(c *Config) { c.MaxLength = 0 },
		"beyond the tables": func(c *Config) { c.MaxLength = c.ContextLength + 1 },
		"no chunk":          func(c *Config) { c.MaxChunk = 0 },
		"chunk over length": func(c *Config) { c.MaxChunk = c.MaxLength + 1 },
		"negative store":    func(c *Config) { c.PrefixBytes = -1 },
		"negative tokens":   func(c *Config) { c.PrefixTokens = -1 },
		"huge store":        func(c *Config) { c.PrefixBytes = 1 << 50 },
		"other keys":        func(c *Config) { c.Graph.KVType = "int8" },
		"no layers":         func(c *Config) { c.Graph.Layers = 0 },
		"huge":              func(c *Config) { c.Graph.HeadSize, c.Graph.KVHeads = 1<<30, 1<<30 },
		"missing file":      func(c *Config) { c.Model = "testdata/nothing.onnx" },
		"not a model":       func(c *Config) { c.Model = "testdata/tiny.py" },
		"other names":       func(c *Config) { c.Graph.SeqlensK = "lengths" },
		"other vocabulary":  func(c *Config) { c.Graph.VocabSize = 97 },
		"other head size":   func(c *Config) { c.Graph.HeadSize = 8 },
		"more layers":       func(c *Config) { c.Graph.Layers = 3 },
	} {
		config := tinyConfig()
		spoil(&config)
		s, err := env.Open(config)
		if err == nil {
			t.Errorf("%s: accepted", name)
			_ = s.Close()
			continue
		}
		t.Logf("%s: %v", name, err)
	}
}

func TestBadSteps(t *testing.T) {
	env := openEnvironment(t)
	config := tinyConfig()
	s := openSession(t, env, config)
	row := runner.DecodeRow{Token: 1}
	for name, bad := range map[string]runner.Step{
		"empty":              {},
		"too many rows":      {Decode: make([]runner.DecodeRow, config.Slots+1)},
		"token":              {Decode: []runner.DecodeRow{{Token: 96}}},
		"negative position":  {Decode: []runner.DecodeRow{{Past: -1}}},
		"full slot":          {Decode: []runner.DecodeRow{{Past: 512}}},
		"row in no slot":     {Decode: []runner.DecodeRow{{Slot: 8}}},
		"rows in one slot":   {Decode: []runner.DecodeRow{row, row}},
		"two chunks":         {Chunks: []runner.Chunk{{Tokens: []uint32{1}}, {Slot: 1, Tokens: []uint32{1}}}},
		"chunk in a row":     {Decode: rows([]uint32{1, 1}, 0), Chunks: []runner.Chunk{{Slot: 1, Tokens: []uint32{1}}}},
		"chunk in no slot":   {Chunks: []runner.Chunk{{Slot: 8, Tokens: []uint32{1}}}},
		"negative slot":      {Chunks: []runner.Chunk{{Slot: -1, Tokens: []uint32{1}}}},
		"empty chunk":        {Chunks: []runner.Chunk{{}}},
		"long chunk":         {Chunks: []runner.Chunk{{Tokens: make([]uint32, 65)}}},
		"chunk beyond slot":  {Chunks: []runner.Chunk{{Tokens: make([]uint32, 4), Past: 509}}},
		"negative past":      {Chunks: []runner.Chunk{{Tokens: []uint32{1}, Past: -1}}},
		"overflowing past":   {Chunks: []runner.Chunk{{Tokens: []uint32{1}, Past: math.MaxInt}}},
		"token of the chunk": {Chunks: []runner.Chunk{{Tokens: []uint32{1, 96}}}},
	} {
		if _, err := s.Step(bad); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	step(t, s, runner.Step{Decode: []runner.DecodeRow{row}}) // the session has come to no harm
	// The last position of a slot, as a chunk of its own.
	step(t, s, runner.Step{Chunks: []runner.Chunk{{Slot: 7, Tokens: []uint32{1}, Past: 511, Logits: true}}})
}

func TestUseAfterClose(t *testing.T) {
	env := openEnvironment(t)
	s, err := env.Open(tinyConfig())
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	wantMisuse(t, "closing twice", ErrClosed, s.Close)
	wantMisuse(t, "saving", ErrClosed, func() error { return s.SaveBlocks(0, 0, []int{1}) })
	wantMisuse(t, "loading", ErrClosed, func() error { return s.LoadBlocks(0, []int{1}, 16) })
	wantMisuse(t, "copying", ErrClosed, func() error { return s.CopySlot(0, 1, 1) })
	wantMisuse(t, "a step", ErrClosed, func() error {
		_, err := s.Step(runner.Step{Decode: []runner.DecodeRow{{}}})
		return err
	})
}

// TestSeveralSessions runs two sessions of one environment at the same time, each in a goroutine of its own.
func TestSeveralSessions(t *testing.T) {
	env := openEnvironment(t)
	config := tinyConfig()
	tokens := prompt(rand.New(rand.NewPCG(11, 12)), config.Graph.VocabSize, 60)
	want := alone(t, env, config, tokens, nil)[0]
	results := make(chan []float32)
	for range 2 {
		s := openSession(t, env, config)
		go func() {
			var last []float32
			for i := range 20 {
				logits, err := s.Step(runner.Step{Chunks: []runner.Chunk{{Slot: i % 8, Tokens: tokens, Logits: true}}})
				if err != nil {
					t.Error(err)
				}
				last = slices.Clone(logits.Chunks[0])
			}
			results <- last
		}()
	}
	for range 2 {
		if got := <-results; !slices.Equal(got, want) {
			t.Error("beside another session the logits differ")
		}
	}
}

// TestNoGPU asks the CPU's build of ONNX Runtime for a GPU: it must say no and why, not run on the CPU.
func TestNoGPU(t *testing.T) {
	env := openEnvironment(t)
	config := tinyConfig()
	config.Device = Device{Provider: CUDA, ID: 1}
	_, err := env.Open(config)
	var bad *DeviceError
	if !errors.As(err, &bad) || bad.Device != config.Device {
		t.Fatalf("%v, want a DeviceError", err)
	}
	if text := err.Error(); !strings.Contains(text, "cuda:1") || !strings.Contains(text, "CUDA execution provider is not enabled") {
		t.Errorf("the error does not say why: %v", err)
	}
	openSession(t, env, tinyConfig()) // nothing is left of the attempt
}
