package vllm

import (
	"slices"

	sluicev1 "github.com/sluiceml/sluice/proto/sluice/v1"
	vllmpb "github.com/sluiceml/sluice/proto/vllm"
)

// answers makes the pieces of a request's sequences, and remembers of each what its end tells.
type answers struct {
	request   *vllmpb.GenerateRequest
	sequences map[uint32]*sequence
}

type sequence struct {
	tokens uint32
	last   uint32 // token
}

func (a *answers) at(index uint32) *sequence {
	if a.sequences == nil {
		a.sequences = map[uint32]*sequence{}
	}
	if a.sequences[index] == nil {
		a.sequences[index] = &sequence{}
	}
	return a.sequences[index]
}

// piece is more of a sequence, with what the request asked for.
func (a *answers) piece(index uint32, text string, ids []uint32, logprobs []*sluicev1.TokenLogprobs) *vllmpb.SequenceOutput {
	s, options := a.at(index), a.request.GetResponse()
	s.tokens += uint32(len(ids)) //nolint:gosec // at most the context's
	if len(ids) > 0 {
		s.last = ids[len(ids)-1]
	}
	out := &vllmpb.SequenceOutput{Index: index, NumTokens: uint32(len(ids))} //nolint:gosec // as above
	if options == nil || options.OutputText == nil || options.GetOutputText() {
		out.Text = text
	}
	if options.GetOutputTokenIds() {
		out.TokenIds = ids
	}
	if options.GetOutputLogprobs() {
		out.Logprobs, out.Ranks = chosen(logprobs)
	}
	if options.GetOutputCandidates() != nil {
		out.CandidateTokens = candidates(logprobs)
	}
	return out
}

// finish says how a sequence ended.
func (a *answers) finish(index uint32, reason sluicev1.FinishReason, stop string) *vllmpb.FinishInfo {
	s := a.at(index)
	out := &vllmpb.FinishInfo{NumOutputTokens: s.tokens}
	switch reason {
	case sluicev1.FinishReason_FINISH_REASON_LENGTH:
		out.FinishReason = vllmpb.FinishInfo_LENGTH
	case sluicev1.FinishReason_FINISH_REASON_CANCELLED:
		out.FinishReason = vllmpb.FinishInfo_ABORTED
	case sluicev1.FinishReason_FINISH_REASON_STOP_SEQUENCE:
		out.FinishReason = vllmpb.FinishInfo_STOP
		if slices.Contains(a.request.GetStopping().GetStopTokenIds(), s.last) {
			out.StopReason = &vllmpb.FinishInfo_StopTokenId{StopTokenId: s.last}
		} else {
			out.StopReason = &vllmpb.FinishInfo_StopString{StopString: stop}
		}
	default:
		out.FinishReason = vllmpb.FinishInfo_STOP
		out.StopReason = &vllmpb.FinishInfo_EosTokenId{EosTokenId: s.last}
	}
	return out
}

// promptInfo describes the prompt, with what the request asked for.
func (a *answers) promptInfo(length uint32, logprobs []*sluicev1.TokenLogprobs) *vllmpb.PromptInfo {
	out, options := &vllmpb.PromptInfo{NumPromptTokens: length}, a.request.GetResponse()
	if options.GetPromptTokenIds() {
		for _, token := range logprobs {
			out.TokenIds = append(out.TokenIds, token.GetChosen().GetTokenId())
		}
	}
	if options.GetPromptLogprobs() {
		out.Logprobs, out.Ranks = chosen(logprobs)
	}
	if options.GetPromptCandidates() != nil {
		out.CandidateTokens = candidates(logprobs)
	}
	return out
}

func chosen(tokens []*sluicev1.TokenLogprobs) (logprobs []float32, ranks []uint32) {
	for _, token := range tokens {
		logprobs = append(logprobs, token.GetChosen().GetLogprob())
		ranks = append(ranks, token.GetChosen().GetRank())
	}
	return logprobs, ranks
}

// candidates are the likeliest tokens of each position but the one that is there.
func candidates(tokens []*sluicev1.TokenLogprobs) []*vllmpb.CandidateTokenInfo {
	out := make([]*vllmpb.CandidateTokenInfo, len(tokens))
	for i, token := range tokens {
		out[i] = &vllmpb.CandidateTokenInfo{}
		for _, other := range token.GetTop() {
			if other.GetTokenId() != token.GetChosen().GetTokenId() {
				out[i].Tokens = append(out[i].Tokens, &vllmpb.CandidateTokenInfo_TokenInfo{
					Id: other.GetTokenId(), Logprob: other.GetLogprob(), Rank: other.GetRank(),
				})
			}
		}
	}
	return out
}
