"""The asyncio client: against a scripted server, and against the real one."""

from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from conftest import Scripted
from sluice_client import (
    AsyncClient,
    Cancelled,
    DeadlineExceeded,
    FinishReason,
    InternalError,
    Message,
    NotFound,
    Unavailable,
)
from sluice_client.v1 import inference_pb2 as pb
from test_client import endless, events
from test_server import PROMPTS, QUESTION


def test_generate_and_stream(scripted: Scripted, scripted_addr: str) -> None:
    scripted.generate = lambda request, context: pb.GenerateResponse(id="r1", outputs=[pb.Output(text=request.prompt)])
    scripted.stream = lambda request, context: iter([pb.GenerateStreamResponse(), *events("Rhine, ", "Rhône")])

    async def main() -> None:
        async with AsyncClient(scripted_addr) as client:
            assert (await client.generate("Bern")).text == "Bern"
            async with client.stream("Two rivers:") as stream:
                assert stream.usage is None
                assert [delta.text async for delta in stream] == ["Rhine, ", "Rhône"]
                assert [delta async for delta in stream] == []
            assert (stream.id, stream.model) == ("r1", "m")
            assert [f.finish_reason for f in stream.finished] == [FinishReason.LENGTH]
            assert stream.usage is not None and stream.usage.completion_tokens == 2
            assert await client.stream("x").read() == "Rhine, Rhône"

    asyncio.run(main())


def test_stream_that_ends_early_is_an_error(scripted: Scripted, scripted_addr: str) -> None:
    scripted.stream = lambda request, context: iter(events("a")[:2])

    async def main() -> None:
        async with AsyncClient(scripted_addr) as client:
            with pytest.raises(InternalError, match="without its summary"):
                await client.stream("x").read()

    asyncio.run(main())


def test_leaving_the_block_cancels(scripted: Scripted, scripted_addr: str) -> None:
    gone = threading.Event()
    scripted.stream = endless(gone)  # type: ignore[assignment]

    async def main() -> None:
        async with AsyncClient(scripted_addr) as client:
            async with client.stream("x") as stream:
                async for delta in stream:
                    assert delta.text == "x"
                    break
            assert await asyncio.to_thread(gone.wait, 10)
            assert [delta async for delta in stream] == []
            stream.close()  # a second time

    asyncio.run(main())


def silent(gone: threading.Event) -> object:
    """A stream that says one word and then nothing until its call is gone."""

    def stream(_: pb.GenerateRequest, context: grpc.ServicerContext) -> Iterator[pb.GenerateStreamResponse]:
        context.add_callback(gone.set)
        yield pb.GenerateStreamResponse(delta=pb.Delta(text="x"))
        gone.wait()

    return stream


def test_cancel_from_another_task(scripted: Scripted, scripted_addr: str) -> None:
    gone = threading.Event()
    scripted.stream = silent(gone)  # type: ignore[assignment]

    async def main() -> None:
        async with AsyncClient(scripted_addr) as client:
            stream = client.stream("x")
            await anext(stream)
            asyncio.get_running_loop().call_later(0.05, stream.cancel)
            with pytest.raises(Cancelled):
                await anext(stream)
            assert await asyncio.to_thread(gone.wait, 10)

    asyncio.run(main())


def test_a_cancelled_task_cancels_its_call(scripted: Scripted, scripted_addr: str) -> None:
    gone = threading.Event()
    scripted.stream = silent(gone)  # type: ignore[assignment]

    async def main() -> None:
        async with AsyncClient(scripted_addr) as client:
            with pytest.raises(TimeoutError) as caught:
                async with asyncio.timeout(0.1), client.stream("x") as stream:
                    await stream.read()
            assert type(caught.value) is TimeoutError  # asyncio's: the task was cancelled, not the call's deadline passed
            assert await asyncio.to_thread(gone.wait, 10)

    asyncio.run(main())


