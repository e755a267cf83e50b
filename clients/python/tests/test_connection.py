"""What a channel is made with: tries, keep-alive, trace context."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from opentelemetry import context, trace

from conftest import Scripted
from sluice_client import AsyncClient, Client, Unavailable
from sluice_client._connection import connection
from sluice_client.v1 import inference_pb2 as pb

SOURCES = Path(__file__).resolve().parents[1] / "src"
ANSWER = pb.GenerateResponse(outputs=[pb.Output(text="ok")], usage=pb.Usage(completion_tokens=1))
SUMMARY = pb.GenerateStreamResponse(summary=pb.Summary(usage=pb.Usage(completion_tokens=1)))


class Refusing:
    """Refuses so many calls as UNAVAILABLE, then answers."""

    def __init__(self, scripted: Scripted, refusals: int, *, begun: bool = False) -> None:
        self.calls = 0
        self.refusals = refusals
        self.begun = begun
        scripted.generate = self.generate
        scripted.stream = self.stream

    def refuse(self, rpc: grpc.ServicerContext) -> None:
        self.calls += 1
        if self.calls <= self.refusals:
            rpc.abort(grpc.StatusCode.UNAVAILABLE, "drains")

    def generate(self, request: pb.GenerateRequest, rpc: grpc.ServicerContext) -> pb.GenerateResponse:
        self.refuse(rpc)
        return ANSWER

    def stream(self, request: pb.GenerateRequest, rpc: grpc.ServicerContext) -> Iterator[pb.GenerateStreamResponse]:
        if self.begun:
            yield pb.GenerateStreamResponse(delta=pb.Delta(text="half"))
        self.refuse(rpc)
        yield pb.GenerateStreamResponse(delta=pb.Delta(text="ok"))
        yield SUMMARY


def test_what_is_unavailable_is_tried_again(scripted: Scripted, fake: Client) -> None:
    server = Refusing(scripted, 2)
    assert fake.generate("x").text == "ok"
    assert server.calls == 3
    server.calls = 0
    assert fake.stream("x").read() == "ok"
    assert server.calls == 3


def test_large_requests_are_tried_again(scripted: Scripted, fake: Client) -> None:
    prompt = "x" * ((16 << 20) - 1000)  # nearly what the server takes; gRPC's own limit is 256 KiB
    server = Refusing(scripted, 1)
    assert fake.generate(prompt).text == "ok"
    assert server.calls == 2
    server.calls = 0
    assert fake.stream(prompt).read() == "ok"
    assert server.calls == 2


def test_asyncio_tries_again(scripted: Scripted, scripted_addr: str) -> None:
    server = Refusing(scripted, 2)

    async def main() -> None:
        async with AsyncClient(scripted_addr) as client:
            assert (await client.generate("x")).text == "ok"

    asyncio.run(main())
    assert server.calls == 3


def test_four_tries(scripted: Scripted, fake: Client) -> None:
    server = Refusing(scripted, 10)
    with pytest.raises(Unavailable):
        fake.generate("x")
    assert server.calls == 4


def test_no_tries_if_the_caller_says_so(scripted: Scripted, scripted_addr: str) -> None:
    server = Refusing(scripted, 10)
    with Client(scripted_addr, channel_options={"grpc.enable_retries": 0}) as client, pytest.raises(Unavailable):
        client.generate("x")
    assert server.calls == 1


def test_what_has_begun_is_not_tried_again(scripted: Scripted, fake: Client) -> None:
    server = Refusing(scripted, 10, begun=True)
    texts = []
    with pytest.raises(Unavailable):
        for delta in fake.stream("x"):
            texts.append(delta.text)
    assert (texts, server.calls) == (["half"], 1)


def test_channel_options_of_the_caller_win() -> None:
    def options(**more: int) -> dict[str, object]:
        return dict(connection("localhost:1", False, None, None, None, False, more or None).options)

    assert options()["grpc.keepalive_time_ms"] == 30_000
    assert options(**{"grpc.keepalive_time_ms": 60_000})["grpc.keepalive_time_ms"] == 60_000
    retried = json.loads(str(options()["grpc.service_config"]))["methodConfig"][0]["name"]
    assert {"service": "sluice.v1.ModelService", "method": "LoadModel"} not in retried


@pytest.mark.parametrize("propagators", ["b3", "tracecontext,nothing-of-that-name"])
def test_a_propagator_that_is_not_installed(propagators: str, scripted: Scripted, scripted_addr: str) -> None:
    scripted.generate = lambda request, rpc: ANSWER
    program = f"from sluice_client import Client\nprint(Client({scripted_addr!r}).generate('x').text)"
    environ = os.environ | {"OTEL_PROPAGATORS": propagators, "PYTHONPATH": str(SOURCES)}
    ran = subprocess.run([sys.executable, "-c", program], env=environ, capture_output=True, text=True)
    assert (ran.returncode, ran.stdout) == (0, "ok\n"), ran.stderr
    assert "RuntimeWarning: calls continue no trace" in ran.stderr and propagators.split(",")[-1] in ran.stderr


def test_the_active_trace_goes_on(scripted: Scripted, fake: Client, scripted_addr: str) -> None:
    seen: list[str] = []

    def generate(request: pb.GenerateRequest, rpc: grpc.ServicerContext) -> pb.GenerateResponse:
        seen.extend(str(value) for key, value in rpc.invocation_metadata() if key == "traceparent")
        return ANSWER

    scripted.generate = generate
    fake.generate("x")
    assert seen == []

    span = trace.NonRecordingSpan(
        trace.SpanContext(0x0AF7651916CD43DD8448EB211C80319C, 0xB7AD6B7169203331, False, trace.TraceFlags(1))
    )
    token = context.attach(trace.set_span_in_context(span))
    try:
        fake.generate("x")

        async def main() -> None:
            async with AsyncClient(scripted_addr) as client:
                await client.generate("x")

        asyncio.run(main())
    finally:
        context.detach(token)
    assert seen == ["00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"] * 2
