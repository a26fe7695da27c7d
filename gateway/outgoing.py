"""One bounded request to a service outside: no proxy from the environment, no redirects, no more time or bytes than told."""

import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import httpx2

MOST_BYTES = 8 * 1024**2
CONNECT_S, SILENCE_S = 10.0, 30.0


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
) -> Answer:
    """Send a request and return the answer, whatever its status; `deadline` is a moment of `time.monotonic()`, in s.

    Raises NotReached, whose message never quotes what was sent.
    """
    left = deadline - time.monotonic()
    if left <= 0:
        raise NotReached("there was no time left", was_sent=False)
    timeout = httpx2.Timeout(min(left, SILENCE_S), connect=min(left, CONNECT_S))
    # Until a connection stands, nothing can have been heard.
    was_sent = False
    try:
        with httpx2.Client(trust_env=False, verify=_authorities(), timeout=timeout, follow_redirects=False) as client:
            request = client.build_request(method, url, headers=dict(headers), params=params, json=json)
            was_sent = True
            response = client.send(request, stream=True)
            try:
                body = _read(response, deadline, most_bytes)
            finally:
                response.close()
    except (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout, httpx2.UnsupportedProtocol):
        raise NotReached("it cannot be reached", was_sent=False) from None
    except httpx2.LocalProtocolError:
        raise NotReached("the request cannot be sent in this form", was_sent=False) from None
    except (httpx2.HTTPError, httpx2.InvalidURL, UnicodeError, ValueError) as error:
        # By its kind only: a protocol error may quote the header that it did not like.
        raise NotReached(f"the request failed ({type(error).__name__})", was_sent=was_sent) from None
    return Answer(response.status_code, {name.lower(): value for name, value in response.headers.items()}, body)


@cache
def _authorities() -> ssl.SSLContext:
    # Reading them takes a tenth of a second.
    return httpx2.create_ssl_context(trust_env=False)


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
