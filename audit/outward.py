"""Send something out over HTTP: encrypted, bounded in time, to where the settings say and nowhere else."""

import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

import httpx2

TIMEOUT_S = 5.0
ANSWER_BYTES = 65536


class NotDelivered(Exception):
    """It was not taken; the sentence says why and never holds an address, a header or what was sent."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the other side said: its status and the beginning of its body."""

    status: int
    media_type: str
    body: bytes


def trust(ca_file: Path | None) -> ssl.SSLContext:
    """Return whom to believe: the authorities in a file, or those of the system. Certificates are always verified."""
    try:
        context = ssl.create_default_context(cafile=str(ca_file) if ca_file else None)
    except (OSError, ssl.SSLError):
        raise NotDelivered(f"the certificates in {ca_file} cannot be read") from None
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def trust_problem(ca_file: Path | None) -> str:
    """Say why a file of certificates cannot be used, or ""."""
    try:
        trust(ca_file)
    except NotDelivered as problem:
        return str(problem)
    return ""


@contextmanager
def connected(ca_file: Path | None, *, timeout_s: float = TIMEOUT_S) -> Iterator[httpx2.Client]:
    """Open a client that heeds no proxy, no .netrc and no redirect."""
    with httpx2.Client(verify=trust(ca_file), trust_env=False, follow_redirects=False, timeout=timeout_s) as client:
        yield client


def post(client: httpx2.Client, url: str, body: bytes, headers: Mapping[str, str]) -> Answer:
    """Post and return the answer, or raise NotDelivered unless it is a success (2xx)."""
    deadline = monotonic() + 2 * (client.timeout.read or TIMEOUT_S)
    try:
        with client.stream("POST", url, content=body, headers={**headers, "accept-encoding": "identity"}) as response:
            said = b""
            for piece in response.iter_raw(ANSWER_BYTES):
                said += piece
                # Enough was said: what else comes is not waited for.
                if len(said) >= ANSWER_BYTES or monotonic() > deadline:
                    break
            status, media_type = response.status_code, response.headers.get("content-type", "")
    except httpx2.TimeoutException:
        raise NotDelivered("the other side does not answer in time") from None
    except (httpx2.HTTPError, httpx2.InvalidURL) as error:
        raise NotDelivered(f"the other side cannot be reached ({type(error).__name__})") from None
    if not 200 <= status < 300:
        raise NotDelivered(f"the other side answers {status}")
    return Answer(status, media_type.partition(";")[0].strip().lower(), said[:ANSWER_BYTES])
