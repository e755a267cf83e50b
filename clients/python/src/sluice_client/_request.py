"""Keyword arguments to GenerateRequest."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NotRequired, TypedDict, Unpack

from sluice_client.v1.inference_pb2 import (
    TOOL_CHOICE_MODE_AUTO,
    TOOL_CHOICE_MODE_NONE,
    TOOL_CHOICE_MODE_REQUIRED,
    Chat,
    GenerateRequest,
    Tokens,
)
from sluice_client.v1.inference_pb2 import Message as ChatMessage
from sluice_client.v1.inference_pb2 import Tool as ChatTool
from sluice_client.v1.inference_pb2 import ToolCall as ChatToolCall


class ToolCall(TypedDict):
    """A call of a tool that an assistant turn made."""

    id: str
    """Identifies the call within the conversation."""
    name: str
    """Name of the function."""
    arguments: str
    """Its arguments, as JSON text."""


class Tool(TypedDict):
    """A function that the model may call."""

    name: str
    """Letters, digits, "_", "-" and "."."""
    description: NotRequired[str]
    """What it does, for the model to read."""
    parameters: NotRequired[Mapping[str, Any] | str]
    """JSON Schema of its parameters, as an object or as text."""


class Message(TypedDict):
    """One turn of a conversation."""

    role: str
    """Who speaks: "system", "user", "assistant", "tool"."""
    content: str | None
    """What is said. Special tokens in it stay text. None is as "", for a turn that only calls tools."""
    name: NotRequired[str | None]
    """Name of the speaker, where the template uses one."""
    tool_calls: NotRequired[Iterable[ToolCall] | None]
    """Calls that an assistant turn made."""
    tool_call_id: NotRequired[str | None]
    """The call that a tool turn answers."""


class Options(TypedDict, total=False):
    """What a request may say besides its input. What is left out, or None, takes the model's default, and where the
    model has none the server's."""

    model: str | None
    """Name of the served model; default the server's first."""
    truncate_prompt_tokens: int | None
    """Keep only the last so many tokens of the prompt."""
    max_tokens: int | None
    """Most tokens to generate."""
    min_tokens: int | None
    """Fewest tokens before the end token, a stop id or a stop string may end the output."""
    temperature: float | None
    """0 takes the most likely token each time."""
    top_k: int | None
    """Keep the k most likely tokens; 0 keeps all."""
    top_p: float | None
    """Keep the most likely tokens whose probabilities sum to p."""
    min_p: float | None
    """Drop tokens less likely than min_p times the most likely one."""
    typical_p: float | None
    """Keep the tokens nearest to the expected information whose probabilities sum to typical_p."""
    repetition_penalty: float | None
    """Divides positive and multiplies negative logits of tokens seen in prompt or output."""
    presence_penalty: float | None
    """Subtracted from the logits of tokens seen in the output."""
    frequency_penalty: float | None
    """Subtracted once per occurrence from the logits of tokens seen in the output."""
    no_repeat_ngram_size: int | None
    """Never repeat a run of so many tokens."""
    logit_bias: Mapping[int, float] | None
    """Added to the logits of token ids, each -100 to 100."""
    allowed_token_ids: Iterable[int] | None
    """Only these token ids may be drawn."""
    bad_words: Iterable[str] | None
    """Texts that must not appear."""
    seed: int | None
    """The same seed and request give the same tokens. Default: drawn by the server and returned."""
    n: int | None
    """Number of outputs; output i uses seed + i."""
    ignore_eos: bool | None
    """Go on after the end token."""
    stop: str | Iterable[str] | None
    """Text, or texts, that end the output where they appear."""
    stop_token_ids: Iterable[int] | None
    """Token ids that end the output."""
    include_stop_in_output: bool | None
    """Keep the text that ended the output at its end."""
    return_token_ids: bool | None
    """List every generated token's id."""
    logprobs: int | None
    """Report so many of the most likely tokens of each step with their log-probabilities; 0: the chosen one's alone."""
    prompt_logprobs: int | None
    """The same for each token of the prompt."""
    echo: bool | None
    """Begin the text with the prompt's."""
    skip_special_tokens: bool | None
    """Leave special tokens out of the text; default True."""
    parse_special: bool | None
    """Recognise special tokens written in a prompt; default True."""
    tools: Iterable[Tool] | None
    """Functions that the model may call; for messages."""
    tool_choice: str | None
    """"auto" (the default), "none", "required", or the name of the one tool to call."""
    json_schema: Mapping[str, Any] | str | None
    """The text conforms to this JSON Schema, an object or text. At most one of json_schema, regex, grammar and choices."""
    regex: str | None
    """The whole text matches this expression, of RE2's syntax."""
    grammar: str | None
    """The text is of this context-free grammar, in GBNF or in Lark's notation."""
    choices: Iterable[str] | None
    """The text is one of these."""
    priority: int | None
    """Scheduling priority, -100 to 100; default 0."""
    request_id: str | None
    """The caller's name for this request: printable ASCII."""


