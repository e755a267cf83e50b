package inference_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sluiceml/sluice/inference"
)

// takes is a context that counts how often it is asked whether it has ended: whoever takes a turn to render or to encode
// asks once.
type takes struct {
	context.Context //nolint:containedctx // it is one

	n atomic.Int32
}

func (c *takes) Err() error {
	c.n.Add(1)
	return c.Context.Err()
}

// chatOf is a conversation of one message.
func chatOf(text string) inference.Chat {
	return inference.Chat{Messages: []inference.Message{{Role: "user", Content: text}}, AddGenerationPrompt: true}
}

// tokensOf is a prompt of so many tokens.
func tokensOf(n int) inference.Tokens { return slices.Repeat(inference.Tokens{'x'}, n) }

// violation is the one of an error that says a field is wrong; its field is "" for another error.
func violation(err error) inference.Violation {
	if invalid, ok := errors.AsType[*inference.InvalidError](err); ok {
		return invalid.Violations[0]
	}
	return inference.Violation{}
}

// TestScoreTooLong: an input that is too long is encoded once, at most to its beginning, whatever is to follow it.
func TestScoreTooLong(t *testing.T) {
	m := newModel(t, setup{})
	run(t, m)
	for _, test := range []struct {
		name        string
		input       inference.Input
		text        string // of each continuation
		field, want string
		turns       int32
	}{
		{"a long prompt", inference.Prompt{Text: strings.Repeat("x", context128)}, "y", "prompt", "it has 128 tokens", 1},
		{"an endless prompt", inference.Prompt{Text: strings.Repeat("x", 1<<21)}, "y", "prompt", "its first 2048 bytes of 2097152", 1},
		{"a long chat", chatOf(strings.Repeat("x", context128)), "y", "chat.messages", "it has ", 2},
		{"an endless chat", chatOf(strings.Repeat("x", 1<<21)), "y", "chat.messages", "its first 2048 bytes of 2097", 2},
		{"tokens", tokensOf(context128), "y", "tokens.ids", "it has 128 tokens", 0},
		{"long continuations", inference.Prompt{Text: "x"}, strings.Repeat("y", context128), "prompt", "with the text that is scored it has 129 tokens", 2},
		{"endless continuations", inference.Prompt{Text: "x"}, strings.Repeat("y", 1<<20), "prompt", "its first 2048 bytes of 1048577", 2},
		{"long continuations of tokens", tokensOf(100), strings.Repeat("y", 28), "tokens.ids", "with the text that is scored it has 128 tokens", 1},
	} {
		ctx := &takes{Context: t.Context()}
		_, _, err := m.Score(ctx, inference.ScoreRequest{Input: test.input, Continuations: slices.Repeat([]string{test.text}, 256), Arrival: time.Now()})
		if v := violation(err); v.Field != test.field || !strings.Contains(v.Description, test.want) {
			t.Errorf("%s: got %v, want %q", test.name, err, test.want)
		}
		if n := ctx.n.Load(); n > test.turns {
			t.Errorf("%s: took %d turns, want %d", test.name, n, test.turns)
		}
	}
}

// TestExplainTooLong: the same holds for an input that is scored without each of its segments.
func TestExplainTooLong(t *testing.T) {
	m := newModel(t, setup{})
	run(t, m)
	lines := func(n int) string { return strings.Repeat("x\n", n) }
	for _, test := range []struct {
		name        string
		input       inference.Input
		answer      string
		field, want string
		turns       int32
	}{
		{"a long prompt", inference.Prompt{Text: lines(100)}, "y", "prompt", "it has 200 tokens", 1},
		{"an endless chat", chatOf(lines(200) + strings.Repeat("x", 1<<21)), "y", "chat.messages", "its first 2048 bytes", 2},
		{"a long answer", inference.Prompt{Text: lines(50)}, strings.Repeat("y", 28), "prompt", "with the text that is scored it has 128 tokens", 2},
	} {
		ctx := &takes{Context: t.Context()}
		_, _, err := m.Explain(ctx, inference.ExplainRequest{Input: test.input, Answer: test.answer, Unit: inference.UnitLine, Arrival: time.Now()})
		if v := violation(err); v.Field != test.field || !strings.Contains(v.Description, test.want) {
			t.Errorf("%s: got %v, want %q", test.name, err, test.want)
		}
		if n := ctx.n.Load(); n > test.turns {
			t.Errorf("%s: took %d turns, want %d", test.name, n, test.turns)
		}
	}
}

// TestScoreAnswerIsBounded: log-probabilities are refused where there would be too many; without them, or with fewer, the
// same continuations are scored.
func TestScoreAnswerIsBounded(t *testing.T) {
	m := newModel(t, setup{})
	run(t, m)
	score := func(tokens int, logprobs inference.Logprobs) error {
		_, _, err := m.Score(t.Context(), inference.ScoreRequest{
			Input: inference.Prompt{Text: "x"}, Continuations: slices.Repeat([]string{strings.Repeat("y", tokens)}, 256),
			Logprobs: logprobs, Arrival: time.Now(),
		})
		return err
	}
	all := inference.Logprobs{Wanted: true, Top: 20}
	err := score(50, all) // 256·50·21
	if v := violation(err); v.Field != "logprobs" || !strings.Contains(v.Description, "at most 262144") {
		t.Errorf("got %v", err)
	}
	for name, err := range map[string]error{
		"fewer tokens": score(48, all), "one for each token": score(50, inference.Logprobs{Wanted: true}), "none": score(50, inference.Logprobs{}),
	} {
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}
