"""Failed calls as exceptions: one class per status code that callers tell apart, with the server's details."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

import grpc
from google.protobuf.message import DecodeError, Message
from google.rpc import error_details_pb2, status_pb2

_DETAILS_KEY = "grpc-status-details-bin"
_CLOCK_SKEW = 0.1
"""Seconds by which a server may find a deadline to have passed before its client does: timeouts travel rounded."""
_M = TypeVar("_M", bound=Message)


@dataclass(frozen=True, slots=True)
class FieldViolation:
    """One wrong field of a request."""

    field: str
    """Path in the request, such as "sampling.top_p"."""
    description: str
    """What is wrong and what is allowed."""


class SluiceError(Exception):
    """A failed call. The subclasses stand for the status codes that the server documents."""

    def __init__(self, code: grpc.StatusCode, message: str, status: status_pb2.Status | None = None) -> None:
        super().__init__(code, message, status)
        self.code = code
        """The gRPC status code."""
        self.message = message
        """The server's text."""
        self.status = status or status_pb2.Status()
        """The whole google.rpc.Status, empty if the failure came without one."""

    def __str__(self) -> str:
        return f"{self.code.name}: {self.message}"

    @property
    def field_violations(self) -> tuple[FieldViolation, ...]:
        """The fields that an INVALID_ARGUMENT is about."""
        violations = self._detail(error_details_pb2.BadRequest()).field_violations
        return tuple(FieldViolation(v.field, v.description) for v in violations)

    @property
    def retry_after(self) -> timedelta | None:
        """How long the server asks to wait before the next try; None if it does not say."""
        info = self._detail(error_details_pb2.RetryInfo())
        return info.retry_delay.ToTimedelta() if info.HasField("retry_delay") else None

    @property
    def reason(self) -> str:
        """The machine-readable reason that the server gave, or ""."""
        return str(self._detail(error_details_pb2.ErrorInfo()).reason)

    @property
    def resource(self) -> str:
        """Name of the resource that a NOT_FOUND is about, such as a model's, or ""."""
        return str(self._detail(error_details_pb2.ResourceInfo()).resource_name)

    def _detail(self, empty: _M) -> _M:
        """Returns the first detail of the message's type, else the empty message given."""
        for detail in self.status.details:
            if detail.Is(empty.DESCRIPTOR):
                try:
                    detail.Unpack(empty)
                except DecodeError:
                    empty.Clear()
                break
        return empty


class InvalidArgument(SluiceError):
    """A field of the request is wrong: see field_violations."""


class NotFound(SluiceError):
    """No such model: see resource."""


class ResourceExhausted(SluiceError):
    """The queue is full or a quota spent: see retry_after and reason. Or the message is too large."""


class Unavailable(SluiceError):
    """The server cannot be reached, drains or loads: see retry_after."""


class DeadlineExceeded(SluiceError, TimeoutError):
    """The timeout passed; the server has stopped the work."""


class Cancelled(SluiceError):
    """The call was cancelled; the server has stopped the work."""


class Unauthenticated(SluiceError):
    """The API key or client certificate is missing or wrong."""


class PermissionDenied(SluiceError):
    """The caller may not do this."""


class InternalError(SluiceError):
    """A fault of the server."""


_CLASSES: dict[grpc.StatusCode, type[SluiceError]] = {
    grpc.StatusCode.INVALID_ARGUMENT: InvalidArgument,
    grpc.StatusCode.NOT_FOUND: NotFound,
    grpc.StatusCode.RESOURCE_EXHAUSTED: ResourceExhausted,
    grpc.StatusCode.UNAVAILABLE: Unavailable,
    grpc.StatusCode.DEADLINE_EXCEEDED: DeadlineExceeded,
    grpc.StatusCode.CANCELLED: Cancelled,
    grpc.StatusCode.UNAUTHENTICATED: Unauthenticated,
    grpc.StatusCode.PERMISSION_DENIED: PermissionDenied,
    grpc.StatusCode.INTERNAL: InternalError,
}


def make_error(code: grpc.StatusCode, message: str, status: status_pb2.Status | None = None) -> SluiceError:
    """Makes the exception of a status code."""
    return _CLASSES.get(code, SluiceError)(code, message, status)


def deadline_of(timeout: float | None) -> float | None:
    """The time on the monotonic clock at which a call that starts now with a timeout ends."""
    return None if timeout is None else time.monotonic() + timeout


def from_rpc(error: grpc.RpcError, deadline: float | None = None) -> SluiceError:
    """Turns gRPC's exception into ours. gRPC's stays reachable as __cause__ where this is raised from it.

    Server and client both watch the deadline. A server that is a moment earlier resets the stream, which gRPC reports
    as CANCELLED; that is the deadline all the same.
    """
    code, details = error.code(), error.details() or ""
    if code is grpc.StatusCode.CANCELLED and "RST_STREAM" in details and deadline is not None:
        if time.monotonic() > deadline - _CLOCK_SKEW:
            return make_error(grpc.StatusCode.DEADLINE_EXCEEDED, "the deadline passed")
    return make_error(code, details, _status(error.trailing_metadata() or ()))


def _status(metadata: grpc.aio.Metadata | tuple[tuple[str, str | bytes], ...]) -> status_pb2.Status | None:
    for key, value in metadata:
        if key == _DETAILS_KEY:
            try:
                return status_pb2.Status.FromString(value)
            except DecodeError:
                return None
    return None
