package runner_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

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
	want := runner.Step{Chunks: []runner.Chunk{{Slot: 0, Tokens: []uint32{10, 11}, Logits: true}}}
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("first step: want (-), got (+):\n%s", diff)
	}
	s.Update(nil, []sched.Result{{Token: 12}})

	got = b.Build(s.Schedule())
	want = runner.Step{
		Decode: []runner.DecodeRow{{Token: 12, Past: 2}},
		Chunks: []runner.Chunk{{Slot: 1, Tokens: []uint32{20, 21, 22, 23}}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("second step: want (-), got (+):\n%s", diff)
	}
	if got.Tokens() != 5 || got.Sequences() != 2 {
		t.Errorf("%d tokens of %d sequences", got.Tokens(), got.Sequences())
	}
	s.Update([]sched.Result{{Token: 13}}, []sched.Result{{}})

	got = b.Build(s.Schedule())
	if len(got.Chunks) != 1 || !got.Chunks[0].Logits {
		t.Errorf("the last chunk: %+v", got.Chunks)
	}
	s.Update([]sched.Result{{Token: 14}}, []sched.Result{{Token: 25}})

	got = b.Build(s.Schedule())
	if len(got.Chunks) > 0 || len(got.Decode) != 2 || got.Decode[1].Slot != 1 {
		t.Errorf("two rows: %+v", got)
	}
}

func TestValidate(t *testing.T) {
	limits := runner.Limits{Slots: 2, MaxLength: 8, MaxChunk: 4, VocabSize: 100, MaxDraft: 3}
	uniform := limits
	uniform.Uniform, uniform.Slots = true, 40
	rows := func(r ...runner.DecodeRow) runner.Step { return runner.Step{Decode: r} }
	chunk := func(c ...runner.Chunk) runner.Step { return runner.Step{Chunks: c} }
	drafted := func(slot, n int) runner.DecodeRow {
		return runner.DecodeRow{Slot: slot, Past: 1, Draft: make([]uint32, n)}
	}
	var many []runner.DecodeRow
	for i := range runner.MaxDrafts/3 + 1 {
		many = append(many, drafted(i, 3))
	}
	for i, s := range []runner.Step{
		rows(runner.DecodeRow{Token: 99, Past: 7}, runner.DecodeRow{Slot: 1, Past: 1}),
		rows(drafted(0, 3)),
		chunk(runner.Chunk{Slot: 1, Tokens: []uint32{0, 99, 1, 2}, Past: 4}),
		{Decode: []runner.DecodeRow{{Past: 1}}, Chunks: []runner.Chunk{{Slot: 1, Tokens: []uint32{0}}}},
	} {
		if err := s.Validate(limits); err != nil {
			t.Errorf("step %d: %v", i, err)
		}
	}
	for i, s := range []runner.Step{
		rows(drafted(7, 3), drafted(0, 1)),
		chunk(runner.Chunk{Slot: 3, Tokens: []uint32{0, 1}}, runner.Chunk{Slot: 1, Tokens: []uint32{5}, Past: 3, Rows: true}),
		{Decode: []runner.DecodeRow{{Slot: 2, Past: 1}}, Chunks: []runner.Chunk{{Slot: 0, Tokens: []uint32{0}}}},
	} {
		if s.Validate(limits) == nil {
			t.Errorf("step %d: accepted by a session that is not uniform", i)
		}
		if err := s.Validate(uniform); err != nil {
			t.Errorf("step %d: %v", i, err)
		}
	}
	bad := map[string]runner.Step{
		"empty":           {},
		"many rows":       {Decode: make([]runner.DecodeRow, 41)},
		"row's token":     rows(runner.DecodeRow{Token: 100, Past: 1}),
		"row's past":      rows(runner.DecodeRow{Past: 8}),
		"negative past":   rows(runner.DecodeRow{Past: -1}),
		"row's slot":      rows(runner.DecodeRow{Slot: 40, Past: 1}),
		"rows' slot":      rows(runner.DecodeRow{Past: 1}, runner.DecodeRow{Past: 1}),
		"long draft":      rows(drafted(0, 4)),
		"draft's end":     rows(runner.DecodeRow{Past: 6, Draft: make([]uint32, 2)}),
		"draft's token":   rows(runner.DecodeRow{Past: 1, Draft: []uint32{1, 100}}),
		"many drafts":     rows(many...),
		"chunk's slot":    chunk(runner.Chunk{Slot: 40, Tokens: []uint32{1}}),
		"no slot":         chunk(runner.Chunk{Slot: -1, Tokens: []uint32{1}}),
		"chunk's token":   chunk(runner.Chunk{Tokens: []uint32{1, 1 << 31}}),
		"empty chunk":     chunk(runner.Chunk{}),
		"chunk of rows":   chunk(runner.Chunk{Tokens: make([]uint32, runner.MaxRows+1), Rows: true}),
		"chunks of rows":  chunk(runner.Chunk{Tokens: []uint32{1}, Rows: true}, runner.Chunk{Slot: 1, Tokens: []uint32{1}, Rows: true}),
		"long chunk":      chunk(runner.Chunk{Tokens: make([]uint32, 5)}),
		"long chunks":     chunk(runner.Chunk{Tokens: make([]uint32, 3)}, runner.Chunk{Slot: 1, Tokens: make([]uint32, 2)}),
		"chunks' slot":    chunk(runner.Chunk{Tokens: []uint32{1}}, runner.Chunk{Tokens: []uint32{1}}),
		"chunk's past":    chunk(runner.Chunk{Tokens: make([]uint32, 4), Past: 5}),
		"before a slot":   chunk(runner.Chunk{Tokens: make([]uint32, 4), Past: -1}),
		"chunk in a row":  {Decode: []runner.DecodeRow{{Past: 1}}, Chunks: []runner.Chunk{{Tokens: []uint32{1}}}},
		"past that wraps": chunk(runner.Chunk{Tokens: make([]uint32, 4), Past: int(^uint(0) >> 1)}),
	}
	for name, s := range bad {
		if s.Validate(limits) == nil || s.Validate(uniform) == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}
