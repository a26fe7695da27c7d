"""A server behind an address: one client that counts, follows no redirect elsewhere and takes no proxy from the environment."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from time import monotonic
from typing import Any

import httpx2

from gateway.egress.addresses import goal_of
from gateway.egress.asynchronous import AsyncTransport
from gateway.egress.refused import NotReached
from gateway.mcp.endpoint import Endpoint
from gateway.mcp.meter import Meter
from governance.core.egress import HTTP, Egress, Target

REFUSES_WHO_ASKS = (401, 403)


class _Counted(httpx2.AsyncByteStream):
    def __init__(self, inner: Any, meter: Meter) -> None:
        self._inner, self._meter = inner, meter

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for chunk in self._inner:
            self._meter.took(len(chunk))
            if self._meter.fault:
                return
            yield chunk

    async def aclose(self) -> None:
        await self._inner.aclose()


class _Bounded(httpx2.AsyncBaseTransport):
    """Counts what comes back. What is packed is refused: its size is known only when it is unpacked."""

    def __init__(self, inner: httpx2.AsyncBaseTransport, meter: Meter) -> None:
        self._inner, self._meter = inner, meter

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        try:
            response = await self._inner.handle_async_request(request)
        except NotReached as error:
            self._meter.stop(f"it is not reached: {error}")
            raise httpx2.ConnectError(str(error), request=request) from None
        if response.status_code in REFUSES_WHO_ASKS:
            self._meter.is_unauthorized = True
            self._meter.stop(f"it does not accept who asks (status {response.status_code})")
        if response.headers.get("content-encoding", "identity") != "identity":
            self._meter.stop("it sent a packed answer that nobody asked for")
        response.stream = _Counted(response.stream, self._meter)
        return response

    async def aclose(self) -> None:
        await self._inner.aclose()


def client_for(endpoint: Endpoint, meter: Meter, *, seconds: float) -> httpx2.AsyncClient:
    """Return the client that speaks to a server: at the place of its endpoint, which the operator has named, and nowhere else.

    Such a server may stand inside the house; a metadata service or a link-local address is never reached.
    """
    goal = goal_of(endpoint.url)
    place = Target(goal.host, http=goal.scheme == HTTP, private=True, ports=(goal.port,))
    transport = AsyncTransport(Egress((("MCP server", (place,)),)), deadline=monotonic() + seconds)
    return httpx2.AsyncClient(
        transport=_Bounded(transport, meter),
        headers={**endpoint.headers, "accept-encoding": "identity"},
        timeout=max(0.1, seconds),
        follow_redirects=False,
        trust_env=False,
    )


@asynccontextmanager
async def over_http(endpoint: Endpoint, meter: Meter, *, seconds: float) -> AsyncGenerator[tuple[Any, Any]]:
    """Speak to a server by streamable HTTP."""
    from mcp.client.streamable_http import streamable_http_client

    async with (
        client_for(endpoint, meter, seconds=seconds) as client,
        streamable_http_client(endpoint.url, http_client=client) as (read, write),
    ):
        yield read, write
