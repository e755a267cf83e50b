"""Client of Sluice, a gRPC inference server for language models.

    from sluice_client import Client

    with Client("127.0.0.1:50051") as client:
        with client.stream(messages=[{"role": "user", "content": "Name three rivers."}]) as stream:
            for delta in stream:
                print(delta.text, end="", flush=True)
        print(f"\\n{stream.usage.completion_tokens} tokens")

AsyncClient is the same for asyncio. The generated messages and stubs of the API lie in `sluice_client.v1`.
"""

from sluice_client._aio import AsyncClient, AsyncStream
from sluice_client._client import Client
from sluice_client._errors import (
    Cancelled,
    DeadlineExceeded,
    FieldViolation,
    InternalError,
    InvalidArgument,
    NotFound,
    PermissionDenied,
    ResourceExhausted,
    SluiceError,
    Unauthenticated,
    Unavailable,
)
from sluice_client._request import Message, Options, Tool, ToolCall, build_request
from sluice_client._results import Delta, Finished, FinishReason, Generation, Output, Timings, Usage
from sluice_client._stream import Stream

__all__ = [
    "AsyncClient",
    "AsyncStream",
    "Cancelled",
    "Client",
    "DeadlineExceeded",
    "Delta",
    "FieldViolation",
    "FinishReason",
    "Finished",
    "Generation",
    "InternalError",
    "InvalidArgument",
    "Message",
    "NotFound",
    "Options",
    "Output",
    "PermissionDenied",
    "ResourceExhausted",
    "SluiceError",
    "Stream",
    "Timings",
    "Tool",
    "ToolCall",
    "Unauthenticated",
    "Unavailable",
    "Usage",
    "build_request",
]
