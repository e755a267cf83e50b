package inference_test

import (
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/sluiceml/sluice/inference"
	"github.com/sluiceml/sluice/inference/inferencetest"
	"github.com/sluiceml/sluice/inference/runner"
)

// says makes a toy that continues a prompt of n tokens with a text.
func says(n int, text string) setup {
	return setup{toy: inferencetest.ToyConfig{
		Limits: runner.Limits{Slots: 4, MaxLength: context128, MaxChunk: 16, VocabSize: vocabSize},
		Script: func(history []uint32) (uint32, bool) {
			if i := len(history) - n; i < len(text) {
				return uint32(text[i]), true
			}
			return endID, true
		},
	}}
}

// textOf runs a request and returns the text of its first output.
func textOf(t *testing.T, m *inference.Model, change func(*inference.Request)) (string, error) {
	t.Helper()
	r := inference.Request{
		ID: "r", Input: inference.Prompt{Text: "hi"},
		Sampling: inference.Sampling{TopP: 1, RepetitionPenalty: 1},
		Output:   inference.Output{SkipSpecialTokens: true},
	}
	change(&r)
	stream, err := m.Generate(t.Context(), r)
	if err != nil {
		return "", err //nolint:wrapcheck // what is tested
	}
	defer stream.Close()
	var text strings.Builder
	for {
		u, err := stream.Next(t.Context())
		if errors.Is(err, io.EOF) {
			return text.String(), nil
		}
		if err != nil {
			return text.String(), err //nolint:wrapcheck // what is tested
		}
		text.WriteString(u.Text)
	}
}

// TestBadWords: a word is kept out as it stands and behind a space, one that begins with a space only so, and an end
// token alone is not a word.
func TestBadWords(t *testing.T) {
	for name, test := range map[string]struct {
		says  string
		words []string
		kept  string // how much of what the toy says stays
	}{
		"none":              {"a big dog", nil, "a big dog"},
		"in a sentence":     {"a big dog", []string{"big"}, "a bi"},
		"at the beginning":  {"big dog", []string{"big"}, "bi"},
		"only in sentences": {"big dog", []string{" big"}, "big dog"},
		"behind a space":    {"a big dog", []string{" big"}, "a bi"},
		"one of several":    {"a big dog", []string{"cat", "dog"}, "a big do"},
		"the end token":     {"a big dog", []string{end}, "a big dog"},
	} {
		t.Run(name, func(t *testing.T) {
			m := newModel(t, says(2, test.says))
			run(t, m)
			text, err := textOf(t, m, func(r *inference.Request) { r.Sampling.BadWords = test.words })
			if err != nil {
				t.Fatal(err)
			}
			if !strings.HasPrefix(text, test.kept) || test.kept != test.says && strings.HasPrefix(text, test.says) {
				t.Errorf("got %q, want %q and then something else than %q", text, test.kept, test.says)
			}
		})
	}
}

// TestMinTokens: more than can be generated is refused, unless the model's makers have asked for it and not the request.
func TestMinTokens(t *testing.T) {
	m := newModel(t, says(2, "abc"))
	run(t, m)
	_, err := textOf(t, m, func(r *inference.Request) { r.Sampling.MinTokens = 17 }) // of 16 by default
	if invalid, ok := errors.AsType[*inference.InvalidError](err); !ok || invalid.Violations[0].Field != "sampling.min_tokens" {
		t.Errorf("got %v", err)
	}
	text, err := textOf(t, m, func(r *inference.Request) { r.Sampling.MinTokens = 16 })
	if err != nil || !strings.HasPrefix(text, "abc") || len(text) <= 3 {
		t.Errorf("got %q, %v", text, err)
	}
}

// TestMaxOutputs: the configured number, however many slots there are: a request takes one place in the queue.
func TestMaxOutputs(t *testing.T) {
	if n := newModel(t, setup{}).MaxOutputs(); n != 16 {
		t.Errorf("by default %d", n)
	}
	if n := newModel(t, setup{queue: 3}).MaxOutputs(); n != 16 {
		t.Errorf("with four slots and a queue of three %d", n)
	}
}
