package engine_test

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sluiceml/sluice/inference/engine"
	"github.com/sluiceml/sluice/inference/inferencetest"
	"github.com/sluiceml/sluice/inference/runner"
)

func TestFinish(t *testing.T) {
	const euro = "\u20AC" // three bytes, so three tokens
	tests := []struct {
		name   string
		says   string
		change func(r *engine.Request)
		text   string
		tokens int
		finish engine.Finish
	}{
		{
			"end token", "hello", nil,
			"hello", 6,
			engine.Finish{Reason: engine.FinishStop},
		},
		{
			"end token at once", "", nil,
			"", 1,
			engine.Finish{Reason: engine.FinishStop},
		},
		{
			"end token beats length", "abcd", func(r *engine.Request) { r.MaxTokens = 5 },
			"abcd", 5,
			engine.Finish{Reason: engine.FinishStop},
		},
		{
			"end token ignored", "ab", func(r *engine.Request) { r.IgnoreEOS, r.MaxTokens = true, 7 },
			"ab", 7,
			engine.Finish{Reason: engine.FinishLength},
		},
		{
			"max_tokens", "hello", func(r *engine.Request) { r.MaxTokens = 3 },
			"hel", 3,
			engine.Finish{Reason: engine.FinishLength},
		},
		{
			"max_tokens 1", "hello", func(r *engine.Request) { r.MaxTokens = 1 },
			"h", 1,
			engine.Finish{Reason: engine.FinishLength},
		},
		{
			"full slot", "a long story that does not fit into the slot of this session at all",
			func(r *engine.Request) { r.Prompt, r.MaxTokens = counting(1, 1), 1000 },
			"a long story that does not fit ", 31,
			engine.Finish{Reason: engine.FinishLength},
		},
		{
			"stop string", "say STOP now", func(r *engine.Request) { r.Stop.Strings = []string{"STOP"} },
			"say ", 8,
			engine.Finish{Reason: engine.FinishStopSequence, StopSequence: "STOP"},
		},
		{
			"stop string kept", "say STOP now",
			func(r *engine.Request) { r.Stop.Strings, r.Stop.IncludeInOutput = []string{"STOP"}, true },
			"say STOP", 8,
			engine.Finish{Reason: engine.FinishStopSequence, StopSequence: "STOP"},
		},
		{
			"stop string that does not come", "STO", func(r *engine.Request) { r.Stop.Strings = []string{"STOP"} },
			"STO", 4,
			engine.Finish{Reason: engine.FinishStop},
		},
		{
			"stop string at max_tokens", "abc",
			func(r *engine.Request) { r.Stop.Strings, r.MaxTokens = []string{"bc"}, 3 },
			"a", 3,
			engine.Finish{Reason: engine.FinishStopSequence, StopSequence: "bc"},
		},
		{
			"first of two stop strings", "xabcy",
			func(r *engine.Request) { r.Stop.Strings = []string{"abcy", "b"} },
			"xa", 3,
			engine.Finish{Reason: engine.FinishStopSequence, StopSequence: "b"},
		},
		{
			"stop string of several bytes", "5 " + euro + "!", func(r *engine.Request) { r.Stop.Strings = []string{euro} },
			"5 ", 5,
			engine.Finish{Reason: engine.FinishStopSequence, StopSequence: euro},
		},
		{
			"stop token", "abcd", func(r *engine.Request) { r.Stop.TokenIDs = []uint32{'c'} },
			"ab", 3,
			engine.Finish{Reason: engine.FinishStopSequence, StopSequence: "c"},
		},
		{
			"stop token kept", "abcd",
			func(r *engine.Request) { r.Stop.TokenIDs, r.Stop.IncludeInOutput = []uint32{'c'}, true },
			"abc", 3,
			engine.Finish{Reason: engine.FinishStopSequence, StopSequence: "c"},
		},
		{
			"stop token kept though the decoder skips it", "ab",
			func(r *engine.Request) {
				r.Stop.TokenIDs, r.Stop.IncludeInOutput, r.IgnoreEOS = []uint32{0}, true, true
				r.TokenText = func(uint32) string { return "<|end|>" }
			},
			"ab<|end|>", 3,
			engine.Finish{Reason: engine.FinishStopSequence, StopSequence: "<|end|>"},
		},
		{
			"stop token kept inside a character", "a" + euro,
			func(r *engine.Request) {
				r.Stop.TokenIDs, r.Stop.IncludeInOutput = []uint32{0x82}, true
				r.TokenText = func(uint32) string { return "\uFFFD" }
			},
			"a\uFFFD", 3,
			engine.Finish{Reason: engine.FinishStopSequence, StopSequence: "\uFFFD"},
		},
		{
			"stop token that is the end token", "ab", func(r *engine.Request) { r.Stop.TokenIDs = []uint32{0} },
			"ab", 3,
			engine.Finish{Reason: engine.FinishStop},
		},
		{
			"stop token that is the ignored end token", "ab",
			func(r *engine.Request) { r.Stop.TokenIDs, r.IgnoreEOS = []uint32{0}, true },
			"ab", 3,
			engine.Finish{Reason: engine.FinishStopSequence, StopSequence: "\x00"},
		},
		{
			"min_tokens: the end token is not drawn", "", func(r *engine.Request) { r.Sampling.MinTokens, r.MaxTokens = 3, 4 },
			"C[\uFFFD", 4, // what the toy's hash likes next best
			engine.Finish{Reason: engine.FinishStop},
		},
		{
			"min_tokens: a stop string in the text before is none", "abcabc",
			func(r *engine.Request) { r.Stop.Strings, r.Sampling.MinTokens = []string{"bc"}, 3 },
			"abca", 6,
			engine.Finish{Reason: engine.FinishStopSequence, StopSequence: "bc"},
		},
		{
			"min_tokens: a stop string that ends later is one", "abcabc",
			func(r *engine.Request) { r.Stop.Strings, r.Sampling.MinTokens = []string{"bc"}, 2 },
			"a", 3,
			engine.Finish{Reason: engine.FinishStopSequence, StopSequence: "bc"},
		},
		{
			"min_tokens: a stop string at max_tokens", "abc",
			func(r *engine.Request) { r.Stop.Strings, r.Sampling.MinTokens, r.MaxTokens = []string{"bc"}, 3, 3 },
			"abc", 3,
			engine.Finish{Reason: engine.FinishLength},
		},
		{
			"characters of several bytes", euro + "\U0001F600" + "é", nil,
			euro + "\U0001F600" + "é", 10,
			engine.Finish{Reason: engine.FinishStop},
		},
		{
			"cut inside a character", "a" + euro, func(r *engine.Request) { r.MaxTokens = 3 },
			"a\uFFFD", 3,
			engine.Finish{Reason: engine.FinishLength},
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := greedy(30, 1)
				r.EOS = []uint32{0}
				r.TokenText = func(id uint32) string { return string(rune(id)) }
				if test.change != nil {
					test.change(&r)
				}
				h := start(t, inferencetest.ToyConfig{
					Limits: runner.Limits{MaxLength: 32},
					Script: saying(len(r.Prompt), test.says),
					// One token at a time to the reader, so that every hold-back is seen.
					BeforeStep: func(runner.Step) error { elapse(time.Millisecond); return nil },
				}, engine.Config{})
				got := read(t, submit(t, h.Engine, r))
				if got.err != nil {
					t.Fatal(got.err)
				}
				if got.text != test.text {
					t.Errorf("text %q, want %q", got.text, test.text)
				}
				if diff := cmp.Diff(&test.finish, got.finish); diff != "" {
					t.Errorf("finish: want (-), got (+):\n%s", diff)
				}
				if len(got.ids) != test.tokens || got.summary.Usage.CompletionTokens != test.tokens {
					t.Errorf("%d ids and a usage of %d, want %d", len(got.ids), got.summary.Usage.CompletionTokens, test.tokens)
				}
			})
		})
	}
}

