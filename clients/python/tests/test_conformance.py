"""The cases of clients/conformance, by both clients: Client, whose calls run in threads here, and AsyncClient."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import time
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.json_format import ParseDict

from conformance import (
    EXPECTATIONS,
    FIELDS,
    Answer,
    check_answer,
    check_error,
    check_explanation,
    check_same,
    check_scores,
    check_tokens,
    check_vectors,
)
from conftest import ROOT
from sluice_client import AsyncClient, AsyncStream, Client, SluiceError, Stream
from sluice_client.v1 import inference_pb2 as pb
from sluice_client.v1.models_pb2 import Model
from sluice_client.v1.tokenizer_pb2 import CountTokensRequest, DetokenizeRequest, Token, TokenizeRequest

CASES: list[dict[str, Any]] = json.loads((ROOT / "clients" / "conformance" / "cases.json").read_text(encoding="utf-8"))
TIMEOUT = 120  # seconds that a case may take; only a call that hangs takes so long
STOP_TIMEOUT = 120  # seconds that the servers may take to stop before they are killed


@pytest.fixture(scope="session")
def servers() -> Iterator[dict[str, Any]]:
    """Where the suite's servers are."""
    command = ["go", "run", "./clients/conformance/servers"]
    pipe = subprocess.PIPE
    # A session of its own is what killing takes: `go run` has the servers for a child.
    with subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe, text=True, start_new_session=True) as process:
        assert process.stdin is not None and process.stdout is not None
        line = process.stdout.readline()
        if not line:
            pytest.fail("the servers do not start")
        yield json.loads(line)
        process.stdin.close()
        try:
            assert process.wait(STOP_TIMEOUT) == 0
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            raise


@pytest.fixture(scope="session")
def passed() -> Iterator[dict[str, list[str]]]:
    """Which cases each client has passed; written to the folder CONFORMANCE_RESULTS for the table."""
    results: dict[str, list[str]] = {"Python": [], "Python asyncio": []}
    yield results
    if folder := os.environ.get("CONFORMANCE_RESULTS"):
        for client, names in results.items():
            file = Path(folder, client.replace(" ", "-").lower() + ".json")
            file.write_text(json.dumps({"client": client, "passed": names}), encoding="utf-8")


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
@pytest.mark.parametrize("name", ["Python", "Python asyncio"])
def test_case(case: dict[str, Any], name: str, servers: dict[str, Any], passed: dict[str, list[str]]) -> None:
    async def main() -> None:
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(case.get("parallel", 1) + 8))
        arguments = client_arguments(case, servers[case.get("server", "default")])
        async with asyncio.timeout(TIMEOUT):
            if name == "Python":
                with Client(**arguments) as client:
                    await run(case, Threads(client))
            else:
                async with AsyncClient(**arguments) as client:
                    await run(case, Tasks(client))

    asyncio.run(main())
    passed[name].append(case["name"])


def client_arguments(case: dict[str, Any], server: dict[str, Any]) -> dict[str, Any]:
    arguments: dict[str, Any] = {"addr": server["addr"]}
    if not case.get("retry", False):
        arguments["channel_options"] = {"grpc.enable_retries": 0}
    if "ca" in server:
        how = case.get("tls", "ca")
        arguments["tls"] = {"ca": server["ca"], "certificate": server["ca"], "system": True, "none": False}[how]
        if how == "certificate":
            arguments |= {"tls_cert": server["cert"], "tls_key": server["certKey"]}
    if "keys" in server and (key := case.get("key", "valid")) != "none":
        arguments["api_key"] = server["keys"][key]
    return arguments


