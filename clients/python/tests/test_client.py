"""The wrapper alone, against a scripted server."""

from __future__ import annotations

import pickle
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import grpc
import pytest
import trustme
from google.protobuf.any_pb2 import Any
from google.protobuf.duration_pb2 import Duration
from google.rpc import error_details_pb2, status_pb2

from conftest import Scripted
from sluice_client import (
    Cancelled,
    Client,
    DeadlineExceeded,
    Delta,
    FieldViolation,
    FinishReason,
    InternalError,
    InvalidArgument,
    NotFound,
    ResourceExhausted,
    SluiceError,
    Tool,
    ToolCall,
    Unavailable,
    build_request,
)
from sluice_client.v1 import inference_pb2 as pb
from sluice_client.v1.inference_pb2_grpc import add_InferenceServiceServicer_to_server


def events(*texts: str) -> list[pb.GenerateStreamResponse]:
    """A whole stream of the texts."""
    return [
        pb.GenerateStreamResponse(started=pb.Started(id="r1", model="m")),
        *(pb.GenerateStreamResponse(delta=pb.Delta(text=text, token_ids=[7])) for text in texts),
        pb.GenerateStreamResponse(finished=pb.Finished(finish_reason=pb.FINISH_REASON_LENGTH, seed=3)),
        pb.GenerateStreamResponse(
            summary=pb.Summary(
                usage=pb.Usage(prompt_tokens=4, completion_tokens=2),
                timings=pb.Timings(decode=Duration(nanos=5_000_000)),
            )
        ),
    ]


def test_generate(scripted: Scripted, fake: Client) -> None:
    seen: list[pb.GenerateRequest] = []

    def generate(request: pb.GenerateRequest, _: grpc.ServicerContext) -> pb.GenerateResponse:
        seen.append(request)
        output = pb.Output(text="Bern", token_ids=[1, 2], finish_reason=pb.FINISH_REASON_STOP_SEQUENCE, stop_sequence=".")
        return pb.GenerateResponse(
            id="r1", model="m", outputs=[output], usage=pb.Usage(completion_tokens=2), timings=pb.Timings(queue=Duration(seconds=1))
        )

    scripted.generate = generate
    answer = fake.generate("The capital is", max_tokens=8, temperature=0, stop=".", model="m")
    assert answer.text == "Bern"
    assert answer.outputs[0].token_ids == (1, 2)
    assert answer.outputs[0].finish_reason is FinishReason.STOP_SEQUENCE
    assert answer.outputs[0].stop_sequence == "."
    assert (answer.id, answer.model, answer.usage.completion_tokens) == ("r1", "m", 2)
    assert answer.timings.queue == timedelta(seconds=1)
    assert seen == [build_request("The capital is", max_tokens=8, temperature=0, stop=".", model="m")]


def test_finish_reason_of_a_newer_server(scripted: Scripted, fake: Client) -> None:
    response = pb.GenerateResponse(outputs=[pb.Output()])
    response.outputs[0].MergeFromString(b"\x28\x63")  # finish_reason = 99
    scripted.generate = lambda request, context: response
    assert fake.generate("x").outputs[0].finish_reason is FinishReason.UNKNOWN


def test_stream(scripted: Scripted, fake: Client) -> None:
    scripted.stream = lambda request, context: iter(events("Rhine, ", "Rhône"))
    with fake.stream("Two rivers:") as stream:
        assert stream.usage is None
        assert list(stream) == [Delta(0, "Rhine, ", (7,)), Delta(0, "Rhône", (7,))]
    assert (stream.id, stream.model) == ("r1", "m")
    assert [f.finish_reason for f in stream.finished] == [FinishReason.LENGTH]
    assert stream.usage is not None and stream.usage.completion_tokens == 2
    assert stream.timings is not None and stream.timings.decode == timedelta(milliseconds=5)
    assert list(stream) == []


def test_stream_read(scripted: Scripted, fake: Client) -> None:
    scripted.stream = lambda request, context: iter(events("Rhine, ", "Rhône"))
    assert fake.stream("x").read() == "Rhine, Rhône"


def test_stream_ignores_events_of_a_newer_server(scripted: Scripted, fake: Client) -> None:
    scripted.stream = lambda request, context: iter([pb.GenerateStreamResponse(), *events("a")])
    assert fake.stream("x").read() == "a"


def test_stream_that_ends_early_is_an_error(scripted: Scripted, fake: Client) -> None:
    scripted.stream = lambda request, context: iter(events("a")[:2])
    stream = fake.stream("x")
    assert next(stream).text == "a"
    with pytest.raises(InternalError, match="without its summary"):
        next(stream)


