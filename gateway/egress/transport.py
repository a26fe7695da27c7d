"""A transport for any httpx2 client: each of its requests is checked against policy before a byte leaves."""

import ssl
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import cache

import httpcore2
import httpx2

from gateway.egress.addresses import Goal, checked_addresses, goal_of
from gateway.egress.refused import NotReached, Why
from gateway.egress.wire import TOO_SLOW, Bounds, Wire
from governance.core.egress import Egress, may_reach


class Transport(httpx2.BaseTransport):
    """Speaks HTTP/1.1 with what policy allows, one connection per request, until `deadline` (`time.monotonic()`, s).

    Raises NotReached, whatever goes wrong. Redirects that a client follows come here again and are checked again; proxies
    of the environment are never asked. `tls` is for tests; without it the system's authorities are trusted.
    """

    def __init__(self, egress: Egress, *, deadline: float, tls: ssl.SSLContext | None = None) -> None:
        self._egress, self._deadline, self._tls = egress, deadline, tls

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        """Check where the request goes, resolve it once, connect to what was checked, and return the head of the answer."""
        goal, may_be_private = allowed_goal(str(request.url), self._egress)
        bounds = Bounds(self._deadline)
        bounds.seconds()
        addresses = checked_addresses(goal, may_be_private=may_be_private, deadline=self._deadline)
        pool = httpcore2.ConnectionPool(
            ssl_context=self._tls or system_trust(),
            max_connections=1,
            max_keepalive_connections=0,
            http2=False,
            network_backend=Wire(goal, addresses, bounds),
        )
        # Not the request's extensions: one of them could name another host for TLS.
        asked = httpcore2.Request(
            request.method,
            httpcore2.URL(scheme=goal.scheme, host=goal.host, port=goal.port, target=request.url.raw_path),
            headers=request.headers.raw,
            content=request.stream,
        )
        with ExitStack() as undone, _told(bounds):
            undone.callback(pool.close)
            answer = pool.handle_request(asked)
            undone.pop_all()
        bounds.is_head_over = True
        return httpx2.Response(
            answer.status,
            headers=answer.headers,
            stream=_Body(pool, answer, bounds),
            extensions={"http_version": b"HTTP/1.1"},
        )


class _Body(httpx2.SyncByteStream):
    """The body as it comes, and with its end the end of the connection."""

    def __init__(self, pool: httpcore2.ConnectionPool, answer: httpcore2.Response, bounds: Bounds) -> None:
        self._pool, self._answer, self._bounds = pool, answer, bounds

    def __iter__(self) -> Iterator[bytes]:
        with _told(self._bounds):
            yield from self._answer.iter_stream()

    def close(self) -> None:
        self._answer.close()
        self._pool.close()


@contextmanager
def _told(bounds: Bounds) -> Iterator[None]:
    """Say what the library raises in our own words, and whether anything had left by then."""
    try:
        yield
    except NotReached as error:
        error.may_be_heard = bounds.is_heard
        raise
    except httpcore2.TimeoutException:
        raise NotReached(*TOO_SLOW, may_be_heard=bounds.is_heard) from None
    except httpcore2.NetworkError:
        raise NotReached(Why.NO_CONNECTION, "the connection broke off", may_be_heard=bounds.is_heard) from None
    except httpcore2.LocalProtocolError:
        raise NotReached(Why.BAD_ADDRESS, "the request cannot be sent in this form") from None
    except httpcore2.ProtocolError:
        told = "what came back is not HTTP as it should be"
        raise NotReached(Why.BAD_ANSWER, told, may_be_heard=bounds.is_heard) from None


def allowed_goal(url: str, egress: Egress) -> tuple[Goal, bool]:
    """Return where an address leads and whether that may be inside the house; raise NotReached where policy says no."""
    goal = goal_of(url)
    reach = may_reach(egress, goal.scheme, goal.host, goal.port)
    if not reach.is_allowed:
        raise NotReached(Why.NOT_ALLOWED, reach.because)
    return goal, reach.may_be_private


@cache
def system_trust() -> ssl.SSLContext:
    """Return the authorities that this machine trusts; reading them takes a tenth of a second."""
    return httpx2.create_ssl_context(trust_env=False)