def test_a_cancelled_task_cancels_its_unary_call(scripted: Scripted, scripted_addr: str) -> None:
    came, gone = threading.Event(), threading.Event()

    def generate(_: pb.GenerateRequest, context: grpc.ServicerContext) -> pb.GenerateResponse:
        context.add_callback(gone.set)
        came.set()
        gone.wait()
        return pb.GenerateResponse()

    scripted.generate = generate

    async def main() -> None:
        async with AsyncClient(scripted_addr) as client:
            task = asyncio.create_task(client.generate("x"))
            assert await asyncio.to_thread(came.wait, 10)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert await asyncio.to_thread(gone.wait, 10)

    asyncio.run(main())


def test_closing_the_client_ends_its_calls(scripted: Scripted, scripted_addr: str) -> None:
    gone = threading.Event()
    scripted.stream = silent(gone)  # type: ignore[assignment]

    async def main() -> None:
        client = AsyncClient(scripted_addr)
        stream = client.stream("x")
        await anext(stream)
        reading = asyncio.create_task(stream.read())
        await asyncio.sleep(0.05)
        await client.close()
        with pytest.raises(Cancelled):
            await reading
        assert await asyncio.to_thread(gone.wait, 10)

    asyncio.run(main())


def test_deadline(scripted: Scripted, scripted_addr: str) -> None:
    scripted.stream = endless(threading.Event())  # type: ignore[assignment]

    async def main() -> None:
        async with AsyncClient(scripted_addr) as client:
            with pytest.raises(DeadlineExceeded):
                await client.stream("x", timeout=0.1).read()

    asyncio.run(main())


def test_api_key(scripted: Scripted, scripted_addr: str) -> None:
    scripted.generate = lambda request, context: pb.GenerateResponse(id=dict(context.invocation_metadata())["authorization"])

    async def main() -> None:
        async with AsyncClient(scripted_addr, api_key="secret") as client:
            assert (await client.generate("x")).id == "Bearer secret"
        with pytest.raises(ValueError, match="needs TLS"):
            AsyncClient("sluice.example:50051", api_key="k")

    asyncio.run(main())


def test_nobody_there() -> None:
    async def main() -> None:
        async with AsyncClient("127.0.0.1:1") as client:
            with pytest.raises(Unavailable):
                await client.generate("x")

    asyncio.run(main())


def test_without_a_loop() -> None:
    with pytest.raises(RuntimeError, match="event loop"):
        AsyncClient()


def test_server(server_addr: str) -> None:
    """Every method, against the real server."""
    messages: list[Message] = QUESTION

    async def main() -> None:
        async with AsyncClient(server_addr) as client:
            model, models = await client.model(), await client.models()
            assert model.name == models[0].name
            for prompt in PROMPTS:
                whole = await client.generate(prompt, max_tokens=16, temperature=0)
                assert await client.stream(prompt, max_tokens=16, temperature=0).read() == whole.text
            tokens = await client.tokenize(PROMPTS[1], add_special_tokens=False)
            assert await client.detokenize([t.id for t in tokens]) == PROMPTS[1]
            assert await client.count_tokens(messages=messages) > await client.count_tokens("Name three rivers.")
            paris, london = await client.score(PROMPTS[0], [" Paris", " London"])
            assert paris.log_likelihood > london.log_likelihood
            vectors = await client.embed(["One", "Two"])
            assert vectors[0] == (await client.embed("One"))[0] != vectors[1]
            explanation = await client.explain("One. Two", answer=" three")
            assert [(a.start, a.end) for a in explanation.attributions] == [(0, 5), (5, 8)]
            with pytest.raises(NotFound):
                await client.generate("x", model="gpt-9")

    asyncio.run(main())


def test_readme(server_addr: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The README's example for asyncio runs as it is, but for the address."""
    readme = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
    example = re.search(r"```python\n(import asyncio.*?)```", readme, re.DOTALL)
    assert example is not None and "127.0.0.1:50051" in example[1]
    exec(example[1].replace("127.0.0.1:50051", server_addr), {})
    assert re.search(r"\n\d+ tokens\n$", capsys.readouterr().out)
