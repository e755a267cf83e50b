package server

import (
	"fmt"
	"time"

	"github.com/sluiceml/sluice/inference"
	sluicev1 "github.com/sluiceml/sluice/proto/sluice/v1"
)

// maxContinuations bounds the continuations of a ScoreRequest.
const maxContinuations = 256

// scoreRequest converts a ScoreRequest that arrived at a time. The error is an *inference.InvalidError.
func (l limits) scoreRequest(in *sluicev1.ScoreRequest, arrival time.Time, draw draws) (inference.ScoreRequest, error) {
	var v violations
	out := inference.ScoreRequest{
		ID:            requestID(&v, in.GetRequestId()),
		Continuations: l.continuations(&v, in.GetContinuations()),
		Logprobs:      logprobs(&v, "logprobs", in.Logprobs), //nolint:protogetter // unset is not 0
		Cache:         cache(&v, in.GetCache()),
		Priority:      priority(&v, in.GetPriority()),
		Arrival:       arrival,
	}
	if in.GetEntropy() {
		out.Logprobs.Wanted, out.Logprobs.Entropy = true, true
	}
	switch input := in.GetInput().(type) {
	case *sluicev1.ScoreRequest_Prompt:
		out.Input = l.prompt(&v, input.Prompt, in.ParseSpecial)
	case *sluicev1.ScoreRequest_Tokens:
		out.Input = l.tokens(&v, input.Tokens, false)
	case *sluicev1.ScoreRequest_Chat:
		out.Input = l.conversation(&v, input.Chat)
	default:
		v.addf("input", "exactly one of prompt, tokens and chat must be set")
	}
	if err := v.err(); err != nil {
		return inference.ScoreRequest{}, err
	}
	if out.ID == "" {
		out.ID = draw.id()
	}
	return out, nil
}

// continuations checks the texts to score.
func (l limits) continuations(v *violations, in []string) []string {
	const field = "continuations"
	if len(in) == 0 || len(in) > maxContinuations {
		v.addf(field, "must have 1 to %d entries", maxContinuations)
		return nil
	}
	for i, text := range in {
		switch {
		case text == "":
			v.addf(fmt.Sprintf("%s[%d]", field, i), "must not be empty")
			return nil
		case len(text) > l.maxText():
			v.addf(fmt.Sprintf("%s[%d]", field, i), "has %d bytes, more than the model's context of %d tokens can hold", len(text), l.context)
			return nil
		}
	}
	return in
}

// explainRequest converts an ExplainRequest that arrived at a time. The error is an *inference.InvalidError.
func (l limits) explainRequest(in *sluicev1.ExplainRequest, arrival time.Time, draw draws) (inference.ExplainRequest, error) {
	var v violations
	out := inference.ExplainRequest{
		ID:       requestID(&v, in.GetRequestId()),
		Answer:   in.GetAnswer(),
		Cache:    cache(&v, in.GetCache()),
		Priority: priority(&v, in.GetPriority()),
		Arrival:  arrival,
	}
	byDefault := inference.UnitSentence
	switch input := in.GetInput().(type) {
	case *sluicev1.ExplainRequest_Prompt:
		out.Input = l.prompt(&v, input.Prompt, in.ParseSpecial)
	case *sluicev1.ExplainRequest_Chat:
		out.Input = l.conversation(&v, input.Chat)
		byDefault = inference.UnitMessage
	default:
		v.addf("input", "exactly one of prompt and chat must be set")
	}
	switch {
	case out.Answer == "":
		v.addf("answer", "must not be empty")
	case len(out.Answer) > l.maxText():
		v.addf("answer", "has %d bytes, more than the model's context of %d tokens can hold", len(out.Answer), l.context)
	}
	out.Unit = unit(&v, in.GetUnit(), byDefault)
	if n := out.Segments(); n > inference.MaxSegments {
		v.addf("unit", "cuts the input into %d segments, more than %d", n, inference.MaxSegments)
	}
	if err := v.err(); err != nil {
		return inference.ExplainRequest{}, err
	}
	if out.ID == "" {
		out.ID = draw.id()
	}
	return out, nil
}

// unit converts what an input is cut into.
func unit(v *violations, in sluicev1.ExplainUnit, byDefault inference.Unit) inference.Unit {
	switch in {
	case sluicev1.ExplainUnit_EXPLAIN_UNIT_UNSPECIFIED:
		return byDefault
	case sluicev1.ExplainUnit_EXPLAIN_UNIT_MESSAGE:
		return inference.UnitMessage
	case sluicev1.ExplainUnit_EXPLAIN_UNIT_LINE:
		return inference.UnitLine
	case sluicev1.ExplainUnit_EXPLAIN_UNIT_SENTENCE:
		return inference.UnitSentence
	case sluicev1.ExplainUnit_EXPLAIN_UNIT_WORD:
		return inference.UnitWord
	}
	v.addf("unit", "is none of the units")
	return byDefault
}
