"""A scripted server for what the real one does not do on demand, and the real one."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest

from sluice_client import Client
from sluice_client.v1 import inference_pb2 as pb
from sluice_client.v1.inference_pb2_grpc import InferenceServiceServicer, add_InferenceServiceServicer_to_server

ROOT = Path(__file__).resolve().parents[3]
START_TIMEOUT = 120  # seconds until the model is loaded and warm


class Scripted(InferenceServiceServicer):
    """Calls the functions that a test sets."""

    generate: Callable[[pb.GenerateRequest, grpc.ServicerContext], pb.GenerateResponse]
    stream: Callable[[pb.GenerateRequest, grpc.ServicerContext], Iterator[pb.GenerateStreamResponse]]

    def Generate(self, request: pb.GenerateRequest, context: grpc.ServicerContext) -> pb.GenerateResponse:
        return self.generate(request, context)

    def GenerateStream(
        self, request: pb.GenerateRequest, context: grpc.ServicerContext
    ) -> Iterator[pb.GenerateStreamResponse]:
        yield from self.stream(request, context)


@pytest.fixture
def scripted() -> Scripted:
    return Scripted()


@pytest.fixture
def scripted_addr(scripted: Scripted) -> Iterator[str]:
    server = grpc.server(ThreadPoolExecutor(4))
    add_InferenceServiceServicer_to_server(scripted, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield f"127.0.0.1:{port}"
    server.stop(None).wait()


@pytest.fixture
def fake(scripted_addr: str) -> Iterator[Client]:
    """A client of the scripted server."""
    with Client(scripted_addr) as client:
        yield client


@pytest.fixture(scope="session")
def server_addr(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a real server, `sluice serve` with the cache's model, for the whole session."""
    binary = Path(os.environ.get("SLUICE_BIN") or ROOT / "bin" / "sluice")
    if not binary.exists():
        pytest.fail(f"{binary} is missing: run `make setup`")
    addr, http_addr = f"127.0.0.1:{free_port()}", f"127.0.0.1:{free_port()}"
    log = tmp_path_factory.mktemp("server") / "log.txt"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [binary, "serve", "--grpc-addr", addr, "--http-addr", http_addr], stdout=out, stderr=subprocess.STDOUT
        )
    try:
        try:
            wait_until_serving(addr)
        except grpc.RpcError as error:
            pytest.fail(f"the server does not serve: {error}\n{log.read_text()}\n(not set up? run `make setup`)")
        yield addr
        process.terminate()
        assert process.wait(timeout=60) == 0, log.read_text()
    finally:
        process.kill()
        process.wait()


@pytest.fixture
def client(server_addr: str) -> Iterator[Client]:
    """A client of the real server."""
    with Client(server_addr) as client:
        yield client


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def wait_until_serving(addr: str) -> None:
    """Watches the server's health; its two messages are short enough to do without their generated code."""
    serving = b"\x08\x01"
    with grpc.insecure_channel(addr) as channel:
        watch = channel.unary_stream("/grpc.health.v1.Health/Watch")
        for response in watch(b"", timeout=START_TIMEOUT, wait_for_ready=True):
            if response == serving:
                return
