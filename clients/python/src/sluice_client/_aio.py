"""The client for asyncio."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from types import TracebackType
from typing import Any, Unpack

import grpc

from sluice_client._connection import TLS, connection, trace_context
from sluice_client._errors import deadline_of, from_rpc, make_error
from sluice_client._messages import count_request, embed_request, explain_request, generate_request, score_request
from sluice_client._request import Message, Options
from sluice_client._results import Delta, Generation, generation_of
from sluice_client._stream import Progress
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


class AsyncClient:
    """Calls one Sluice server from an event loop: Client with `await`, `async with` and `async for`.

    Methods and arguments are those of Client. Cancelling the task that waits for a call, by itself, a task group or
    asyncio.timeout, stops the work in the server.
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
        """Makes a client without connecting: the first call does. The arguments are those of Client.

        A client belongs to the event loop that runs where it is made: RuntimeError if none does.
        """
        asyncio.get_running_loop()
        how = connection(addr, tls, tls_cert, tls_key, api_key, clear_text_api_key, channel_options)
        if how.credentials is None:
            channel = grpc.aio.insecure_channel(addr, options=how.options)
        else:
            channel = grpc.aio.secure_channel(addr, how.credentials, options=how.options)
        self._channel = channel
        self._metadata = how.metadata
        self._inference = InferenceServiceStub(channel)
        self._models = ModelServiceStub(channel)
        self._tokenizer = TokenizerServiceStub(channel)

    @property
    def channel(self) -> grpc.aio.Channel:
        """The connection, for the generated stubs and for services that AsyncClient has no method for."""
        return self._channel

    async def close(self) -> None:
        """Closes the connection; calls that run raise Cancelled."""
        await self._channel.close()

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def generate(
        self,
        prompt: str | None = None,
        *,
        messages: Sequence[Message] | None = None,
        tokens: Iterable[int] | None = None,
        request: GenerateRequest | None = None,
        timeout: float | None = None,
        **options: Unpack[Options],
    ) -> Generation:
        """Runs a request to its end and returns the whole answer: see Client.generate."""
        message = generate_request(prompt, messages, tokens, request, options)
        return generation_of(await self._call(self._inference.Generate, message, timeout))

    def stream(
        self,
        prompt: str | None = None,
        *,
        messages: Sequence[Message] | None = None,
        tokens: Iterable[int] | None = None,
        request: GenerateRequest | None = None,
        timeout: float | None = None,
        **options: Unpack[Options],
    ) -> AsyncStream:
        """Starts a request and returns its deltas as they come; the arguments are those of generate. Not a coroutine:
        the first `async for` step waits, and raises if the request is refused."""
        message = generate_request(prompt, messages, tokens, request, options)
        deadline = deadline_of(timeout)
        call = self._inference.GenerateStream(message, timeout=timeout, metadata=self._metadata + trace_context())
        return AsyncStream(call, deadline)

    async def score(
        self,
        prompt: str | None = None,
        continuations: Sequence[str] = (),
        *,
        messages: Sequence[Message] | None = None,
        model: str = "",
        logprobs: int | None = None,
        timeout: float | None = None,
    ) -> list[ContinuationScore]:
        """Computes how likely each continuation is: see Client.score."""
        message = score_request(prompt, continuations, messages, model, logprobs)
        return list((await self._call(self._inference.Score, message, timeout)).scores)

    async def explain(
        self,
        prompt: str | None = None,
        *,
        answer: str,
        messages: Sequence[Message] | None = None,
        model: str = "",
        unit: ExplainUnit = EXPLAIN_UNIT_UNSPECIFIED,
        timeout: float | None = None,
    ) -> ExplainResponse:
        """Computes how much each segment of the input moves the probability of an answer: see Client.explain."""
        message = explain_request(prompt, answer, messages, model, unit)
        explanation: ExplainResponse = await self._call(self._inference.Explain, message, timeout)
        return explanation

    async def embed(
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
        """Computes a vector for each input: see Client.embed."""
        message = embed_request(inputs, model, pooling, normalize, dimensions, parse_special)
        answer: EmbedResponse = await self._call(self._inference.Embed, message, timeout)
        return [list(e.values) for e in answer.embeddings]

    async def models(self, *, timeout: float | None = None) -> list[Model]:
        """Lists the served models, the default one first."""
        return list((await self._call(self._models.ListModels, ListModelsRequest(), timeout)).models)

    async def model(self, name: str = "", *, timeout: float | None = None) -> Model:
        """Describes the served model of a name or alias; "" is the default model."""
        model: Model = (await self._call(self._models.GetModel, GetModelRequest(name=name), timeout)).model
        return model

    async def tokenize(
        self,
        text: str,
        *,
        model: str = "",
        add_special_tokens: bool | None = None,
        parse_special: bool | None = None,
        timeout: float | None = None,
    ) -> list[Token]:
        """Turns text into tokens: see Client.tokenize."""
        message = TokenizeRequest(
            model=model, text=text, add_special_tokens=add_special_tokens, parse_special=parse_special
        )
        return list((await self._call(self._tokenizer.Tokenize, message, timeout)).tokens)

    async def detokenize(
        self,
        ids: Iterable[int],
        *,
        model: str = "",
        skip_special_tokens: bool | None = None,
        timeout: float | None = None,
    ) -> str:
        """Turns token ids into text; skip_special_tokens defaults to True."""
        message = DetokenizeRequest(model=model, ids=ids, skip_special_tokens=skip_special_tokens)
        text: str = (await self._call(self._tokenizer.Detokenize, message, timeout)).text
        return text

    async def count_tokens(
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
        count: int = (await self._call(self._tokenizer.CountTokens, message, timeout)).count
        return count

    async def _call(self, method: Any, message: Any, timeout: float | None) -> Any:
        deadline = deadline_of(timeout)
        try:
            return await method(message, timeout=timeout, metadata=self._metadata + trace_context())
        except grpc.RpcError as error:
            raise from_rpc(error, deadline) from error
        except asyncio.CancelledError:
            if _task_is_cancelled():
                raise
            raise _cancelled() from None


class AsyncStream(Progress, AsyncIterator[Delta]):
    """Iterates over the deltas of a running request, once. Use it in an `async with` block: leaving the block early
    cancels the request in the server, which leaving an `async for` alone does only when the stream is garbage.

    One task may iterate; `cancel` and `close` may be called from others of the same event loop.
    """

    def __init__(self, call: Any, deadline: float | None = None) -> None:
        super().__init__(call, deadline)
        self._events = aiter(call)

    def __aiter__(self) -> AsyncStream:
        return self

    async def __anext__(self) -> Delta:
        """Waits for the next delta. Raises a SluiceError if the request fails, Cancelled after `cancel`; where the
        task itself is cancelled, asyncio.CancelledError as everywhere."""
        while not (self._done or self._closed):
            try:
                event = await anext(self._events)
            except StopAsyncIteration:
                self._done = True
                self._check_end()
                break
            except grpc.RpcError as error:
                self._done = True
                if self._closed:
                    break
                raise from_rpc(error, self._deadline) from error
            except asyncio.CancelledError:
                self._done = True
                if _task_is_cancelled():
                    raise
                if self._closed:
                    break
                raise _cancelled() from None
            if (delta := self._note(event)) is not None:
                return delta
        raise StopAsyncIteration

    async def read(self) -> str:
        """Reads the stream to its end and returns the joined text of the first output."""
        return "".join([delta.text async for delta in self if delta.index == 0])

    async def __aenter__(self) -> AsyncStream:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def _task_is_cancelled() -> bool:
    """Tells a cancelled task from a cancelled call: gRPC raises asyncio.CancelledError for both."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _cancelled() -> Exception:
    return make_error(grpc.StatusCode.CANCELLED, "the call was cancelled")
