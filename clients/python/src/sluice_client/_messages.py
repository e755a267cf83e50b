"""The messages that the methods of the clients send, from their arguments."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sluice_client._request import Message, Options, build_request
from sluice_client.v1.inference_pb2 import (
    EmbedInput,
    EmbedRequest,
    ExplainRequest,
    ExplainUnit,
    GenerateRequest,
    Pooling,
    ScoreRequest,
    Tokens,
)
from sluice_client.v1.tokenizer_pb2 import CountTokensRequest


def generate_request(
    prompt: str | None,
    messages: Sequence[Message] | None,
    tokens: Iterable[int] | None,
    request: GenerateRequest | None,
    options: Options,
) -> GenerateRequest:
    if request is None:
        return build_request(prompt, messages=messages, tokens=tokens, **options)
    if prompt is not None or messages is not None or tokens is not None or options:
        raise TypeError("a request holds everything: give nothing beside it")
    return request


def score_request(
    prompt: str | None,
    continuations: Sequence[str],
    messages: Sequence[Message] | None,
    model: str,
    logprobs: int | None,
) -> ScoreRequest:
    message = ScoreRequest(model=model, continuations=continuations, logprobs=logprobs)
    _put_input(message, prompt, messages)
    return message


def explain_request(
    prompt: str | None, answer: str, messages: Sequence[Message] | None, model: str, unit: ExplainUnit
) -> ExplainRequest:
    message = ExplainRequest(model=model, answer=answer, unit=unit)
    _put_input(message, prompt, messages)
    return message


def embed_request(
    inputs: str | Sequence[str | Sequence[int]],
    model: str,
    pooling: Pooling,
    normalize: bool | None,
    dimensions: int | None,
    parse_special: bool,
) -> EmbedRequest:
    if isinstance(inputs, str):
        inputs = [inputs]
    return EmbedRequest(
        model=model,
        inputs=[EmbedInput(text=i) if isinstance(i, str) else EmbedInput(tokens=Tokens(ids=i)) for i in inputs],
        pooling=pooling,
        normalize=normalize,
        dimensions=dimensions,
        parse_special=parse_special,
    )


def count_request(
    prompt: str | None, messages: Sequence[Message] | None, model: str, parse_special: bool | None
) -> CountTokensRequest:
    message = CountTokensRequest(model=model, parse_special=parse_special)
    _put_input(message, prompt, messages)
    return message


def _put_input(
    message: ScoreRequest | ExplainRequest | CountTokensRequest,
    prompt: str | None,
    messages: Sequence[Message] | None,
) -> None:
    """Sets the input of a message that has a prompt or a conversation."""
    built = build_request(prompt, messages=messages)
    if prompt is not None:
        message.prompt = built.prompt
    else:
        message.chat.CopyFrom(built.chat)
