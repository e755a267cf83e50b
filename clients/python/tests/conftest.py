"""A scripted server for what the real one does not do on demand, and the real one."""

from __future__ import annotations

import os
import queue
import re
import subprocess
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest

from sluice_client import Client
from sluice_client.v1 import inference_pb2 as pb
from sluice_client.v1.inference_pb2_grpc import InferenceServiceServicer, add_InferenceServiceServicer_to_server

pytest.register_assert_rewrite("conformance")

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
    server = grpc.server(ThreadPoolExecutor(4), options=[("grpc.max_receive_message_length", 16 << 20)])  # as the real one
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
def server_addr() -> Iterator[str]:
    """Address of a real server, `sluice serve` with the cache's model, for the whole session."""
    binary = Path(os.environ.get("SLUICE_BIN") or ROOT / "bin" / "sluice")
    if not binary.exists():
        pytest.fail(f"{binary} is missing: run `make setup`")
    addrs = ["--grpc-addr", "127.0.0.1:0", "--http-addr", "127.0.0.1:0"]
    process = subprocess.Popen(
        [binary, "serve", *addrs, "--drain-delay", "0s", "--log-format", "json"], stderr=subprocess.PIPE, text=True
    )
    log: list[str] = []
    serving: queue.Queue[str | None] = queue.Queue()

    def read() -> None:
        assert process.stderr is not None
        for line in process.stderr:
            log.append(line)
            if found := re.search(r'"grpc_addr":"([^"]+)"', line):
                serving.put(found[1])
        serving.put(None)

    reader = threading.Thread(target=read)
    reader.start()
    try:
        addr = serving.get(timeout=START_TIMEOUT)
        if addr is None:
            pytest.fail(f"the server does not serve (not set up? run `make setup`):\n{''.join(log)}")
        yield addr
        process.terminate()
        assert process.wait(timeout=60) == 0, "".join(log)
    finally:
        process.kill()
        process.wait()
        reader.join()


@pytest.fixture
def client(server_addr: str) -> Iterator[Client]:
    """A client of the real server."""
    with Client(server_addr) as client:
        yield client
