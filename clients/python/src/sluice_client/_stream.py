"""An answer as it comes."""

from __future__ import annotations

from collections.abc import Iterator
from types import TracebackType
from typing import Any

import grpc

from sluice_client._errors import from_rpc, make_error
from sluice_client._results import Delta, Finished, Timings, Usage, delta_of, finished_of, timings_of, usage_of
from sluice_client.v1.inference_pb2 import GenerateStreamResponse, TokenLogprobs


class Progress:
    """A running request and what is known of its answer while it is read: what Stream and AsyncStream have in common."""

    def __init__(self, call: Any, deadline: float | None = None) -> None:
        self.id = ""
        """The request's id, once it is admitted: from the first delta on."""
        self.model = ""
        """Name of the model that answers, once the request is admitted."""
        self.prompt_logprobs: list[TokenLogprobs] = []
        """What the model thought of each token of the prompt, if prompt_logprobs was set: complete from the first delta
        on."""
        self.finished: list[Finished] = []
        """Why each output ended, in the order of their ends."""
        self.usage: Usage | None = None
        """Tokens counted; None until the end."""
        self.timings: Timings | None = None
        """Where the time went; None until the end."""
        self._call = call
        self._deadline = deadline
        self._closed = False
        self._done = False

    def cancel(self) -> None:
        """Cancels the request; whoever iterates gets Cancelled. Does nothing once the stream has ended."""
        self._call.cancel()

    def close(self) -> None:
        """Cancels the request if it still runs, and ends the iteration without an error."""
        self._closed = True
        self._call.cancel()

    def _note(self, event: GenerateStreamResponse) -> Delta | None:
        """Keeps what an event says; returns the delta if it is one. Events of a newer server are ignored."""
        kind = event.WhichOneof("event")
        if kind == "delta":
            return delta_of(event.delta)
        if kind == "started":
            self.id, self.model = event.started.id, event.started.model
        elif kind == "prompt":
            self.prompt_logprobs.extend(event.prompt.logprobs)
        elif kind == "finished":
            self.finished.append(finished_of(event.finished))
        elif kind == "summary":
            self.usage, self.timings = usage_of(event.summary.usage), timings_of(event.summary.timings)
        return None

    def _check_end(self) -> None:
        """Raises InternalError if the stream ended before the request did."""
        if self.usage is None:
            raise make_error(grpc.StatusCode.INTERNAL, "the stream ended without its summary")


class Stream(Progress, Iterator[Delta]):
    """Iterates over the deltas of a running request, once. Use it in a `with` block: leaving the block early cancels
    the request in the server.

    One thread may iterate; `cancel` and `close` may be called from another.
    """

    def __iter__(self) -> Stream:
        return self

    def __next__(self) -> Delta:
        """Waits for the next delta. Raises a SluiceError if the request fails, Cancelled after `cancel`."""
        while not (self._done or self._closed):
            try:
                event = next(self._call)
            except StopIteration:
                self._done = True
                self._check_end()
                break
            except grpc.RpcError as error:
                self._done = True
                if self._closed:
                    break
                raise from_rpc(error, self._deadline) from error
            if (delta := self._note(event)) is not None:
                return delta
        raise StopIteration

    def read(self) -> str:
        """Reads the stream to its end and returns the joined text of the first output."""
        return "".join(delta.text for delta in self if delta.index == 0)

    def __enter__(self) -> Stream:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()