def endless(gone: threading.Event) -> object:
    def stream(_: pb.GenerateRequest, context: grpc.ServicerContext) -> Iterator[pb.GenerateStreamResponse]:
        context.add_callback(gone.set)
        while context.is_active():
            yield pb.GenerateStreamResponse(delta=pb.Delta(text="x"))

    return stream


def test_leaving_the_block_cancels(scripted: Scripted, fake: Client) -> None:
    gone = threading.Event()
    scripted.stream = endless(gone)  # type: ignore[assignment]
    with fake.stream("x") as stream:
        assert next(stream).text == "x"
    assert gone.wait(10)
    assert list(stream) == []
    stream.close()  # a second time


def test_cancel_from_another_thread(scripted: Scripted, fake: Client) -> None:
    gone = threading.Event()

    def silent(_: pb.GenerateRequest, context: grpc.ServicerContext) -> Iterator[pb.GenerateStreamResponse]:
        context.add_callback(gone.set)
        yield pb.GenerateStreamResponse(delta=pb.Delta(text="x"))
        gone.wait()

    scripted.stream = silent
    stream = fake.stream("x")
    next(stream)
    timer = threading.Timer(0.05, stream.cancel)
    timer.start()
    with pytest.raises(Cancelled) as caught:
        next(stream)
    assert caught.value.code is grpc.StatusCode.CANCELLED
    timer.join()
    assert gone.wait(10)


def test_stream_deadline(scripted: Scripted, fake: Client) -> None:
    scripted.stream = endless(threading.Event())  # type: ignore[assignment]
    with pytest.raises(DeadlineExceeded), fake.stream("x", timeout=0.1) as stream:
        for _ in stream:
            pass


def refuse(scripted: Scripted, code: grpc.StatusCode, *details: object, raw: bytes | None = None) -> None:
    """Makes Generate fail with a status and details."""

    def generate(_: pb.GenerateRequest, context: grpc.ServicerContext) -> pb.GenerateResponse:
        status = status_pb2.Status(code=code.value[0], message="no")
        for detail in details:
            packed = Any()
            packed.Pack(detail)
            status.details.append(packed)
        context.set_trailing_metadata((("grpc-status-details-bin", raw or status.SerializeToString()),))
        context.abort(code, "no")

    scripted.generate = generate


def test_field_violations(scripted: Scripted, fake: Client) -> None:
    violation = error_details_pb2.BadRequest.FieldViolation(field="sampling.top_p", description="above 1")
    refuse(scripted, grpc.StatusCode.INVALID_ARGUMENT, error_details_pb2.BadRequest(field_violations=[violation]))
    with pytest.raises(InvalidArgument, match="INVALID_ARGUMENT: no") as caught:
        fake.generate("x", top_p=1.5)
    assert caught.value.field_violations == (FieldViolation("sampling.top_p", "above 1"),)
    assert caught.value.retry_after is None
    assert isinstance(caught.value.__cause__, grpc.RpcError)


def test_retry_after(scripted: Scripted, fake: Client) -> None:
    refuse(
        scripted,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        error_details_pb2.RetryInfo(retry_delay=Duration(nanos=250_000_000)),
        error_details_pb2.ErrorInfo(reason="QUEUE_FULL"),
    )
    with pytest.raises(ResourceExhausted) as caught:
        fake.generate("x")
    assert caught.value.retry_after == timedelta(milliseconds=250)
    assert caught.value.reason == "QUEUE_FULL"


def test_resource(scripted: Scripted, fake: Client) -> None:
    refuse(scripted, grpc.StatusCode.NOT_FOUND, error_details_pb2.ResourceInfo(resource_name="gpt-9"))
    with pytest.raises(NotFound) as caught:
        fake.generate("x")
    assert caught.value.resource == "gpt-9"
    copy = pickle.loads(pickle.dumps(caught.value))
    assert (type(copy), copy.resource, str(copy)) == (NotFound, "gpt-9", "NOT_FOUND: no")


def test_details_that_are_no_status(scripted: Scripted, fake: Client) -> None:
    refuse(scripted, grpc.StatusCode.ABORTED, raw=b"\xff\xff")
    with pytest.raises(SluiceError) as caught:
        fake.generate("x")
    assert type(caught.value) is SluiceError
    assert (caught.value.code, caught.value.field_violations) == (grpc.StatusCode.ABORTED, ())


def test_a_timeout_is_a_timeout_error(scripted: Scripted, fake: Client) -> None:
    refuse(scripted, grpc.StatusCode.DEADLINE_EXCEEDED)
    with pytest.raises(TimeoutError, match="DEADLINE_EXCEEDED: no") as caught:
        fake.generate("x")
    assert isinstance(pickle.loads(pickle.dumps(caught.value)), DeadlineExceeded)


def test_nobody_there() -> None:
    with Client("127.0.0.1:1") as client, pytest.raises(Unavailable):
        client.generate("x")


