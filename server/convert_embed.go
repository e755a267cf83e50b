package server

import (
	"fmt"
	"time"

	"github.com/sluiceml/sluice/inference"
	sluicev1 "github.com/sluiceml/sluice/proto/sluice/v1"
)

// embedRequest converts an EmbedRequest that arrived at a time. The error is an *inference.InvalidError.
func (l limits) embedRequest(in *sluicev1.EmbedRequest, arrival time.Time, draw draws) (inference.EmbedRequest, error) {
	var v violations
	out := inference.EmbedRequest{
		ID:        requestID(&v, in.GetRequestId()),
		Inputs:    l.embedInputs(&v, in),
		Pooling:   pooling(&v, in.GetPooling()),
		Normalize: in.Normalize == nil || in.GetNormalize(),
		Cache:     cache(&v, in.GetCache()),
		Priority:  priority(&v, in.GetPriority()),
		Arrival:   arrival,
	}
	if in.Dimensions != nil {
		if out.Dimensions = int(in.GetDimensions()); out.Dimensions < 1 {
			v.addf("dimensions", "must be at least 1")
		}
	}
	if err := v.err(); err != nil {
		return inference.EmbedRequest{}, err
	}
	if out.ID == "" {
		out.ID = draw.id()
	}
	return out, nil
}

// embedInputs converts what to embed, up to the first fault.
func (l limits) embedInputs(v *violations, in *sluicev1.EmbedRequest) []inference.Input {
	if n := len(in.GetInputs()); n == 0 || n > inference.MaxEmbedInputs {
		v.addf("inputs", "must have 1 to %d entries", inference.MaxEmbedInputs)
		return nil
	}
	out := make([]inference.Input, 0, len(in.GetInputs()))
	for i, one := range in.GetInputs() {
		field := fmt.Sprintf("inputs[%d]", i)
		faults := len(v.list)
		switch input := one.GetInput().(type) {
		case *sluicev1.EmbedInput_Text:
			switch text := input.Text; {
			case text == "":
				v.addf(field+".text", "must not be empty")
			case len(text) > l.maxText():
				v.addf(field+".text", "has %d bytes, more than the model's context of %d tokens can hold", len(text), l.context)
			}
			out = append(out, inference.Prompt{Text: input.Text, ParseSpecial: in.GetParseSpecial()})
		case *sluicev1.EmbedInput_Tokens:
			ids := input.Tokens.GetIds()
			switch {
			case len(ids) == 0:
				v.addf(field+".tokens.ids", "must not be empty")
			case len(ids) > l.context:
				v.addf(field+".tokens.ids", "has %d tokens, more than the model's context of %d", len(ids), l.context)
			default:
				l.checkIDs(v, field+".tokens.ids", ids)
			}
			out = append(out, inference.Tokens(ids))
		default:
			v.addf(field+".input", "exactly one of text and tokens must be set")
		}
		if len(v.list) > faults {
			return nil
		}
	}
	return out
}

// pooling converts a kind of pooling.
func pooling(v *violations, in sluicev1.Pooling) inference.Pooling {
	switch in {
	case sluicev1.Pooling_POOLING_UNSPECIFIED:
		return inference.PoolingDefault
	case sluicev1.Pooling_POOLING_MEAN:
		return inference.PoolingMean
	case sluicev1.Pooling_POOLING_LAST:
		return inference.PoolingLast
	case sluicev1.Pooling_POOLING_CLS:
		return inference.PoolingCLS
	}
	v.addf("pooling", "is none of the kinds")
	return inference.PoolingDefault
}

// poolingOf is a kind of pooling in an answer.
func poolingOf(kind inference.Pooling) sluicev1.Pooling {
	switch kind {
	case inference.PoolingMean:
		return sluicev1.Pooling_POOLING_MEAN
	case inference.PoolingLast:
		return sluicev1.Pooling_POOLING_LAST
	case inference.PoolingCLS:
		return sluicev1.Pooling_POOLING_CLS
	case inference.PoolingDefault:
	}
	return sluicev1.Pooling_POOLING_UNSPECIFIED
}