// TestTextOnly: without WantTokenIDs there are no ids, and no updates without text.
func TestTextOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := start(t, inferencetest.ToyConfig{
			Script:     saying(1, "\u20AC\u20AC"),
			BeforeStep: func(runner.Step) error { elapse(time.Millisecond); return nil },
		}, engine.Config{})
		r := greedy(6, 1)
		r.WantTokenIDs = false
		got := read(t, submit(t, h.Engine, r))
		if got.updates != 2 || got.ids != nil || got.text != "\u20AC\u20AC" {
			t.Errorf("got %+v", got)
		}
	})
}

// TestWithoutDecoder: tokens only.
func TestWithoutDecoder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := start(t, inferencetest.ToyConfig{Script: saying(1, "abc")}, engine.Config{})
		r := greedy(3, 1)
		r.Decoder = nil
		got := read(t, submit(t, h.Engine, r))
		if diff := cmp.Diff([]uint32{'a', 'b', 'c'}, got.ids); diff != "" || got.text != "" {
			t.Errorf("text %q, ids: want (-), got (+):\n%s", got.text, diff)
		}
	})
}

// TestExcluded: a request that forbids every token ends by its own fault, and the next one is served.
func TestExcluded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := start(t, inferencetest.ToyConfig{Script: saying(1, "abc")}, engine.Config{})
		r := greedy(3, 1)
		r.Sampling.Allowed, r.Sampling.BadWords = []uint32{'a', 'b'}, [][]uint32{{'a', 'b', 'a'}, {'b', 'b'}}
		got := read(t, submit(t, h.Engine, r))
		var excluded *engine.ExcludedError
		if !errors.As(got.err, &excluded) || excluded.Token != 2 || excluded.Error() == "" || got.text != "ab" {
			t.Errorf("text %q, error %v", got.text, got.err)
		}
		if got := read(t, submit(t, h.Engine, greedy(3, 1))); got.text != "abc" || got.err != nil {
			t.Errorf("the next request: %+v", got)
		}
	})
}