def test_api_key(scripted: Scripted, scripted_addr: str) -> None:
    seen: list[object] = []

    def note(context: grpc.ServicerContext) -> None:
        seen.append(dict(context.invocation_metadata()).get("authorization"))

    def generate(_: pb.GenerateRequest, context: grpc.ServicerContext) -> pb.GenerateResponse:
        note(context)
        return pb.GenerateResponse()

    def stream(_: pb.GenerateRequest, context: grpc.ServicerContext) -> Iterator[pb.GenerateStreamResponse]:
        note(context)
        yield from events()

    scripted.generate, scripted.stream = generate, stream
    with Client(scripted_addr, api_key="secret") as client:
        client.generate("x")
        client.stream("x").read()
    assert seen == ["Bearer secret", "Bearer secret"]


@pytest.mark.parametrize("addr", ["sluice.example:50051", "dns:///192.0.2.1:50051"])
def test_api_key_in_clear_text_is_refused(addr: str) -> None:
    with pytest.raises(ValueError, match="needs TLS"):
        Client(addr, api_key="k")
    Client(addr, api_key="k", clear_text_api_key=True).close()
    Client(addr, api_key="k", tls=True).close()


@pytest.mark.parametrize("addr", ["localhost:1", "127.0.0.1:1", "[::1]:1", "dns:///localhost:1", "unix:///run/s.sock"])
def test_api_key_on_this_machine(addr: str) -> None:
    Client(addr, api_key="k").close()


@pytest.mark.parametrize("key", ["", "a\nb", "schlüssel"])
def test_bad_api_key(key: str) -> None:
    with pytest.raises(ValueError, match="printable ASCII"):
        Client(api_key=key)


def test_tls(scripted: Scripted, tmp_path: Path) -> None:
    authority = trustme.CA()
    certificate = authority.issue_cert("localhost")
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    scripted.generate = lambda request, context: pb.GenerateResponse(id=dict(context.invocation_metadata())["authorization"])
    server = grpc.server(ThreadPoolExecutor(1))
    add_InferenceServiceServicer_to_server(scripted, server)
    key, chain = certificate.private_key_pem.bytes(), certificate.cert_chain_pems[0].bytes()
    addr = f"localhost:{server.add_secure_port('localhost:0', grpc.ssl_server_credentials([(key, chain)]))}"
    server.start()
    try:
        for tls in (tmp_path / "ca.pem", grpc.ssl_channel_credentials(authority.cert_pem.bytes())):
            with Client(addr, tls=tls, api_key="secret") as client:
                assert client.generate("x", timeout=30).id == "Bearer secret"
        for tls in (True, False):  # an authority that is not known; no TLS at all
            with Client(addr, tls=tls) as client, pytest.raises(Unavailable):
                client.generate("x", timeout=30)
    finally:
        server.stop(None).wait()


def test_mutual_tls(scripted: Scripted, tmp_path: Path) -> None:
    authority = trustme.CA()
    certificate, own = authority.issue_cert("localhost"), authority.issue_cert("client")
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    own.cert_chain_pems[0].write_to_path(str(tmp_path / "client.pem"))
    own.private_key_pem.write_to_path(str(tmp_path / "client.key"))
    scripted.generate = lambda request, context: pb.GenerateResponse(id="in")
    server = grpc.server(ThreadPoolExecutor(1))
    add_InferenceServiceServicer_to_server(scripted, server)
    pair = (certificate.private_key_pem.bytes(), certificate.cert_chain_pems[0].bytes())
    credentials = grpc.ssl_server_credentials([pair], authority.cert_pem.bytes(), require_client_auth=True)
    addr = f"localhost:{server.add_secure_port('localhost:0', credentials)}"
    server.start()
    try:
        with Client(addr, tls=tmp_path / "ca.pem", tls_cert=tmp_path / "client.pem", tls_key=tmp_path / "client.key") as client:
            assert client.generate("x", timeout=30).id == "in"
        with Client(addr, tls=tmp_path / "ca.pem") as client, pytest.raises(Unavailable):
            client.generate("x", timeout=30)
    finally:
        server.stop(None).wait()


def test_half_a_client_certificate(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="belong together"):
        Client(tls=True, tls_cert=tmp_path / "client.pem")
    with pytest.raises(ValueError, match="needs tls"):
        Client(tls_cert=tmp_path / "client.pem", tls_key=tmp_path / "client.key")


def test_large_response(scripted: Scripted, fake: Client) -> None:
    text = "x" * (5 << 20)  # gRPC's own limit is 4 MiB
    scripted.generate = lambda request, context: pb.GenerateResponse(outputs=[pb.Output(text=text)])
    assert fake.generate("x").text == text


