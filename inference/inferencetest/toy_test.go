package inferencetest_test

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluiceml/sluice/inference/inferencetest"
	"github.com/sluiceml/sluice/inference/runner"
)

func TestToyConforms(t *testing.T) {
	inferencetest.TestSession(t, func() runner.Session {
		return inferencetest.NewToy(inferencetest.ToyConfig{Limits: runner.Limits{Blocks: 3, MaxDraft: 5, HiddenSize: 6}})
	})
}

func TestUniformToyConforms(t *testing.T) {
	inferencetest.TestSession(t, func() runner.Session {
		return inferencetest.NewToy(inferencetest.ToyConfig{Limits: runner.Limits{Blocks: 3, MaxDraft: 5, HiddenSize: 6, Uniform: true}})
	})
}

// TestToyGreedy runs a sequence by hand and compares it with the function that needs no session.
func TestToyGreedy(t *testing.T) {
	for _, script := range []func([]uint32) (uint32, bool){
		nil,
		func(h []uint32) (uint32, bool) { return uint32(len(h)), len(h)%2 == 0 },
	} {
		cfg := inferencetest.ToyConfig{Script: script}
		toy := inferencetest.NewToy(cfg)
		tokens := []uint32{7, 7, 9}
		logits, err := toy.Step(runner.Step{Chunks: []runner.Chunk{{Slot: 0, Tokens: tokens, Logits: true}}})
		if err != nil {
			t.Fatal(err)
		}
		row := logits.Chunks[0]
		for range 5 {
			next := argmax(row)
			logits, err := toy.Step(runner.Step{Decode: []runner.DecodeRow{{Token: next, Past: len(tokens)}}})
			if err != nil {
				t.Fatal(err)
			}
			tokens, row = append(tokens, next), logits.Decode[0]
		}
		if diff := cmp.Diff(inferencetest.ToyGreedy(cfg, tokens[:3], 5), tokens[3:]); diff != "" {
			t.Errorf("ToyGreedy (-) and the session (+) differ:\n%s", diff)
		}
	}
}

func argmax(row []float32) uint32 {
	best := 0
	for v, x := range row {
		if x > row[best] {
			best = v
		}
	}
	return uint32(best)
}

// TestToyIsStrict breaks the contract in every way that the toy can see.
func TestToyIsStrict(t *testing.T) {
	chunk := func(slot, past int, tokens ...uint32) runner.Step {
		return runner.Step{Chunks: []runner.Chunk{{Slot: slot, Tokens: tokens, Past: past}}}
	}
	decode := func(rows ...runner.DecodeRow) runner.Step { return runner.Step{Decode: rows} }
	broken := errors.New("broken")
	for name, violate := range map[string]func(s *inferencetest.Toy){
		"empty step":        func(s *inferencetest.Toy) { _, _ = s.Step(runner.Step{}) },
		"chunk too long":    func(s *inferencetest.Toy) { _, _ = s.Step(chunk(0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9)) },
		"empty chunk":       func(s *inferencetest.Toy) { _, _ = s.Step(chunk(0, 0)) },
		"no such slot":      func(s *inferencetest.Toy) { _, _ = s.Step(chunk(4, 0, 1)) },
		"token too large":   func(s *inferencetest.Toy) { _, _ = s.Step(chunk(1, 0, 256)) },
		"chunk after a gap": func(s *inferencetest.Toy) { _, _ = s.Step(chunk(1, 1, 1)) },
		"rewound chunk":     func(s *inferencetest.Toy) { _, _ = s.Step(chunk(0, 2, 1)) },
		"decode of nothing": func(s *inferencetest.Toy) { _, _ = s.Step(decode(runner.DecodeRow{Token: 1})) },
		"decode after a gap": func(s *inferencetest.Toy) {
			_, _ = s.Step(decode(runner.DecodeRow{Token: 1, Past: 4}))
		},
		"rewound decode": func(s *inferencetest.Toy) {
			_, _ = s.Step(decode(runner.DecodeRow{Token: 1, Past: 2}))
		},
		"decode of an empty slot": func(s *inferencetest.Toy) {
			_, _ = s.Step(decode(runner.DecodeRow{Token: 1, Past: 3}, runner.DecodeRow{Slot: 1, Token: 1, Past: 3}))
		},
		"chunk in a row's slot": func(s *inferencetest.Toy) {
			st := decode(runner.DecodeRow{Token: 1, Past: 3})
			st.Chunks = []runner.Chunk{{Tokens: []uint32{1}}}
			_, _ = s.Step(st)
		},
		"copy of too much":      func(s *inferencetest.Toy) { _ = s.CopySlot(1, 0, 4) },
		"copy onto itself":      func(s *inferencetest.Toy) { _ = s.CopySlot(0, 0, 1) },
		"save of too much":      func(s *inferencetest.Toy) { _ = s.SaveBlocks(0, 0, []int{0}) },
		"load of nothing":       func(s *inferencetest.Toy) { _ = s.LoadBlocks(1, []int{1}, 16) },
		"load of half":          func(s *inferencetest.Toy) { _ = s.LoadBlocks(1, []int{0}, 17) },
		"decode after release":  func(s *inferencetest.Toy) { s.ReleaseSlot(0); _, _ = s.Step(decode(runner.DecodeRow{Past: 3})) },
		"step after close":      func(s *inferencetest.Toy) { _ = s.Close(); _, _ = s.Step(chunk(1, 0, 1)) },
		"closed twice":          func(s *inferencetest.Toy) { _ = s.Close(); _ = s.Close() },
		"step after a failure":  func(s *inferencetest.Toy) { _, _ = s.Step(chunk(2, 0, 99)); _, _ = s.Step(chunk(1, 0, 1)) },
		"release after a close": func(s *inferencetest.Toy) { _ = s.Close(); s.ReleaseSlot(0) },
	} {
		t.Run(name, func(t *testing.T) {
			toy := inferencetest.NewToy(inferencetest.ToyConfig{Limits: runner.Limits{Blocks: 2}, BeforeStep: func(st runner.Step) error {
				if len(st.Chunks) > 0 && st.Chunks[0].Tokens[0] == 99 {
					return broken
				}
				return nil
			}})
			if _, err := toy.Step(chunk(0, 0, 1, 2, 3)); err != nil {
				t.Fatal(err)
			}
			defer func() {
				if recover() == nil {
					t.Error("no panic")
				}
			}()
			violate(toy)
		})
	}
}
