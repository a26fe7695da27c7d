"""One bounded request to a connected service, by the one way out: no redirects, no more time or bytes than told."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx2
from django.conf import settings

from gateway.egress.addresses import Goal, goal_of
from gateway.egress.refused import NotReached as Unreached
from gateway.egress.refused import Why
from gateway.egress.transport import Transport
from governance.core.egress import HTTP, Egress, Target

MOST_BYTES = 8 * 1024**2


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back; header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class NotReached(Exception):
    """No whole answer came. `was_sent` says whether the other side may have heard the request."""

    def __init__(self, message: str, *, was_sent: bool) -> None:
        super().__init__(message)
        self.was_sent = was_sent


def send(
    method: str,
    url: str,
    *,
    headers: Mapping[str, str],
    deadline: float,
    params: Mapping[str, str] | None = None,
    json: Any = None,
    most_bytes: int = MOST_BYTES,
    may_be_inside: bool = False,
) -> Answer:
    """Send a request and return the answer, whatever its status; `deadline` is a moment of `time.monotonic()`, in s.

    An address that a setting of the operator's names `may_be_inside`; others only if WORKA_INTERNAL_HOSTS names the host.
    Raises NotReached, whose message never quotes what was sent.
    """
    try:
        transport = Transport(_where(goal_of(url), may_be_inside=may_be_inside), deadline=deadline)
        # The transport ends every wait at the deadline.
        with httpx2.Client(transport=transport, trust_env=False, timeout=None, follow_redirects=False) as client:
            request = client.build_request(method, url, headers=dict(headers), params=params, json=json)
            response = client.send(request, stream=True)
            try:
                body = _read(response, deadline, most_bytes)
            finally:
                response.close()
    except Unreached as error:
        inside = "; the operator names hosts inside the network in WORKA_INTERNAL_HOSTS"
        raise NotReached(
            f"{error}{inside if error.why == Why.NOT_PUBLIC else ''}", was_sent=error.may_be_heard
        ) from None
    except (httpx2.HTTPError, httpx2.InvalidURL, UnicodeError, ValueError) as error:
        # By its kind only: a protocol error may quote the header that it did not like.
        raise NotReached(
            f"the request failed ({type(error).__name__})", was_sent=isinstance(error, httpx2.DecodingError)
        ) from None
    return Answer(response.status_code, {name.lower(): value for name, value in response.headers.items()}, body)


def _where(goal: Goal, *, may_be_inside: bool) -> Egress:
    """Return what a connection may reach: the place that whoever connected it has named, and no other."""
    is_inside = may_be_inside or goal.host in settings.WORKA_INTERNAL_HOSTS
    return Egress((("connection", (Target(goal.host, goal.scheme == HTTP and is_inside, is_inside, (goal.port,)),)),))


def _read(response: httpx2.Response, deadline: float, most_bytes: int) -> bytes:
    parts, size = [], 0
    for part in response.iter_bytes():
        size += len(part)
        if size > most_bytes:
            raise NotReached(f"the answer has more than {most_bytes:,} bytes", was_sent=True)
        if time.monotonic() > deadline:
            raise NotReached("the answer took too long", was_sent=True)
        parts.append(part)
    return b"".join(parts)
