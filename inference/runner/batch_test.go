package runner_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluiceml/sluice/inference/runner"
	"github.com/sluiceml/sluice/inference/sched"
)

// TestBatch takes plans of a scheduler to steps of a session.
func TestBatch(t *testing.T) {
	s := sched.New(sched.Config{Slots: 3, MaxLength: 32, ChunkSize: 4})
	s.Add(&sched.Sequence{Prompt: []uint32{10, 11}})
	s.Add(&sched.Sequence{Prompt: []uint32{20, 21, 22, 23, 24}})
	var b runner.Batch

	got := b.Build(s.Schedule())
	want := runner.Step{Chunk: &runner.Chunk{Slot: 0, Tokens: []uint32{10, 11}, Logits: true}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("first step: want (-), got (+):\n%s", diff)
	}
	s.Update(nil, sched.Result{Token: 12})

	got = b.Build(s.Schedule())
	want = runner.Step{
		Decode: []runner.DecodeRow{{Token: 12, Past: 2}},
		Chunk:  &runner.Chunk{Slot: 1, Tokens: []uint32{20, 21, 22, 23}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("second step: want (-), got (+):\n%s", diff)
	}
	if got.Tokens() != 5 || got.Sequences() != 2 {
		t.Errorf("%d tokens of %d sequences", got.Tokens(), got.Sequences())
	}
	s.Update([]sched.Result{{Token: 13}}, sched.Result{})

	got = b.Build(s.Schedule())
	if got.Chunk == nil || !got.Chunk.Logits {
		t.Errorf("the last chunk: %+v", got.Chunk)
	}
	s.Update([]sched.Result{{Token: 14}}, sched.Result{Token: 25})

	got = b.Build(s.Schedule())
	if got.Chunk != nil {
		t.Errorf("a chunk: %+v", got.Chunk)
	}
}

func TestValidate(t *testing.T) {
	limits := runner.Limits{Slots: 2, MaxLength: 8, MaxChunk: 4, VocabSize: 100}
	rows := func(r ...runner.DecodeRow) runner.Step { return runner.Step{Decode: r} }
	chunk := func(c runner.Chunk) runner.Step { return runner.Step{Chunk: &c} }
	ok := []runner.Step{
		rows(runner.DecodeRow{Token: 99, Past: 7}, runner.DecodeRow{Past: 1}),
		chunk(runner.Chunk{Slot: 1, Tokens: []uint32{0, 99, 1, 2}, Past: 4}),
		{Decode: []runner.DecodeRow{{Past: 1}}, Chunk: &runner.Chunk{Slot: 1, Tokens: []uint32{0}}},
	}
	for i, s := range ok {
		if err := s.Validate(limits); err != nil {
			t.Errorf("step %d: %v", i, err)
		}
	}
	bad := map[string]runner.Step{
		"empty":           {},
		"many rows":       rows(runner.DecodeRow{Past: 1}, runner.DecodeRow{Past: 1}, runner.DecodeRow{Past: 1}),
		"row's token":     rows(runner.DecodeRow{Token: 100, Past: 1}),
		"row's past":      rows(runner.DecodeRow{Past: 8}),
		"row of nothing":  rows(runner.DecodeRow{Past: 0}),
		"chunk's slot":    chunk(runner.Chunk{Slot: 2, Tokens: []uint32{1}}),
		"negative slot":   chunk(runner.Chunk{Slot: -1, Tokens: []uint32{1}}),
		"chunk's token":   chunk(runner.Chunk{Tokens: []uint32{1, 1 << 31}}),
		"empty chunk":     chunk(runner.Chunk{}),
		"chunk of rows":   chunk(runner.Chunk{Tokens: make([]uint32, runner.MaxRows+1), Rows: true}),
		"long chunk":      chunk(runner.Chunk{Tokens: make([]uint32, 5)}),
		"chunk's past":    chunk(runner.Chunk{Tokens: make([]uint32, 4), Past: 5}),
		"negative past":   chunk(runner.Chunk{Tokens: make([]uint32, 4), Past: -1}),
		"chunk in a row":  {Decode: []runner.DecodeRow{{Past: 1}}, Chunk: &runner.Chunk{Tokens: []uint32{1}}},
		"past that wraps": chunk(runner.Chunk{Tokens: make([]uint32, 4), Past: int(^uint(0) >> 1)}),
	}
	for name, s := range bad {
		if s.Validate(limits) == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}
