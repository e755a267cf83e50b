package ort

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/sluiceml/sluice/inference/runner"
)

// TestRaggedBatchEqualsAlone decodes rows of different lengths together, in slots that held other things before, while
// a prompt's chunk rides along, and wants each row's logits bitwise as if it had been alone in a session.
func TestRaggedBatchEqualsAlone(t *testing.T) {
	env := openEnvironment(t)
	config := tinyConfig()
	testRaggedBatch(t, env, config, []int{1, 37, 5, 120, 64, 2, 300})
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
	for slot := range config.Slots { // what was in the slots before must not matter
		prefill(t, s, slot, 0, prompt(random, vocabulary, min(400, config.MaxLength)), config.MaxChunk)
	}
	for i, tokens := range prompts {
		if got := prefill(t, s, i, 0, tokens, 13); !slices.Equal(got, want[i][0]) {
			t.Errorf("the prompt of %d tokens differs from itself alone", len(tokens))
		}
	}
	for at := range steps {
		st := runner.Step{Chunk: &runner.Chunk{
			Slot: len(lengths), Past: 3 * at, Tokens: prompt(random, vocabulary, 3), Logits: at%2 == 0,
		}}
		for i, n := range lengths {
			st.Decode = append(st.Decode, runner.DecodeRow{Token: decoded[i][at], Past: n + at})
		}
		logits := step(t, s, st)
		if got := logits.Chunk != nil; got != st.Chunk.Logits {
			t.Errorf("step %d: logits of the chunk: %v, want %v", at, got, st.Chunk.Logits)
		}
		for i, n := range lengths {
			if !slices.Equal(logits.Decode[i], want[i][at+1]) {
				t.Errorf("step %d: row %d of length %d differs from itself alone", at, i, n)
			}
		}
	}
}

// TestChunksEqualWhole runs one prompt cut in several ways.
func TestChunksEqualWhole(t *testing.T) {
	env := openEnvironment(t)
	config := tinyConfig()
	config.MaxChunk = 200
	testChunks(t, env, config)
}

func testChunks(t *testing.T, env *Environment, config Config) {
	t.Helper()
	s := openSession(t, env, config)
	tokens := prompt(rand.New(rand.NewPCG(3, 4)), config.Graph.VocabSize, config.MaxChunk)
	want := prefill(t, s, 0, 0, tokens, config.MaxChunk)
	for _, size := range []int{1, 2, 7, 16, 64, config.MaxChunk - 1} {
		if got := prefill(t, s, 1, 0, tokens, size); !slices.Equal(got, want) {
			t.Errorf("in chunks of %d the logits differ from those of one run", size)
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
		rows = append(rows, runner.DecodeRow{Token: tokens[49], Past: 49})
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

// TestStepAllocations counts Go's allocations of steps in a steady state.
func TestStepAllocations(t *testing.T) {
	env := openEnvironment(t)
	s := openSession(t, env, tinyConfig())
	rows := []runner.DecodeRow{{Token: 1}, {Token: 2}, {Token: 3}}
	chunk := &runner.Chunk{Slot: 5, Tokens: []uint32{1, 2, 3, 4}}
	for _, test := range []struct {
		name string
		step runner.Step
	}{
		{"decode", runner.Step{Decode: rows}},
		{"decode and chunk", runner.Step{Decode: rows, Chunk: chunk}},
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
