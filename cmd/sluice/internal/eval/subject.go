package eval

import (
	"context"
	"fmt"

	"github.com/sluiceml/sluice/inference/runner"
)

// subject is a model to measure. It is not safe for concurrent use.
type subject struct {
	session runner.Session // whose slots are all free
	// encode gives the tokens of a text. special adds what the model's tokenizer adds to a prompt, such as a token that
	// begins it.
	encode func(text string, special bool) ([]uint32, error)
}

// slot is the one that every run uses.
const slot = 0

// run computes tokens as one prompt, and shows the logits after each from the place from on. They hold until visit returns.
func (m *subject) run(ctx context.Context, tokens []uint32, from int, visit func(i int, logits []float32) error) error {
	limits := m.session.Limits()
	if len(tokens) > limits.MaxLength {
		return fmt.Errorf("%d tokens are more than the %d that the model is loaded for", len(tokens), limits.MaxLength)
	}
	defer m.session.ReleaseSlot(slot)
	for past := 0; past < len(tokens); {
		if err := ctx.Err(); err != nil {
			return err
		}
		wanted := past >= from
		n := min(limits.MaxChunk, len(tokens)-past)
		if wanted {
			n = min(n, runner.MaxRows)
		} else {
			n = min(n, from-past)
		}
		logits, err := m.session.Step(runner.Step{Chunks: []runner.Chunk{{
			Slot: slot, Tokens: tokens[past : past+n], Past: past, Logits: wanted, Rows: wanted,
		}}})
		if err != nil {
			return err //nolint:wrapcheck // it names the session
		}
		for i, row := range logits.Rows {
			if err := visit(past+i, row); err != nil {
				return err
			}
		}
		past += n
	}
	return nil
}
