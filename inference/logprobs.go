package inference

import (
	"github.com/sluiceml/sluice/inference/engine"
	"github.com/sluiceml/sluice/inference/sampling"
)

// logprobs adds to the engine's log-probabilities what the tokens stand for.
func (m *Model) logprobs(in []engine.TokenLogprobs) []TokenLogprobs {
	if len(in) == 0 {
		return nil
	}
	out := make([]TokenLogprobs, len(in))
	for i, position := range in {
		out[i].Token = m.logprob(position.Token)
		if len(position.Top) == 0 {
			continue
		}
		out[i].Top = make([]Logprob, len(position.Top))
		for k, token := range position.Top {
			out[i].Top[k] = m.logprob(token)
		}
	}
	return out
}

func (m *Model) logprob(in sampling.Logprob) Logprob {
	return Logprob{ID: in.ID, Bytes: m.config.Tokenizer.Bytes(in.ID), Value: in.Value, Rank: int(in.Rank)}
}
