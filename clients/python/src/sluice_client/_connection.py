"""How clients reach a server: credentials, metadata and gRPC's channel arguments."""

from __future__ import annotations

import ipaddress
import json
import os
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias

import grpc

try:
    from opentelemetry import propagate
except ImportError:  # it is optional: see trace_context
    propagate = None  # type: ignore[assignment]
except Exception as error:  # of a propagator in OTEL_PROPAGATORS that is not installed or does not load
    warnings.warn(f"calls continue no trace, since OpenTelemetry does not load: {error}", RuntimeWarning, stacklevel=1)
    propagate = None  # type: ignore[assignment]

_MAX_MESSAGE: Final = 16 << 20
"""Largest response, in bytes: the server's own limit. gRPC's default of 4 MiB is too small for some answers."""
_RETRY_BUFFER: Final = _MAX_MESSAGE + (64 << 10)
"""Largest request that is tried again, in bytes, with its metadata: the server's limit. gRPC's default of 256 KiB is less than
what a long context takes."""
_RETRY: Final = {
    "maxAttempts": 4,
    "initialBackoff": "0.2s",
    "maxBackoff": "5s",
    "backoffMultiplier": 2,
    "retryableStatusCodes": ["UNAVAILABLE"],
}
"""What cannot be reached, drains or loads is tried again, unless an answer has begun: generating the same once more does no
harm."""
_SERVICE_CONFIG: Final = json.dumps(
    {
        "methodConfig": [
            {
                "name": [
                    {"service": "sluice.v1.InferenceService"},
                    {"service": "sluice.v1.TokenizerService"},
                    {"service": "sluice.v1.ModelService", "method": "ListModels"},
                    {"service": "sluice.v1.ModelService", "method": "GetModel"},
                ],
                "retryPolicy": _RETRY,
            }
        ]
    }
)
_CHANNEL_OPTIONS: Final[dict[str, Any]] = {
    "grpc.max_receive_message_length": _MAX_MESSAGE,
    "grpc.service_config": _SERVICE_CONFIG,
    "grpc.per_rpc_retry_buffer_size": _RETRY_BUFFER,
    # Pings while calls run, for routers that forget silent connections and to notice dead ones. The server wants at least
    # 10 s between them.
    "grpc.keepalive_time_ms": 30_000,
    "grpc.keepalive_timeout_ms": 15_000,
    "grpc.http2.max_pings_without_data": 0,
}

TLS: TypeAlias = bool | str | os.PathLike[str] | grpc.ChannelCredentials
"""What the argument tls of a client may be."""
Metadata: TypeAlias = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Connection:
    """What a channel and its calls are made with."""

    options: list[tuple[str, Any]]
    credentials: grpc.ChannelCredentials | None
    """None: plain text."""
    metadata: Metadata
    """Of every call."""


def connection(
    addr: str,
    tls: TLS,
    tls_cert: str | os.PathLike[str] | None,
    tls_key: str | os.PathLike[str] | None,
    api_key: str | None,
    clear_text_api_key: bool,
    channel_options: Mapping[str, Any] | None,
) -> Connection:
    """Reads the arguments that Client and AsyncClient share."""
    if api_key is not None:
        _check_key(api_key)
        if tls is False and not clear_text_api_key and not _local(addr):
            raise ValueError("an API key needs TLS, since the address is not this machine's")
    options = _CHANNEL_OPTIONS | dict(channel_options or {})
    metadata = () if api_key is None else (("authorization", f"Bearer {api_key}"),)
    return Connection(list(options.items()), _credentials(tls, tls_cert, tls_key), metadata)


def trace_context() -> Metadata:
    """The active trace context, for the metadata of a call, so that the server's spans become children of the caller's: by
    OpenTelemetry's propagator (W3C unless the application has set another), where opentelemetry-api is installed."""
    carrier: dict[str, str] = {}
    if propagate is not None:
        propagate.inject(carrier)
    return tuple((name.lower(), value) for name, value in carrier.items())


def _credentials(
    tls: TLS,
    cert: str | os.PathLike[str] | None,
    key: str | os.PathLike[str] | None,
) -> grpc.ChannelCredentials | None:
    if (cert is None) != (key is None):
        raise ValueError("tls_cert and tls_key belong together")
    if cert is not None and tls is not True and not isinstance(tls, (str, os.PathLike)):
        raise ValueError("tls_cert needs tls to be True or a path")
    if tls is False:
        return None
    if tls is not True and not isinstance(tls, (str, os.PathLike)):
        return tls
    return grpc.ssl_channel_credentials(
        root_certificates=None if tls is True else Path(tls).read_bytes(),
        private_key=None if key is None else Path(key).read_bytes(),
        certificate_chain=None if cert is None else Path(cert).read_bytes(),
    )


def _check_key(key: str) -> None:
    if not key or not key.isascii() or not key.isprintable():
        raise ValueError("an API key is printable ASCII")


def _local(addr: str) -> bool:
    """Reports whether a target is certain to stay on this machine."""
    if addr.startswith(("unix:", "unix-abstract:")):
        return True
    host = addr.rpartition("/")[2].rpartition(":")[0].strip("[]")
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