_SAMPLING: Final = (
    "max_tokens",
    "min_tokens",
    "temperature",
    "top_k",
    "top_p",
    "min_p",
    "typical_p",
    "repetition_penalty",
    "presence_penalty",
    "frequency_penalty",
    "no_repeat_ngram_size",
    "seed",
    "n",
    "ignore_eos",
)
_TOP: Final = ("model", "parse_special", "priority", "request_id", "truncate_prompt_tokens")
_CONSTRAINTS: Final = ("json_schema", "regex", "grammar", "choices")
_MODES: Final = {
    "auto": TOOL_CHOICE_MODE_AUTO,
    "none": TOOL_CHOICE_MODE_NONE,
    "required": TOOL_CHOICE_MODE_REQUIRED,
}
_OUTPUT: Final = ("logprobs", "prompt_logprobs", "echo", "skip_special_tokens")


def build_request(
    prompt: str | None = None,
    *,
    messages: Sequence[Message] | None = None,
    tokens: Iterable[int] | None = None,
    **options: Unpack[Options],
) -> GenerateRequest:
    """Makes the request that Client.generate and Client.stream send, for those who want to set more fields of it.

    Exactly one of prompt (a text), messages (a conversation) and tokens (ids, taken as they are) must be given.
    Raises TypeError for an unknown argument, an unknown key of a message or a value of the wrong type, KeyError for a
    message without role or content, ValueError for a number that its field cannot hold. Everything else is for the server to judge.
    """
    if sum(given is not None for given in (prompt, messages, tokens)) != 1:
        raise TypeError("give exactly one of prompt, messages and tokens")
    request = GenerateRequest()
    if prompt is not None:
        request.prompt = prompt
    elif messages is not None:
        request.chat.CopyFrom(Chat(messages=[_turn(m) for m in messages]))
    elif tokens is not None:
        request.tokens.CopyFrom(Tokens(ids=tokens))
    given = {name: value for name, value in options.items() if value is not None}
    _put_tools(request, given)
    _put_constraint(request, given)
    _apply(request, given)
    return request


def _turn(message: Message) -> ChatMessage:
    given = {key: value for key, value in message.items() if value is not None}
    calls: Any = given.pop("tool_calls", ())
    _refuse_unknown("keys of a message", given, ChatMessage)
    for call in calls:
        _refuse_unknown("keys of a tool call", call, ChatToolCall)
    turn = ChatMessage(role=message["role"], content=message["content"], tool_calls=[ChatToolCall(**call) for call in calls])
    for key, value in given.items():
        setattr(turn, key, value)
    return turn


def _put_tools(request: GenerateRequest, options: dict[str, Any]) -> None:
    tools, choice = options.pop("tools", ()), options.pop("tool_choice", None)
    if (tools or choice) and not request.HasField("chat"):
        raise TypeError("tools need messages")
    for tool in tools:
        _refuse_unknown("keys of a tool", tool, ChatTool)
        request.chat.tools.add(
            name=tool["name"], description=tool.get("description", ""), parameters=_json(tool.get("parameters", ""))
        )
    if choice in _MODES:
        request.chat.tool_choice.mode = _MODES[choice]
    elif choice is not None:
        request.chat.tool_choice.name = choice


def _put_constraint(request: GenerateRequest, options: dict[str, Any]) -> None:
    given = {name: options.pop(name) for name in _CONSTRAINTS if name in options}
    if len(given) > 1:
        raise TypeError(f"give at most one of {', '.join(given)}")
    for name, value in given.items():
        if name == "choices":
            request.constraint.choice.choices.extend(value)
        else:
            setattr(request.constraint, name, _json(value))


def _json(value: Mapping[str, Any] | str) -> str:
    """JSON text of an object; text is taken as it is."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _refuse_unknown(what: str, given: Iterable[str], kind: type[ChatMessage | ChatToolCall | ChatTool]) -> None:
    if unknown := set(given) - set(kind.DESCRIPTOR.fields_by_name):
        raise TypeError(f"unknown {what}: {', '.join(sorted(unknown))}")


def _apply(request: GenerateRequest, options: dict[str, Any]) -> None:
    for name in _TOP:
        if name in options:
            setattr(request, name, options.pop(name))
    for name in _SAMPLING:
        if name in options:
            setattr(request.sampling, name, options.pop(name))
    request.sampling.logit_bias.update(options.pop("logit_bias", {}))
    request.sampling.allowed_token_ids.extend(options.pop("allowed_token_ids", ()))
    request.sampling.bad_words.extend(options.pop("bad_words", ()))
    stop = options.pop("stop", ())
    request.stop.strings.extend([stop] if isinstance(stop, str) else stop)
    request.stop.token_ids.extend(options.pop("stop_token_ids", ()))
    request.stop.include_in_output = options.pop("include_stop_in_output", False)
    request.output.token_ids = options.pop("return_token_ids", False)
    for name in _OUTPUT:
        if name in options:
            setattr(request.output, name, options.pop(name))
    if options:
        raise TypeError(f"unknown arguments: {', '.join(sorted(options))}")
