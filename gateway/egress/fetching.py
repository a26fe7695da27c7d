"""Get one thing from outside: redirects followed and checked, size and time bounded, nothing remembered."""

import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from time import monotonic

import httpx2

from gateway.egress.addresses import goal_of
from gateway.egress.refused import NotReached, Why
from gateway.egress.transport import Transport
from gateway.egress.wire import too_slow
from governance.core.egress import Egress
from governance.core.wording import excerpt

MOST_REDIRECTS = 5
REDIRECTS = frozenset({301, 302, 303, 307, 308})
DECODED_HERE = frozenset({"", "identity", "gzip", "deflate"})
HEADERS = {"User-Agent": "Worka", "Accept": "*/*", "Accept-Encoding": "gzip, deflate", "Connection": "close"}


@dataclass(frozen=True, slots=True)
class Fetched:
    """An answer, whatever its status. `url` is where it came from after redirects; `content` is decompressed."""

    url: str
    status: int
    headers: Mapping[str, str]
    content: bytes = field(repr=False)
    is_cut: bool = False


def fetch(
    url: str,
    egress: Egress,
    *,
    deadline: float,
    most_bytes: int,
    headers: Mapping[str, str] | None = None,
    tls: ssl.SSLContext | None = None,
) -> Fetched:
    """Return what a GET brings, cut after `most_bytes`; raise NotReached with the reason when nothing is to be had.

    `deadline` is a moment of `time.monotonic()`, in seconds, for everything together. `headers` go to every host that a
    redirect leads to, so they hold nothing secret.
    """
    for _ in range(MOST_REDIRECTS + 1):
        goal = goal_of(url)
        with httpx2.Client(
            transport=Transport(egress, deadline=deadline, tls=tls),
            headers={**HEADERS, **(headers or {})},
            trust_env=False,
            follow_redirects=False,
            timeout=None,  # the transport ends every wait at the deadline
        ) as client:
            answer = client.send(client.build_request("GET", _library_url(goal.url)), stream=True)
            try:
                if answer.status_code in REDIRECTS and "location" in answer.headers:
                    url = _next_url(goal.url, answer.headers["location"])
                    continue
                content, is_cut = _content_of(answer, most_bytes, deadline)
                return Fetched(goal.url, answer.status_code, dict(answer.headers), content, is_cut)
            finally:
                answer.close()
    raise NotReached(Why.TOO_MANY_REDIRECTS, f"there are more than {MOST_REDIRECTS} redirects")


def _library_url(url: str) -> httpx2.URL:
    try:
        return httpx2.URL(url)
    except httpx2.InvalidURL:
        raise NotReached(Why.BAD_ADDRESS, f"{excerpt(url)} is not an address") from None


def _next_url(url: str, location: str) -> str:
    try:
        return str(httpx2.URL(url).join(location))
    except httpx2.InvalidURL:
        raise NotReached(Why.BAD_ANSWER, "it redirects to what is not an address") from None


def _content_of(answer: httpx2.Response, most_bytes: int, deadline: float) -> tuple[bytes, bool]:
    """Read the body piece by piece, so that neither its size nor what it decompresses to is ever held whole."""
    coding = answer.headers.get("content-encoding", "").strip().lower()
    if coding not in DECODED_HERE:
        raise NotReached(Why.BAD_ANSWER, f"it is compressed in a way that is not read here: {excerpt(coding, 40)}")
    found = bytearray()
    try:
        for piece in answer.iter_bytes():
            found += piece[: most_bytes + 1 - len(found)]
            if len(found) > most_bytes:
                break
            if monotonic() > deadline:
                raise too_slow()
    except httpx2.DecodingError:
        raise NotReached(Why.BAD_ANSWER, "it cannot be decompressed") from None
    return bytes(found[:most_bytes]), len(found) > most_bytes
