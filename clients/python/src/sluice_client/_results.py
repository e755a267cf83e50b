"""What calls return."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from sluice_client.v1 import inference_pb2 as pb


class FinishReason(StrEnum):
    """Why an output ended."""

    STOP = "stop"
    """The model's end token."""
    STOP_SEQUENCE = "stop_sequence"
    """A stop string or stop token of the request."""
    LENGTH = "length"
    """max_tokens was reached, or the context is full."""
    TOOL_CALL = "tool_call"
    """A tool call is complete."""
    CANCELLED = "cancelled"
    """The request was cancelled."""
    UNKNOWN = "unknown"
    """A reason that this version of the package does not know."""


_REASONS = {
    pb.FINISH_REASON_STOP: FinishReason.STOP,
    pb.FINISH_REASON_STOP_SEQUENCE: FinishReason.STOP_SEQUENCE,
    pb.FINISH_REASON_LENGTH: FinishReason.LENGTH,
    pb.FINISH_REASON_TOOL_CALL: FinishReason.TOOL_CALL,
    pb.FINISH_REASON_CANCELLED: FinishReason.CANCELLED,
}


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens counted."""

    prompt_tokens: int
    """Tokens of the prompt as the model saw it, begin token and template included."""
    completion_tokens: int
    """Tokens generated, special tokens and end tokens included."""
    cached_tokens: int
    """Prompt tokens that came from the prefix cache."""
    reasoning_tokens: int = 0
    """Generated tokens of the model's reasoning: a part of completion_tokens."""


@dataclass(frozen=True, slots=True)
class Timings:
    """Where a request's time went, measured in the server."""

    queue: timedelta
    """From admission to the first step."""
    prefill: timedelta
    """From the first step to the end of the prompt."""
    time_to_first_token: timedelta
    """From arrival to the first token."""
    decode: timedelta
    """From the first token to the last."""


@dataclass(frozen=True, slots=True)
class Output:
    """One generated continuation."""

    index: int
    text: str
    token_ids: tuple[int, ...]
    """Every generated token, if return_token_ids was set."""
    finish_reason: FinishReason
    stop_sequence: str
    """The stop string, or the stop token's text, that ended the output."""
    seed: int
    """The seed that was used."""
    logprobs: tuple[pb.TokenLogprobs, ...] = ()
    """One for each token, if logprobs was set."""
    reasoning: str = ""
    """What the model thought before it answered."""
    tool_calls: tuple[pb.ToolCall, ...] = ()
    """The tools that the model calls."""


@dataclass(frozen=True, slots=True)
class Generation:
    """A whole answer."""

    id: str
    """The request's id."""
    model: str
    """Name of the model that answered."""
    outputs: tuple[Output, ...]
    usage: Usage
    timings: Timings
    message: pb.GenerateResponse
    """The message that the server sent."""

    @property
    def text(self) -> str:
        """The text of the first output."""
        return self.outputs[0].text if self.outputs else ""

    @property
    def prompt_logprobs(self) -> tuple[pb.TokenLogprobs, ...]:
        """One for each token of the prompt, if prompt_logprobs was set; the first has rank 0."""
        return tuple(self.message.prompt_logprobs)


@dataclass(frozen=True, slots=True)
class Delta:
    """More text of one output. No delta splits a character."""

    index: int
    text: str
    token_ids: tuple[int, ...]
    """The tokens since the last delta, if return_token_ids was set."""
    logprobs: tuple[pb.TokenLogprobs, ...] = ()
    """One for each token since the last delta, if logprobs was set."""
    reasoning: str = ""
    """More of what the model thinks before it answers."""
    tool_calls: tuple[pb.ToolCallDelta, ...] = ()
    """More of the calls of tools: fragments, which concatenate."""


@dataclass(frozen=True, slots=True)
class Finished:
    """Why one output of a stream ended."""

    index: int
    finish_reason: FinishReason
    stop_sequence: str
    seed: int


def reason_of(value: pb.FinishReason) -> FinishReason:
    return _REASONS.get(value, FinishReason.UNKNOWN)


def usage_of(usage: pb.Usage) -> Usage:
    return Usage(usage.prompt_tokens, usage.completion_tokens, usage.cached_tokens, usage.reasoning_tokens)


def timings_of(timings: pb.Timings) -> Timings:
    return Timings(
        queue=timings.queue.ToTimedelta(),
        prefill=timings.prefill.ToTimedelta(),
        time_to_first_token=timings.time_to_first_token.ToTimedelta(),
        decode=timings.decode.ToTimedelta(),
    )


def generation_of(response: pb.GenerateResponse) -> Generation:
    outputs = tuple(
        Output(
            o.index,
            o.text,
            tuple(o.token_ids),
            reason_of(o.finish_reason),
            o.stop_sequence,
            o.seed,
            tuple(o.logprobs),
            o.reasoning,
            tuple(o.tool_calls),
        )
        for o in response.outputs
    )
    return Generation(
        response.id, response.model, outputs, usage_of(response.usage), timings_of(response.timings), response
    )


def delta_of(delta: pb.Delta) -> Delta:
    return Delta(
        delta.index,
        delta.text,
        tuple(delta.token_ids),
        tuple(delta.logprobs),
        delta.reasoning,
        tuple(delta.tool_calls),
    )


def finished_of(finished: pb.Finished) -> Finished:
    return Finished(finished.index, reason_of(finished.finish_reason), finished.stop_sequence, finished.seed)
