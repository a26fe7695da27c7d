"""The same way out for a client that speaks asynchronously and more than once: one place, checked once, for its whole life."""

import ssl
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import httpcore2
import httpx2
from anyio import to_thread

from gateway.egress.addresses import Goal, checked_addresses
from gateway.egress.refused import NotReached, Why
from gateway.egress.transport import allowed_goal, system_trust
from gateway.egress.wire import TOO_SLOW
from governance.core.addresses import Address
from governance.core.egress import Egress
from governance.core.wording import excerpt


class AsyncTransport(httpx2.AsyncBaseTransport):
    """Speaks HTTP/1.1 with the one place of its first request, at the addresses that were checked then, as policy allows.

    A request for another place is refused, so credentials and sessions stay where they belong. Raises NotReached; how long
    each wait may be is the client's time-out, which the resolver is given as `deadline` (`time.monotonic()`, s), too.
    """

    def __init__(self, egress: Egress, *, deadline: float, tls: ssl.SSLContext | None = None) -> None:
        self._egress, self._deadline, self._tls = egress, deadline, tls
        self._goal: Goal | None = None
        self._pool: httpcore2.AsyncConnectionPool | None = None

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send a request to where this transport leads, and return the head of the answer."""
        goal, may_be_private = allowed_goal(str(request.url), self._egress)
        pool = await self._pool_for(goal, may_be_private=may_be_private)
        asked = httpcore2.Request(
            request.method,
            httpcore2.URL(scheme=goal.scheme, host=goal.host, port=goal.port, target=request.url.raw_path),
            headers=request.headers.raw,
            content=request.stream,
            extensions={"timeout": request.extensions.get("timeout", {})},
        )
        with _told():
            answer = await pool.handle_async_request(asked)
        return httpx2.Response(
            answer.status, headers=answer.headers, stream=_Body(answer), extensions={"http_version": b"HTTP/1.1"}
        )

    async def aclose(self) -> None:
        """Let go of the connections."""
        if self._pool is not None:
            await self._pool.aclose()

    async def _pool_for(self, goal: Goal, *, may_be_private: bool) -> httpcore2.AsyncConnectionPool:
        if self._pool is None:

            def look() -> list[Address]:
                return checked_addresses(goal, may_be_private=may_be_private, deadline=self._deadline)

            addresses = await to_thread.run_sync(look)
            self._goal = goal
            self._pool = httpcore2.AsyncConnectionPool(
                ssl_context=self._tls or system_trust(), http2=False, network_backend=_Wire(goal, addresses)
            )
        known = self._goal
        if known is None or (known.scheme, known.host, known.port) != (goal.scheme, goal.host, goal.port):
            raise NotReached(Why.NOT_ALLOWED, f"{excerpt(goal.host)} is not what was checked")
        return self._pool


class _Wire(httpcore2.AsyncNetworkBackend):
    """Connects to the goal it was made for, by its checked addresses."""

    def __init__(self, goal: Goal, addresses: Sequence[Address]) -> None:
        self._goal, self._addresses, self._network = goal, addresses, httpcore2.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109  # the library's own interface
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        """Return a stream to the first address that takes a connection; each has its share of the time-out."""
        if (host, port) != (self._goal.host, self._goal.port):
            raise NotReached(Why.NOT_ALLOWED, f"{excerpt(host)} is not what was checked")
        share = timeout / len(self._addresses) if timeout else timeout
        for address in self._addresses:
            try:
                return await self._network.connect_tcp(str(address), port, share, None, socket_options)
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout):
                continue
        raise NotReached(Why.NO_CONNECTION, f"{self._goal.host} takes no connection at port {port}")

    async def connect_unix_socket(
        self,
        path: str,
        timeout: float | None = None,  # noqa: ASYNC109
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        """Refuse: a socket of this machine is not outside."""
        raise NotReached(Why.NOT_ALLOWED, "a socket of this machine is not outside")

    async def sleep(self, seconds: float) -> None:
        """Wait, as the library does between attempts."""
        await self._network.sleep(seconds)


class _Body(httpx2.AsyncByteStream):
    def __init__(self, answer: httpcore2.Response) -> None:
        self._answer = answer

    async def __aiter__(self) -> AsyncIterator[bytes]:
        with _told():
            async for part in self._answer.aiter_stream():
                yield part

    async def aclose(self) -> None:
        await self._answer.aclose()


@contextmanager
def _told() -> Iterator[None]:
    """Say what the library raises in our own words; what was sent by then nobody knows."""
    try:
        yield
    except httpcore2.TimeoutException:
        raise NotReached(*TOO_SLOW, may_be_heard=True) from None
    except httpcore2.NetworkError:
        raise NotReached(Why.NO_CONNECTION, "the connection broke off", may_be_heard=True) from None
    except httpcore2.ProtocolError:
        raise NotReached(Why.BAD_ANSWER, "what came back is not HTTP as it should be", may_be_heard=True) from None
