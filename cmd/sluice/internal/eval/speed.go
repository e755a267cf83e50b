package eval

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/sluiceml/sluice/inference/runner"
)

// workload is what a model's speed is measured with: one request alone.
type workload struct {
	promptTokens, newTokens int // at least one each
	runs                    int // of which the median counts
}

// Speed is how fast a model is, for one request.
type Speed struct {
	PromptTokens     int     `json:"prompt_tokens"`
	NewTokens        int     `json:"new_tokens"`
	TimeToFirstToken float64 `json:"time_to_first_token_ms"`
	TokensPerSecond  float64 `json:"tokens_per_second"` // after the first
	PrefillPerSecond float64 `json:"prefill_tokens_per_second"`
}

// measureSpeed lets a model go on with a text, always by the likeliest token. The prompt's tokens are those of the text, again
// from its beginning where it is too short.
func measureSpeed(ctx context.Context, m *subject, text string, l workload) (Speed, error) {
	tokens, err := m.encode(text, true)
	if err != nil {
		return Speed{}, err
	}
	if len(tokens) == 0 || l.promptTokens < 1 || l.newTokens < 2 || l.runs < 1 {
		return Speed{}, fmt.Errorf("there is nothing to time: %d tokens of text, %+v", len(tokens), l)
	}
	if most := m.session.Limits().MaxLength; l.promptTokens+l.newTokens > most {
		return Speed{}, fmt.Errorf("%d and %d tokens are more than the %d that the model is loaded for", l.promptTokens, l.newTokens, most)
	}
	prompt := make([]uint32, l.promptTokens)
	for i := range prompt {
		prompt[i] = tokens[i%len(tokens)]
	}
	var first, rest []time.Duration
	for range l.runs + 1 { // the first is not counted: memory is taken in it
		a, b, err := m.timed(ctx, prompt, l.newTokens)
		if err != nil {
			return Speed{}, err
		}
		first, rest = append(first, a), append(rest, b)
	}
	ttft, decode := median(first[1:]), median(rest[1:])
	return Speed{
		PromptTokens: l.promptTokens, NewTokens: l.newTokens,
		TimeToFirstToken: float64(ttft) / float64(time.Millisecond),
		PrefillPerSecond: float64(l.promptTokens) / ttft.Seconds(),
		TokensPerSecond:  float64(l.newTokens-1) / decode.Seconds(),
	}, nil
}

func median(all []time.Duration) time.Duration {
	slices.Sort(all)
	return all[len(all)/2]
}

// timed takes the time until the first token, and from then until the last.
func (m *subject) timed(ctx context.Context, prompt []uint32, tokens int) (first, rest time.Duration, err error) {
	defer m.session.ReleaseSlot(slot)
	began := time.Now()
	var logits runner.Logits
	chunk := m.session.Limits().MaxChunk
	for past := 0; past < len(prompt); past += chunk {
		if err := ctx.Err(); err != nil {
			return 0, 0, err
		}
		n := min(chunk, len(prompt)-past)
		logits, err = m.session.Step(runner.Step{Chunks: []runner.Chunk{{
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
		logits, err = m.session.Step(runner.Step{Decode: []runner.DecodeRow{{Token: token, Past: len(prompt) + i}}})
		if err != nil {
			return 0, 0, err //nolint:wrapcheck // it names the session
		}
		token = likeliest(logits.Decode[0])
	}
	return first, time.Since(began) - first, nil
}

func likeliest(logits []float32) uint32 { return uint32(slices.Index(logits, slices.Max(logits))) }
