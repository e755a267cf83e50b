package server

import (
	"math"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/sluiceml/sluice/inference"
	"github.com/sluiceml/sluice/inference/answer"
	sluicev1 "github.com/sluiceml/sluice/proto/sluice/v1"
)

// finishReason names why an output ended.
func finishReason(reason inference.FinishReason) sluicev1.FinishReason {
	switch reason {
	case inference.FinishStop:
		return sluicev1.FinishReason_FINISH_REASON_STOP
	case inference.FinishStopSequence:
		return sluicev1.FinishReason_FINISH_REASON_STOP_SEQUENCE
	case inference.FinishLength:
		return sluicev1.FinishReason_FINISH_REASON_LENGTH
	case inference.FinishToolCall:
		return sluicev1.FinishReason_FINISH_REASON_TOOL_CALL
	default:
		return sluicev1.FinishReason_FINISH_REASON_UNSPECIFIED
	}
}

func usage(in inference.Usage) *sluicev1.Usage {
	return &sluicev1.Usage{
		PromptTokens:     count(in.PromptTokens),
		CompletionTokens: count(in.CompletionTokens),
		CachedTokens:     count(in.CachedTokens),
		ReasoningTokens:  count(in.ReasoningTokens),
	}
}

func timings(in inference.Timings) *sluicev1.Timings {
	return &sluicev1.Timings{
		Queue:            durationpb.New(in.Queue),
		Prefill:          durationpb.New(in.Prefill),
		TimeToFirstToken: durationpb.New(in.TimeToFirstToken),
		Decode:           durationpb.New(in.Decode),
	}
}

// tokenLogprobs puts log-probabilities on the wire.
func tokenLogprobs(in []inference.TokenLogprobs) []*sluicev1.TokenLogprobs {
	if len(in) == 0 {
		return nil
	}
	out := make([]*sluicev1.TokenLogprobs, len(in))
	for i, position := range in {
		out[i] = &sluicev1.TokenLogprobs{Chosen: tokenLogprob(position.Token), Entropy: position.Entropy}
		for _, token := range position.Top {
			out[i].Top = append(out[i].Top, tokenLogprob(token))
		}
	}
	return out
}

func tokenLogprob(in inference.Logprob) *sluicev1.TokenLogprob {
	return &sluicev1.TokenLogprob{TokenId: in.ID, Logprob: in.Value, Token: in.Bytes, Rank: count(in.Rank)}
}

// toolCallDeltas puts more of calls on the wire.
func toolCallDeltas(in []answer.Call) []*sluicev1.ToolCallDelta {
	if len(in) == 0 {
		return nil
	}
	out := make([]*sluicev1.ToolCallDelta, len(in))
	for i, call := range in {
		out[i] = &sluicev1.ToolCallDelta{
			Index: count(call.Index), Id: call.ID, Name: call.Name, Arguments: call.Arguments, Retracted: call.Retracted,
		}
	}
	return out
}

// calls puts whole calls on the wire.
func calls(in []answer.Call) []*sluicev1.ToolCall {
	if len(in) == 0 {
		return nil
	}
	out := make([]*sluicev1.ToolCall, len(in))
	for i, call := range in {
		out[i] = &sluicev1.ToolCall{Id: call.ID, Name: call.Name, Arguments: call.Arguments}
	}
	return out
}

// samplingTraces puts traces on the wire.
func samplingTraces(in []inference.Trace) []*sluicev1.SamplingTrace {
	if len(in) == 0 {
		return nil
	}
	out := make([]*sluicev1.SamplingTrace, len(in))
	for i, trace := range in {
		out[i] = &sluicev1.SamplingTrace{Candidates: count(trace.Candidates), Probability: trace.Chance}
		for _, step := range trace.Steps {
			to := &sluicev1.SamplingStep{Name: step.Name, Removed: count(step.Removed), RemovedProbability: step.Mass}
			for _, token := range step.Top {
				to.RemovedTokens = append(to.RemovedTokens, tokenLogprob(token))
			}
			out[i].Steps = append(out[i].Steps, to)
		}
	}
	return out
}

func modelState(state inference.State) sluicev1.ModelState {
	switch state {
	case inference.StateLoading:
		return sluicev1.ModelState_MODEL_STATE_LOADING
	case inference.StateReady:
		return sluicev1.ModelState_MODEL_STATE_READY
	case inference.StateDraining:
		return sluicev1.ModelState_MODEL_STATE_DRAINING
	case inference.StateFailed:
		return sluicev1.ModelState_MODEL_STATE_FAILED
	default:
		return sluicev1.ModelState_MODEL_STATE_UNSPECIFIED
	}
}

// describe tells what a model is and how it is doing. Of one that nothing serves yet there is only the name to tell.
func describe(entry inference.Entry) *sluicev1.Model {
	out := &sluicev1.Model{
		Name:    entry.Name,
		Aliases: entry.Aliases,
		State:   modelState(entry.State()),
		Folder:  entry.Folder,
	}
	if entry.Model == nil {
		return out
	}
	info := entry.Model.Info()
	out.Architecture = info.Architecture
	out.Quantization = info.Quantization
	out.ContextLength = count(info.ContextLength)
	out.VocabSize = count(info.VocabSize)
	out.EosTokenIds = info.EOSTokenIDs
	out.Chat = info.HasChat
	out.ChatTemplates = info.Templates
	out.ToolCallFormat = string(info.Calls)
	out.ReasoningFormat = info.Reasoning
	out.EmbeddingSize, out.Pooling = count(info.EmbeddingSize), info.Pooling
	out.Replicas = make([]*sluicev1.Replica, len(info.Replicas))
	for i, replica := range info.Replicas {
		out.Replicas[i] = &sluicev1.Replica{
			Device:  replica.Device,
			Slots:   count(replica.Slots),
			Running: count(replica.Running),
			Waiting: count(replica.Waiting),
		}
	}
	return out
}

// count puts a count on the wire.
func count(n int) uint32 {
	return uint32(min(max(n, 0), math.MaxUint32))
}
