"""What the cases of clients/conformance expect, as its README says."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, replace
from typing import Any

from sluice_client import AsyncStream, Delta, Generation, Output, SluiceError, Stream, Usage
from sluice_client.v1 import inference_pb2 as pb
from sluice_client.v1.tokenizer_pb2 import Token

FIELDS = set(
    "name about call request before server key tls promptRepeat parallel occupy cancelAfter leaveAfter "
    "stallAfter deadlineMs retry expect".split()
)
"""What a case may have."""
EXPECTATIONS = set(
    "code started fields reason resource retryAfter text textPrefix textIn jsonKeys id finishReasons stopSequence toolCalls seeds "
    "promptTokens completionTokens minDeltas tokenIds logprobs promptLogprobs idle best tokens ids vectorSizes "
    "answerTokens segments".split()
)
"""What `expect` may have."""


@dataclass
class Answer:
    """A unary answer or a stream's, in one form."""

    id: str
    model: str
    outputs: list[Output]
    usage: Usage | None
    prompt_logprobs: list[pb.TokenLogprobs]
    deltas: list[Delta] | None = None
    """None: it was not streamed."""

    @staticmethod
    def of(whole: Generation) -> Answer:
        return Answer(whole.id, whole.model, list(whole.outputs), whole.usage, list(whole.prompt_logprobs))

    @staticmethod
    def of_stream(stream: Stream | AsyncStream, deltas: list[Delta]) -> Answer:
        outputs = []
        for end in sorted(stream.finished, key=lambda f: f.index):
            mine = [d for d in deltas if d.index == end.index]
            outputs.append(
                Output(
                    end.index,
                    "".join(d.text for d in mine),
                    tuple(i for d in mine for i in d.token_ids),
                    end.finish_reason,
                    end.stop_sequence,
                    end.seed,
                    tuple(p for d in mine for p in d.logprobs),
                    "".join(d.reasoning for d in mine),
                    join_calls(mine),
                )
            )
        return Answer(stream.id, stream.model, outputs, stream.usage, stream.prompt_logprobs, deltas)


def join_calls(deltas: list[Delta]) -> tuple[pb.ToolCall, ...]:
    """Joins the fragments of tool calls."""
    calls: list[pb.ToolCall] = []
    for fragment in (f for d in deltas for f in d.tool_calls):
        if fragment.retracted:
            del calls[fragment.index]
        elif fragment.index == len(calls):
            calls.append(pb.ToolCall(id=fragment.id, name=fragment.name, arguments=fragment.arguments))
        else:
            calls[fragment.index].arguments += fragment.arguments
    return tuple(calls)


def check_answer(expect: dict[str, Any], answer: Answer) -> None:
    """Checks what a case expects of an answer that succeeded."""
    assert answer.id and answer.model and answer.usage is not None and answer.outputs
    first = answer.outputs[0]
    actual: dict[str, Any] = {
        "id": answer.id,
        "text": first.text,
        "finishReasons": ["FINISH_REASON_" + o.finish_reason.upper() for o in answer.outputs],
        "stopSequence": first.stop_sequence,
        "seeds": [str(o.seed) for o in answer.outputs],
        "promptTokens": answer.usage.prompt_tokens,
        "completionTokens": answer.usage.completion_tokens,
    }
    for name in actual.keys() & expect.keys():
        assert actual[name] == expect[name], name
    assert first.text.startswith(expect.get("textPrefix", ""))
    assert first.text in expect.get("textIn", [first.text])
    if "jsonKeys" in expect:
        assert sorted(json.loads(first.text)) == sorted(expect["jsonKeys"])
    if "toolCalls" in expect:
        assert all(call.id for call in first.tool_calls)
        calls = [{"name": call.name, "arguments": json.loads(call.arguments)} for call in first.tool_calls]
        assert calls == expect["toolCalls"]
    if expect.get("tokenIds"):
        assert sum(len(o.token_ids) for o in answer.outputs) == answer.usage.completion_tokens
    if "logprobs" in expect:
        assert sum(len(o.logprobs) for o in answer.outputs) == answer.usage.completion_tokens
        for output in answer.outputs:
            check_logprobs(output.logprobs, expect["logprobs"])
    if expect.get("promptLogprobs"):
        assert len(answer.prompt_logprobs) == answer.usage.prompt_tokens
    if answer.deltas is not None:
        assert len([d for d in answer.deltas if d.text]) >= expect.get("minDeltas", 0)
        assert "�" in first.text or not any("�" in d.text for d in answer.deltas)


def check_same(whole: Answer, streamed: Answer) -> None:
    """Checks that a stream has told what the unary call told."""
    assert streamed.deltas is not None and whole.usage is not None and streamed.usage is not None
    # Seeds that the request does not name and ids of calls are drawn anew.
    assert [replace(o, seed=0, tool_calls=()) for o in streamed.outputs] == [
        replace(o, seed=0, tool_calls=()) for o in whole.outputs
    ]
    for a, b in zip(streamed.outputs, whole.outputs, strict=True):
        assert [(c.name, c.arguments) for c in a.tool_calls] == [(c.name, c.arguments) for c in b.tool_calls]
    assert streamed.prompt_logprobs == whole.prompt_logprobs
    assert replace(streamed.usage, cached_tokens=0) == replace(whole.usage, cached_tokens=0)


def check_logprobs(entries: Any, top: int) -> None:
    for entry in entries:
        assert entry.chosen.logprob <= 0 and entry.chosen.rank >= 1
        assert [t.rank for t in entry.top] == list(range(1, top + 1))


def check_scores(expect: dict[str, Any], scores: list[pb.ContinuationScore]) -> None:
    assert [s.tokens for s in scores] == expect["tokens"]
    assert max(scores, key=lambda s: s.log_likelihood) is scores[expect["best"]]
    if "logprobs" in expect:
        for score in scores:
            assert len(score.logprobs) == score.tokens
            check_logprobs(score.logprobs, expect["logprobs"])


def check_explanation(expect: dict[str, Any], explanation: pb.ExplainResponse) -> None:
    assert explanation.answer_tokens == expect["answerTokens"]
    assert [[a.start, a.end] for a in explanation.attributions] == expect["segments"]
    assert explanation.log_likelihood < 0


def check_vectors(expect: dict[str, Any], vectors: list[list[float]]) -> None:
    assert [len(v) for v in vectors] == expect["vectorSizes"]
    assert all(abs(math.hypot(*v) - 1) < 1e-4 for v in vectors)


def check_tokens(expect: dict[str, Any], tokens: list[Token]) -> None:
    assert [t.id for t in tokens] == expect["ids"]


def check_error(expect: dict[str, Any], error: SluiceError) -> None:
    assert sorted(v.field for v in error.field_violations) == sorted(expect.get("fields", []))
    assert all(v.description for v in error.field_violations)
    assert error.reason == expect.get("reason", error.reason)
    assert error.resource == expect.get("resource", "")
    if expect.get("retryAfter"):
        assert error.retry_after is not None and error.retry_after.total_seconds() > 0
