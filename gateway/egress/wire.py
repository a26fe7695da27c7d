"""The connection below HTTP: it goes to addresses that were checked and nowhere else, and every wait ends in time."""

import ssl
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from time import monotonic
from typing import Any

import httpcore2

from gateway.egress.addresses import Goal
from gateway.egress.refused import NotReached, Why
from governance.core.addresses import Address
from governance.core.wording import excerpt

HEAD_MOST = 64 * 1024
READ_MOST = 16 * 1024


@dataclass(slots=True)
class Bounds:
    """What is left of one exchange: until when (`time.monotonic()`, s), and how many bytes until its head must be over.

    `is_heard` says whether anything was written, so that the other side may have heard it.
    """

    deadline: float
    head_left: int = HEAD_MOST
    is_head_over: bool = False
    is_heard: bool = False

    def seconds(self) -> float:
        """Return the seconds left, or raise NotReached when there are none."""
        left = self.deadline - monotonic()
        if left <= 0:
            raise too_slow()
        return left

    def bytes_to_read(self, asked: int) -> int:
        """Return how much may be read now, or raise NotReached when the head of an answer does not end."""
        if self.is_head_over:
            return min(asked, READ_MOST)
        if self.head_left <= 0:
            raise NotReached(Why.TOO_LARGE, f"the head of the answer is larger than {HEAD_MOST // 1024} KiB")
        return min(asked, READ_MOST, self.head_left)


TOO_SLOW = (Why.TOO_SLOW, "the answer did not come in time")


def too_slow() -> NotReached:
    return NotReached(*TOO_SLOW)


class Wire(httpcore2.NetworkBackend):
    """Connects to the goal it was made for, by its checked addresses; asked for another place, it refuses."""

    def __init__(self, goal: Goal, addresses: Sequence[Address], bounds: Bounds) -> None:
        self._goal, self._addresses, self._bounds = goal, addresses, bounds

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.NetworkStream:
        """Return a stream to the first address that takes a connection; each has its share of the time left."""
        if (host, port) != (self._goal.host, self._goal.port):
            raise NotReached(Why.NOT_ALLOWED, f"{excerpt(host)} is not what was checked")
        for number, address in enumerate(self._addresses):
            share = self._bounds.seconds() / (len(self._addresses) - number)
            try:
                # An address is no name: nothing is resolved here.
                stream = httpcore2.SyncBackend().connect_tcp(str(address), port, share, None, socket_options)
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout):
                continue
            return _Stream(stream, self._bounds)
        raise NotReached(Why.NO_CONNECTION, f"{self._goal.host} takes no connection at port {port}")

    def connect_unix_socket(
        self, path: str, timeout: float | None = None, socket_options: Iterable[Any] | None = None
    ) -> httpcore2.NetworkStream:
        """Refuse: a socket of this machine is not outside."""
        raise NotReached(Why.NOT_ALLOWED, "a socket of this machine is not outside")


class _Stream(httpcore2.NetworkStream):
    """A stream whose every wait is what is left of the whole: a server that drips keeps nobody."""

    def __init__(self, stream: httpcore2.NetworkStream, bounds: Bounds) -> None:
        self._stream, self._bounds = stream, bounds

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        found = self._stream.read(self._bounds.bytes_to_read(max_bytes), self._bounds.seconds())
        self._bounds.head_left -= len(found)
        return found

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        left = self._bounds.seconds()
        self._bounds.is_heard = True
        self._stream.write(buffer, left)

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore2.NetworkStream:
        """Agree on TLS by the name that was asked for, whatever address it led to."""
        try:
            stream = self._stream.start_tls(ssl_context, server_hostname, self._bounds.seconds())
        except httpcore2.ConnectTimeout:
            raise too_slow() from None
        except httpcore2.ConnectError as error:
            raise NotReached(
                Why.NOT_TRUSTED, f"no TLS with {excerpt(server_hostname or '')}: {excerpt(str(error), 200)}"
            ) from None
        return _Stream(stream, self._bounds)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)