def test_missing_authorities(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Client(tls=tmp_path / "ca.pem")


def test_build_request() -> None:
    request = build_request(
        messages=[{"role": "system", "content": "Be short."}, {"role": "user", "content": "Hi"}],
        seed=2**63,
        stop=["a", "b"],
        stop_token_ids=[3],
        include_stop_in_output=True,
        return_token_ids=True,
        skip_special_tokens=False,
        temperature=None,
    )
    assert [(m.role, m.content) for m in request.chat.messages] == [("system", "Be short."), ("user", "Hi")]
    assert request.sampling.seed == 2**63
    assert not request.sampling.HasField("temperature")
    assert (list(request.stop.strings), list(request.stop.token_ids)) == (["a", "b"], [3])
    assert request.stop.include_in_output and request.output.token_ids
    assert request.output.HasField("skip_special_tokens") and not request.output.skip_special_tokens
    assert not build_request(tokens=[1, 2], parse_special=False).parse_special
    assert list(build_request(tokens=[1, 2]).tokens.ids) == [1, 2]


def test_build_request_of_tools_and_constraints() -> None:
    tool: Tool = {"name": "add", "description": "Adds.", "parameters": {"type": "object"}}
    request = build_request(messages=[{"role": "user", "content": "1 + 1"}], tools=[tool, {"name": "g"}], tool_choice="add", priority=-3)
    assert list(request.chat.tools) == [
        pb.Tool(name="add", description="Adds.", parameters='{"type": "object"}'),
        pb.Tool(name="g"),
    ]
    assert request.chat.tool_choice == pb.ToolChoice(name="add")
    assert request.priority == -3
    required = build_request(messages=[{"role": "user", "content": "x"}], tools=[tool], tool_choice="required")
    assert required.chat.tool_choice == pb.ToolChoice(mode=pb.TOOL_CHOICE_MODE_REQUIRED)
    assert build_request("x", json_schema={"const": "ü"}).constraint == pb.Constraint(json_schema='{"const": "ü"}')
    assert build_request("x", json_schema="{}").constraint == pb.Constraint(json_schema="{}")
    assert build_request("x", regex="a+").constraint == pb.Constraint(regex="a+")
    assert build_request("x", choices=["a", "b"]).constraint == pb.Constraint(choice=pb.Choice(choices=["a", "b"]))
    assert not build_request("x").HasField("constraint")
    with pytest.raises(TypeError, match="at most one of regex, grammar"):
        build_request("x", regex="a", grammar="b")
    with pytest.raises(TypeError, match="tools need messages"):
        build_request("x", tools=[tool])
    with pytest.raises(TypeError, match="unknown keys of a tool: function"):
        build_request(messages=[{"role": "user", "content": "x"}], tools=[{"function": {}}])  # type: ignore[typeddict-item]


def test_build_request_refuses() -> None:
    with pytest.raises(TypeError, match="exactly one"):
        build_request()
    with pytest.raises(TypeError, match="exactly one"):
        build_request("x", tokens=[1])
    with pytest.raises(TypeError, match="max_token"):
        build_request("x", max_token=3)  # type: ignore[call-arg]
    with pytest.raises(ValueError):
        build_request("x", max_tokens=-1)
    with Client() as client, pytest.raises(TypeError, match="nothing beside"):
        client.generate("x", request=pb.GenerateRequest())


def test_build_request_keeps_all_of_a_message() -> None:
    call: ToolCall = {"id": "c1", "name": "add", "arguments": "{}"}
    request = build_request(
        messages=[
            {"role": "user", "content": "Hi", "name": "ann"},
            {"role": "assistant", "content": None, "tool_calls": [call], "name": None},
            {"role": "tool", "content": "3", "tool_call_id": "c1"},
        ]
    )
    assert list(request.chat.messages) == [
        pb.Message(role="user", content="Hi", name="ann"),
        pb.Message(role="assistant", tool_calls=[pb.ToolCall(id="c1", name="add", arguments="{}")]),
        pb.Message(role="tool", content="3", tool_call_id="c1"),
    ]
    with pytest.raises(TypeError, match="unknown keys of a message: contnet, images"):
        build_request(messages=[{"role": "user", "content": "", "images": [], "contnet": "Hi"}])  # type: ignore[typeddict-unknown-key]
    with pytest.raises(TypeError, match="unknown keys of a tool call: function"):
        build_request(messages=[{"role": "assistant", "content": "", "tool_calls": [{"function": {}}]}])  # type: ignore[typeddict-item]
    with pytest.raises(KeyError, match="content"):
        build_request(messages=[{"role": "user"}])  # type: ignore[typeddict-item]


def test_messages_pickle() -> None:
    request = build_request("x")
    assert pickle.loads(pickle.dumps(request)) == request