class Threads:
    """The blocking client, seen from an event loop."""

    def __init__(self, client: Client) -> None:
        self.client = client

    async def generate(self, request: pb.GenerateRequest, timeout: float | None) -> Answer:
        return Answer.of(await asyncio.to_thread(self.client.generate, request=request, timeout=timeout))

    def open(self, request: pb.GenerateRequest, timeout: float | None = None) -> Stream:
        return self.client.stream(request=request, timeout=timeout)

    async def stream(self, request: pb.GenerateRequest, timeout: float | None, case: dict[str, Any]) -> Answer:
        def read() -> Answer:
            deltas = []
            with self.open(request, timeout) as stream, begun(case, stream):
                for delta in stream:
                    deltas.append(delta)
                    if len(deltas) == case.get("cancelAfter"):
                        stream.cancel()
                    if len(deltas) == case.get("stallAfter"):
                        while busy(self.client.models()) > 0:
                            time.sleep(0.005)
                    if len(deltas) == case.get("leaveAfter"):
                        break
            return Answer.of_stream(stream, deltas)

        return await asyncio.to_thread(read)

    async def score(self, r: pb.ScoreRequest) -> list[pb.ContinuationScore]:
        return await asyncio.to_thread(self.client.score, r.prompt, list(r.continuations), logprobs=optional(r, "logprobs"))

    async def explain(self, r: pb.ExplainRequest) -> pb.ExplainResponse:
        return await asyncio.to_thread(self.client.explain, r.prompt, answer=r.answer, unit=r.unit)

    async def embed(self, r: pb.EmbedRequest) -> list[list[float]]:
        return await asyncio.to_thread(self.client.embed, inputs_of(r), dimensions=r.dimensions or None)

    async def tokenize(self, r: TokenizeRequest) -> list[Token]:
        return await asyncio.to_thread(self.client.tokenize, r.text)

    async def detokenize(self, r: DetokenizeRequest) -> str:
        return await asyncio.to_thread(self.client.detokenize, r.ids)

    async def count_tokens(self, r: CountTokensRequest) -> int:
        return await asyncio.to_thread(self.client.count_tokens, r.prompt)

    async def models(self) -> list[Model]:
        return await asyncio.to_thread(self.client.models)


class Tasks:
    """The asyncio client."""

    def __init__(self, client: AsyncClient) -> None:
        self.client = client

    async def generate(self, request: pb.GenerateRequest, timeout: float | None) -> Answer:
        return Answer.of(await self.client.generate(request=request, timeout=timeout))

    def open(self, request: pb.GenerateRequest, timeout: float | None = None) -> AsyncStream:
        return self.client.stream(request=request, timeout=timeout)

    async def stream(self, request: pb.GenerateRequest, timeout: float | None, case: dict[str, Any]) -> Answer:
        deltas = []
        async with self.open(request, timeout) as stream:
            with begun(case, stream):
                async for delta in stream:
                    deltas.append(delta)
                    if len(deltas) == case.get("cancelAfter"):
                        stream.cancel()
                    if len(deltas) == case.get("stallAfter"):
                        await until_busy(self, 0)
                    if len(deltas) == case.get("leaveAfter"):
                        break
        return Answer.of_stream(stream, deltas)

    async def score(self, r: pb.ScoreRequest) -> list[pb.ContinuationScore]:
        return await self.client.score(r.prompt, list(r.continuations), logprobs=optional(r, "logprobs"))

    async def explain(self, r: pb.ExplainRequest) -> pb.ExplainResponse:
        return await self.client.explain(r.prompt, answer=r.answer, unit=r.unit)

    async def embed(self, r: pb.EmbedRequest) -> list[list[float]]:
        return await self.client.embed(inputs_of(r), dimensions=r.dimensions or None)

    async def tokenize(self, r: TokenizeRequest) -> list[Token]:
        return await self.client.tokenize(r.text)

    async def detokenize(self, r: DetokenizeRequest) -> str:
        return await self.client.detokenize(r.ids)

    async def count_tokens(self, r: CountTokensRequest) -> int:
        return await self.client.count_tokens(r.prompt)

    async def models(self) -> list[Model]:
        return await self.client.models()


def optional(message: Any, field: str) -> Any:
    return getattr(message, field) if message.HasField(field) else None


def inputs_of(request: pb.EmbedRequest) -> list[str | list[int]]:
    return [list(i.tokens.ids) if i.HasField("tokens") else i.text for i in request.inputs]


