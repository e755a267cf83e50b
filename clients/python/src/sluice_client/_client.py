"""The client."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from types import TracebackType
from typing import Any, Unpack

import grpc

from sluice_client._connection import TLS, connection, trace_context
from sluice_client._errors import deadline_of, from_rpc
from sluice_client._messages import count_request, embed_request, explain_request, generate_request, score_request
from sluice_client._request import Message, Options
from sluice_client._results import Generation, generation_of
from sluice_client._stream import Stream
from sluice_client.v1.inference_pb2 import (
    EXPLAIN_UNIT_UNSPECIFIED,
    POOLING_UNSPECIFIED,
    ContinuationScore,
    EmbedResponse,
    ExplainResponse,
    ExplainUnit,
    GenerateRequest,
    Pooling,
)
from sluice_client.v1.inference_pb2_grpc import InferenceServiceStub
from sluice_client.v1.models_pb2 import GetModelRequest, ListModelsRequest, Model
from sluice_client.v1.models_pb2_grpc import ModelServiceStub
from sluice_client.v1.tokenizer_pb2 import DetokenizeRequest, Token, TokenizeRequest
from sluice_client.v1.tokenizer_pb2_grpc import TokenizerServiceStub


class Client:
    """Calls one Sluice server. Safe for use by several threads; make it after a fork, not before.

    Every method takes a timeout in seconds, None for none; when it passes, the server stops the work and the call
    raises DeadlineExceeded. Failed calls raise a SluiceError.
    """

    def __init__(
        self,
        addr: str = "127.0.0.1:50051",
        *,
        tls: TLS = False,
        tls_cert: str | os.PathLike[str] | None = None,
        tls_key: str | os.PathLike[str] | None = None,
        api_key: str | None = None,
        clear_text_api_key: bool = False,
        channel_options: Mapping[str, Any] | None = None,
    ) -> None:
        """Makes a client without connecting: the first call does.

        addr is "host:port" or any target that gRPC knows, such as "unix:///run/sluice.sock".

        tls: False is plain text; True trusts the authorities that gRPC brings along; a path is a PEM file of the
        authorities to trust; grpc.ssl_channel_credentials(…) is anything else.

        tls_cert and tls_key are PEM files of a certificate to show to a server that asks for one (mutual TLS), with tls
        True or a path.

        api_key is sent with every call as "authorization: Bearer KEY". It needs TLS, a loopback address or a Unix
        socket (ValueError otherwise), unless clear_text_api_key says that something else protects the connection.

        channel_options are gRPC's channel arguments and win over the client's own, which try again what is UNAVAILABLE,
        up to three times before an answer begins ({"grpc.enable_retries": 0} turns that off), and ping connections every
        30 s while calls run ("grpc.keepalive_time_ms").

        Calls continue the active trace where opentelemetry-api is installed.
        """
        how = connection(addr, tls, tls_cert, tls_key, api_key, clear_text_api_key, channel_options)
        if how.credentials is None:
            channel = grpc.insecure_channel(addr, options=how.options)
        else:
            channel = grpc.secure_channel(addr, how.credentials, options=how.options)
        self._channel = channel
        self._metadata = how.metadata
        self._inference = InferenceServiceStub(channel)
        self._models = ModelServiceStub(channel)
        self._tokenizer = TokenizerServiceStub(channel)

    @property
    def channel(self) -> grpc.Channel:
        """The connection, for the generated stubs and for services that Client has no method for."""
        return self._channel

    def close(self) -> None:
        """Closes the connection; calls that run are cancelled."""
        self._channel.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def generate(
        self,
        prompt: str | None = None,
        *,
        messages: Sequence[Message] | None = None,
        tokens: Iterable[int] | None = None,
        request: GenerateRequest | None = None,
        timeout: float | None = None,
        **options: Unpack[Options],
    ) -> Generation:
        """Runs a request to its end and returns the whole answer.

        Exactly one of prompt (a text), messages (a conversation) and tokens (ids) says what to continue; Options
        lists the other arguments. Or give request, a whole message, and nothing else.
        """
        message = generate_request(prompt, messages, tokens, request, options)
        return generation_of(self._call(self._inference.Generate, message, timeout))

    def stream(
        self,
        prompt: str | None = None,
        *,
        messages: Sequence[Message] | None = None,
        tokens: Iterable[int] | None = None,
        request: GenerateRequest | None = None,
        timeout: float | None = None,
        **options: Unpack[Options],
    ) -> Stream:
        """Starts a request and returns its deltas as they come; the arguments are those of generate. A refused
        request raises at the first delta."""
        message = generate_request(prompt, messages, tokens, request, options)
        deadline = deadline_of(timeout)
        call = self._inference.GenerateStream(message, timeout=timeout, metadata=self._metadata + trace_context())
        return Stream(call, deadline)

    def score(
        self,
        prompt: str | None = None,
        continuations: Sequence[str] = (),
        *,
        messages: Sequence[Message] | None = None,
        model: str = "",
        logprobs: int | None = None,
        timeout: float | None = None,
    ) -> list[ContinuationScore]:
        """Computes how likely each continuation is behind a prompt or a conversation, in their order; logprobs reports
        each token's log-probability, and the N most likely ones beside it."""
        message = score_request(prompt, continuations, messages, model, logprobs)
        return list(self._call(self._inference.Score, message, timeout).scores)

    def explain(
        self,
        prompt: str | None = None,
        *,
        answer: str,
        messages: Sequence[Message] | None = None,
        model: str = "",
        unit: ExplainUnit = EXPLAIN_UNIT_UNSPECIFIED,
        timeout: float | None = None,
    ) -> ExplainResponse:
        """Computes how much each segment of a prompt or a conversation moves the probability of an answer."""
        message = explain_request(prompt, answer, messages, model, unit)
        explanation: ExplainResponse = self._call(self._inference.Explain, message, timeout)
        return explanation

    def embed(
        self,
        inputs: str | Sequence[str | Sequence[int]],
        *,
        model: str = "",
        pooling: Pooling = POOLING_UNSPECIFIED,
        normalize: bool | None = None,
        dimensions: int | None = None,
        parse_special: bool = False,
        timeout: float | None = None,
    ) -> list[list[float]]:
        """Computes a vector for each input, a text or token ids, in their order.

        pooling says how the states of an input's tokens become one vector (default: the model's own way), normalize
        whether it is divided by its length (default True), and dimensions how many of its first values are kept.
        """
        message = embed_request(inputs, model, pooling, normalize, dimensions, parse_special)
        answer: EmbedResponse = self._call(self._inference.Embed, message, timeout)
        return [list(e.values) for e in answer.embeddings]

    def models(self, *, timeout: float | None = None) -> list[Model]:
        """Lists the served models, the default one first."""
        return list(self._call(self._models.ListModels, ListModelsRequest(), timeout).models)

    def model(self, name: str = "", *, timeout: float | None = None) -> Model:
        """Describes the served model of a name or alias; "" is the default model."""
        model: Model = self._call(self._models.GetModel, GetModelRequest(name=name), timeout).model
        return model

    def tokenize(
        self,
        text: str,
        *,
        model: str = "",
        add_special_tokens: bool | None = None,
        parse_special: bool | None = None,
        timeout: float | None = None,
    ) -> list[Token]:
        """Turns text into tokens. add_special_tokens (default True) adds begin and end tokens as for a prompt;
        parse_special (default True) recognises special tokens written in the text."""
        message = TokenizeRequest(
            model=model, text=text, add_special_tokens=add_special_tokens, parse_special=parse_special
        )
        return list(self._call(self._tokenizer.Tokenize, message, timeout).tokens)

    def detokenize(
        self,
        ids: Iterable[int],
        *,
        model: str = "",
        skip_special_tokens: bool | None = None,
        timeout: float | None = None,
    ) -> str:
        """Turns token ids into text; skip_special_tokens defaults to True."""
        message = DetokenizeRequest(model=model, ids=ids, skip_special_tokens=skip_special_tokens)
        text: str = self._call(self._tokenizer.Detokenize, message, timeout).text
        return text

    def count_tokens(
        self,
        prompt: str | None = None,
        *,
        messages: Sequence[Message] | None = None,
        model: str = "",
        parse_special: bool | None = None,
        timeout: float | None = None,
    ) -> int:
        """Counts the prompt tokens that generate would report, without running the model."""
        message = count_request(prompt, messages, model, parse_special)
        count: int = self._call(self._tokenizer.CountTokens, message, timeout).count
        return count

    def _call(self, method: Any, message: Any, timeout: float | None) -> Any:
        deadline = deadline_of(timeout)
        try:
            return method(message, timeout=timeout, metadata=self._metadata + trace_context())
        except grpc.RpcError as error:
            raise from_rpc(error, deadline) from error
