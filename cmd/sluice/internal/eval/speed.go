package eval

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/sluiceml/sluice/inference/runner"
)

// Load is what a model's speed is measured with: one request alone.
type Load struct {
	PromptTokens, NewTokens int // at least one each
	Runs                    int // of which the median counts
}

// Speed is how fast a model is, for one request.
type Speed struct {
	PromptTokens     int     `json:"prompt_tokens"`
	NewTokens        int     `json:"new_tokens"`
	TimeToFirstToken float64 `json:"time_to_first_token_ms"`
	TokensPerSecond  float64 `json:"tokens_per_second"` // after the first
	PrefillPerSecond float64 `json:"prefill_tokens_per_second"`
}

// Time lets a model go on with a text, always by the likeliest token. The prompt's tokens are those of the text, again
// from its beginning where it is too short.
func Time(ctx context.Context, m *Model, text string, l Load) (Speed, error) {
	tokens, err := m.Encode(text, true)
	if err != nil {
		return Speed{}, err
	}
	if len(tokens) == 0 || l.PromptTokens < 1 || l.NewTokens < 2 || l.Runs < 1 {
		return Speed{}, fmt.Errorf("there is nothing to time: %d tokens of text, %+v", len(tokens), l)
	}
	if most := m.Session.Limits().MaxLength; l.PromptTokens+l.NewTokens > most {
		return Speed{}, fmt.Errorf("%d and %d tokens are more than the %d that the model is loaded for", l.PromptTokens, l.NewTokens, most)
	}
	prompt := make([]uint32, l.PromptTokens)
	for i := range prompt {
		prompt[i] = tokens[i%len(tokens)]
	}
	var first, rest []time.Duration
	for range l.Runs + 1 { // the first is not counted: memory is taken in it
		a, b, err := m.timed(ctx, prompt, l.NewTokens)
		if err != nil {
			return Speed{}, err
		}
		first, rest = append(first, a), append(rest, b)
	}
	ttft, decode := median(first[1:]), median(rest[1:])
	return Speed{
		PromptTokens: l.PromptTokens, NewTokens: l.NewTokens,
		TimeToFirstToken: float64(ttft) / float64(time.Millisecond),
		PrefillPerSecond: float64(l.PromptTokens) / ttft.Seconds(),
		TokensPerSecond:  float64(l.NewTokens-1) / decode.Seconds(),
	}, nil
}

func median(all []time.Duration) time.Duration {
	slices.Sort(all)
	return all[len(all)/2]
}

// timed takes the time until the first token, and from then until the last.
func (m *Model) timed(ctx context.Context, prompt []uint32, tokens int) (first, rest time.Duration, err error) {
	defer m.Session.ReleaseSlot(slot)
	began := time.Now()
	var logits runner.Logits
	chunk := m.Session.Limits().MaxChunk
	for past := 0; past < len(prompt); past += chunk {
		if err := ctx.Err(); err != nil {
			return 0, 0, err
		}
		n := min(chunk, len(prompt)-past)
		logits, err = m.Session.Step(runner.Step{Chunks: []runner.Chunk{{
			Slot: slot, Tokens: prompt[past : past+n], Past: past, Logits: past+n == len(prompt),
		}}})
		if err != nil {
			return 0, 0, err //nolint:wrapcheck // it names the session
		}
	}
	token := likeliest(logits.Chunks[0])
	first = time.Since(began)
	for i := range tokens - 1 {
		if err := ctx.Err(); err != nil {
			return 0, 0, err
		}
		logits, err = m.Session.Step(runner.Step{Decode: []runner.DecodeRow{{Token: token, Past: len(prompt) + i}}})
		if err != nil {
			return 0, 0, err //nolint:wrapcheck // it names the session
		}
		token = likeliest(logits.Decode[0])
	}
	return first, time.Since(began) - first, nil
}

func likeliest(logits []float32) uint32 { return uint32(slices.Index(logits, slices.Max(logits))) }