@contextmanager
def begun(case: dict[str, Any], stream: Stream | AsyncStream) -> Iterator[None]:
    """Checks of a stream that fails whether it had begun."""
    try:
        yield
    except SluiceError:
        assert (stream.id != "") == case["expect"].get("started", False)
        raise


REQUESTS: dict[str, Any] = {
    "score": pb.ScoreRequest,
    "explain": pb.ExplainRequest,
    "embed": pb.EmbedRequest,
    "tokenize": TokenizeRequest,
    "detokenize": DetokenizeRequest,
    "countTokens": CountTokensRequest,
}
"""What a call is made with, if not with a GenerateRequest."""


def check(case: dict[str, Any], result: Any) -> None:
    """Checks what a call gave that gives no Answer."""
    expect = case["expect"]
    match case["call"]:
        case "score":
            check_scores(expect, result)
        case "explain":
            check_explanation(expect, result)
        case "embed":
            check_vectors(expect, result)
        case "tokenize":
            check_tokens(expect, result)
        case "detokenize":
            assert result == expect["text"]
        case "countTokens":
            assert result == expect["promptTokens"]
        case other:
            raise AssertionError(f"unknown call {other}")


async def run(case: dict[str, Any], client: Threads | Tasks) -> None:
    """Does what a case says and checks what it expects."""
    # What nobody checks shows nothing.
    assert case.keys() <= FIELDS and case["expect"].keys() <= EXPECTATIONS
    request: Any = ParseDict(case["request"], REQUESTS.get(case["call"], pb.GenerateRequest)())
    if "promptRepeat" in case:
        request.prompt *= case["promptRepeat"]
    timeout = case["deadlineMs"] / 1000 if "deadlineMs" in case else None
    calls: dict[str, Callable[[], Awaitable[Any]]] = {
        "generate": lambda: client.generate(request, timeout),
        "stream": lambda: client.stream(request, timeout, case),
        "score": lambda: client.score(request),
        "explain": lambda: client.explain(request),
        "embed": lambda: client.embed(request),
        "tokenize": lambda: client.tokenize(request),
        "detokenize": lambda: client.detokenize(request),
        "countTokens": lambda: client.count_tokens(request),
    }
    if "before" in case:
        await client.generate(ParseDict(case["before"], pb.GenerateRequest()), None)
    held = []
    for i in range(case.get("occupy", 0)):
        held.append(client.open(request))
        await until_busy(client, i + 1)
    try:
        results = [await attempt(case, calls[c]) for c in (["generate", "stream"] if case["call"] == "both" else [case["call"]])]
    finally:
        for stream in held:
            stream.close()
    expect = case["expect"]
    if len(results) == 2 and "code" not in expect:
        check_same(*results)
    if expect.get("idle"):
        await until_busy(client, 0)


async def attempt(case: dict[str, Any], call: Callable[[], Awaitable[Any]]) -> Any:
    """Makes a case's call, as often in parallel as it says, and returns the first one's result."""
    expect = case["expect"]
    if code := expect.get("code"):
        with pytest.raises(SluiceError) as caught:
            await call()
        assert caught.value.code.name == code, caught.value
        check_error(expect, caught.value)
        return None
    results = await asyncio.gather(*(call() for _ in range(case.get("parallel", 1))))
    for result in results:
        if not isinstance(result, Answer):
            check(case, result)
        elif "leaveAfter" in case:
            assert result.usage is None and len(result.deltas) == case["leaveAfter"]
        else:
            check_answer(expect, result)
            assert result.outputs[0].text == results[0].outputs[0].text
    return results[0]


async def until_busy(client: Threads | Tasks, n: int) -> None:
    """Waits until so many requests of the first model run or wait; the case's timeout bounds it."""
    while busy(await client.models()) != n:
        await asyncio.sleep(0.005)


def busy(models: list[Model]) -> int:
    """How many requests of the first model run or wait."""
    return sum(r.running + r.waiting for r in models[0].replicas)
