package inferencetest

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/sluiceml/sluice/inference/runner"
)

// TestSession checks that the sessions that open makes keep the contract of runner.Session, numerics included: the
// logits of a sequence must be the same, bit for bit, whatever shares its step, however its prompt is cut (unless its
// limits say that it matters), and wherever it lies. open is called twice, and must make equal sessions with at least 4 slots,
// 48 positions, chunks of 8 and either 3 blocks or none; it reports its own failures.
func TestSession(t *testing.T, open func() runner.Session) {
	t.Helper()
	c := &conformance{alone: openSession(t, open), session: openSession(t, open)}
	c.limits = c.session.Limits()
	if l := c.limits; l.Slots < 4 || l.MaxLength < 48 || l.MaxChunk < 8 || l.Blocks < 3 && !l.FixedChunks || l.VocabSize < 2 {
		t.Fatalf("limits %+v are too small for the test", l)
	}
	if l := c.alone.Limits(); l != c.limits {
		t.Fatalf("open made sessions with limits %+v and %+v", l, c.limits)
	}
	for _, test := range []struct {
		name string
		run  func(*testing.T)
		cuts bool // whether it cuts prompts in several ways
	}{
		{"the same again", c.testRepeat, false},
		{"chunks of any size", c.testChunkSizes, true},
		{"a chunk without logits", c.testChunkWithoutLogits, false},
		{"the logits of every token", c.testRows, true},
		{"the hidden states of every token", c.testHidden, true},
		{"ragged rows", c.testRaggedRows, false},
		{"a chunk beside rows", c.testChunkBesideRows, false},
		{"any slot", c.testAnySlot, false},
		{"a copied slot", c.testCopySlot, false},
		{"a released slot", c.testReleaseSlot, false},
		{"saved and loaded blocks", c.testBlocks, true},
		{"drafts", c.testDrafts, false},
		{"several chunks", c.testSeveralChunks, false},
		{"drafts beside rows, in any slots", c.testDraftsBesideRows, false},
		{"decoded positions as a prompt's", c.testDecodedBlocks, false},
		{"forgotten positions", c.testForgotten, false},
		{"logits changed in place", c.testChangedLogits, false},
		{"a full slot", c.testFullSlot, false},
	} {
		if !test.cuts || !c.limits.FixedChunks {
			t.Run(test.name, test.run)
		}
	}
}

func openSession(t *testing.T, open func() runner.Session) runner.Session {
	t.Helper()
	s := open()
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return s
}

type conformance struct {
	alone   runner.Session // runs each sequence by itself, in slot 0
	session runner.Session // is tested; its slots hold whatever earlier tests left
	limits  runner.Limits
}

// cut is the size of chunks that a test would choose, if the session lets it.
func (c *conformance) cut(size int) int {
	if c.limits.FixedChunks {
		return c.limits.MaxChunk
	}
	return size
}

// line is a sequence under test, with the logits that it must have.
type line struct {
	tokens []uint32 // the prompt and what follows
	prompt int      // length of the prompt
	want   [][]float32
}

// newLine makes a random prompt and its greedy continuation by n tokens, on the other session.
func (c *conformance) newLine(t *testing.T, seed uint64, prompt, n int) *line {
	t.Helper()
	rng := rand.New(rand.NewPCG(seed, 0)) //nolint:gosec // the same prompts every time
	l := &line{prompt: prompt}
	for range prompt {
		l.tokens = append(l.tokens, uint32(rng.IntN(c.limits.VocabSize)))
	}
	row := prefill(t, c.alone, 0, l.tokens, c.limits.MaxChunk)
	for i := range n {
		l.want = append(l.want, clone(row))
		if i == n-1 {
			break
		}
		l.tokens = append(l.tokens, argmax(row))
		row = step(t, c.alone, runner.Step{Decode: []runner.DecodeRow{l.row(i)}}).Decode[0]
	}
	return l
}

// row is the decode row that leads to the logits want[i+1], in slot 0.
func (l *line) row(i int) runner.DecodeRow { return l.rowIn(0, i) }

// rowIn is the same in another slot.
func (l *line) rowIn(slot, i int) runner.DecodeRow {
	return runner.DecodeRow{Slot: slot, Token: l.tokens[l.prompt+i], Past: l.prompt + i}
}

// check compares logits with want[i].
func (l *line) check(t *testing.T, what string, i int, got []float32) {
	t.Helper()
	want := l.want[i]
	if len(got) != len(want) {
		t.Fatalf("%s, token %d: %d logits, want %d", what, i, len(got), len(want))
	}
	different, worst := 0, 0.0
	for v := range want {
		if math.Float32bits(got[v]) != math.Float32bits(want[v]) {
			different++
			worst = max(worst, math.Abs(float64(got[v])-float64(want[v])))
		}
	}
	if different > 0 {
		t.Errorf("%s, token %d: %d of %d logits differ from the sequence alone, by up to %g; best token %d, alone %d",
			what, i, different, len(want), worst, argmax(got), argmax(want))
	}
}

// prefill runs a prompt in chunks of a size and returns the logits after it.
func prefill(t *testing.T, s runner.Session, slot int, prompt []uint32, size int) []float32 {
	t.Helper()
	return prefillFrom(t, s, slot, prompt, 0, size)
}

// prefillFrom runs what follows after the first past tokens of a prompt.
func prefillFrom(t *testing.T, s runner.Session, slot int, prompt []uint32, past, size int) []float32 {
	t.Helper()
	var row []float32
	for past < len(prompt) {
		tokens := prompt[past:min(past+size, len(prompt))]
		last := past+len(tokens) == len(prompt)
		row = step(t, s, runner.Step{Chunks: []runner.Chunk{{Slot: slot, Tokens: tokens, Past: past, Logits: last}}}).Chunks[0]
		past += len(tokens)
	}
	return row
}

func step(t *testing.T, s runner.Session, st runner.Step) runner.Logits {
	t.Helper()
	logits, err := s.Step(st)
	if err != nil {
		t.Fatalf("step: %v", err)
	}
	if len(logits.Decode) != len(st.Decode) || len(logits.Draft) != st.Drafted() || len(logits.Chunks) != len(st.Chunks) {
		t.Fatalf("step of %d decode rows, drafts of %d and %d chunks gave %d, %d and %d rows of logits", len(st.Decode),
			st.Drafted(), len(st.Chunks), len(logits.Decode), len(logits.Draft), len(logits.Chunks))
	}
	return logits
}

func clone(row []float32) []float32 { return append([]float32(nil), row...) }

func argmax(row []float32) uint32 {
	best := 0
	for v, x := range row {
		if x > row[best] {
			best = v
		}
	}
	return uint32(best)
}

func name(format string, args ...any) string { return fmt.Sprintf(format, args...) }
