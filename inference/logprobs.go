package inference

import (
	"github.com/sluiceml/sluice/inference/engine"
	"github.com/sluiceml/sluice/inference/sampling"
)

// logprobs adds to the engine's log-probabilities what the tokens stand for.
func (m *Model) logprobs(in []engine.TokenLogprobs, entropy bool) []TokenLogprobs {
	if len(in) == 0 {
		return nil
	}
	out := make([]TokenLogprobs, len(in))
	for i, position := range in {
		out[i].Token = m.logprob(position.Token)
		if entropy && position.Token.Rank > 0 { // a prompt's first token has no distribution
			out[i].Entropy = &in[i].Entropy
		}
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

// traces adds to the engine's traces what the tokens stand for.
func (m *Model) traces(in []sampling.Trace) []Trace {
	if len(in) == 0 {
		return nil
	}
	out := make([]Trace, len(in))
	for i, trace := range in {
		out[i] = Trace{Candidates: trace.Candidates, Chance: trace.Chance, Steps: make([]TraceStep, len(trace.Steps))}
		for k, step := range trace.Steps {
			to := &out[i].Steps[k]
			to.Name, to.Removed, to.Mass = step.Name, step.Removed, step.Mass
			for _, token := range step.Top {
				to.Top = append(to.Top, m.logprob(token))
			}
		}
	}
	return out
}
