"""The agent's wire: HTTP over a Unix socket or TLS, patient with a gateway that restarts.

The standard library's client, on purpose: every step is a new process in a sandbox, and importing httpx2 up to its
first request costs 340 ms there against 60 ms for this (2 cores, warm disk); a run has five such processes.
"""

import http.client
import json
import os
import socket
import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, urlsplit

from worka.errors import ApiError, Misconfigured, Unreachable

PATIENCE_S = 90.0
"""How long a gateway may be away: it is restarted for an upgrade, and no work is lost over that."""

BUSY_S = 60.0
"""How long one call may be put off by 429 or a lock; what takes longer is a reason to suspend."""

FAILED_S = 15.0
"""How long a skill that failed without any effect is tried again, when the gateway says that this was not its last try."""

MAY_PASS = frozenset({409, 429, 502, 503})

LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


class UnixConnection(http.client.HTTPConnection):
    """An HTTP connection to a Unix socket. The path is looked up at each connect, so a restarted server is found."""

    def __init__(self, path: str, *, timeout: float) -> None:
        super().__init__("gateway", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        """Open the socket, or raise OSError."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


@dataclass(frozen=True, slots=True)
class Answer:
    """One HTTP answer, read whole."""

    status: int
    headers: Mapping[str, str]
    content: bytes

    @property
    def is_success(self) -> bool:
        return 200 <= self.status < 300

    def json(self) -> dict[str, Any]:
        """Return the body, which must be a JSON object, or raise Unreachable: then this is not the gateway."""
        try:
            body = json.loads(self.content) if self.content else {}
        except ValueError:
            body = None
        if not isinstance(body, dict):
            raise Unreachable("the answer is no JSON object: something else than the gateway is listening there")
        return body

    def refusal(self) -> ApiError:
        """Return the error that this answer stands for."""
        return ApiError.from_answer(self.status, self.headers, self.content)


class Wire:
    """Sends requests with a token and repeats what may be repeated. Not for two threads: each takes its own."""

    def __init__(
        self,
        url: str,
        token: str,
        *,
        traceparent: str = "",
        timeout_s: float = 30.0,
        patience_s: float = PATIENCE_S,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._url = url
        self._headers = {"Authorization": f"Bearer {token}", "Accept": "application/json", "User-Agent": "worka-agent"}
        if traceparent:
            self._headers["traceparent"] = traceparent
        self._timeout_s = timeout_s
        self._patience_s = patience_s
        self._sleep = sleep
        self._clock = clock
        self._base, self._connection = _connection(url, timeout_s)

    def another(self) -> "Wire":
        """Return a wire to the same place with a connection of its own, for another thread."""
        token = self._headers["Authorization"].removeprefix("Bearer ")
        return Wire(self._url, token, traceparent=self._headers.get("traceparent", ""), timeout_s=self._timeout_s,
                    patience_s=self._patience_s, sleep=self._sleep, clock=self._clock)  # fmt: skip

    def ask(
        self, method: str, path: str, *, json_body: Any = None, body: bytes | None = None, content_type: str = "",
        wait_s: float = 0.0,
    ) -> Answer:  # fmt: skip
        """Send one request and return its answer, whatever its status; repeat while nobody listens or all are busy.

        `wait_s` is what the server was asked to wait before it answers. Raises Unreachable.
        """
        headers = dict(self._headers)
        if json_body is not None:
            body = json.dumps(json_body, ensure_ascii=False, allow_nan=False).encode()
            content_type = "application/json"
        if content_type:
            headers["Content-Type"] = content_type
        spent: dict[str, tuple[int, float]] = {}
        alone_since, pause_s = None, 0.1
        while True:
            try:
                answer = self._send(method, path, body, headers, wait_s)
            except (OSError, http.client.HTTPException) as error:
                if isinstance(error, ssl.SSLCertVerificationError):
                    raise Unreachable(f"the gateway's certificate is not trusted: {error.verify_message}") from None
                alone_since = self._clock() if alone_since is None else alone_since
                if self._clock() - alone_since + pause_s > self._patience_s:
                    away = f"{type(error).__name__}: {error}"
                    raise Unreachable(f"the gateway was away for {self._patience_s:.0f} s ({away})") from None
                self._sleep(pause_s)
                pause_s = min(2.0, pause_s * 2)
                continue
            alone_since = None
            if answer.status not in MAY_PASS:
                return answer
            code = answer.refusal().code
            repeats, waited_s = spent.get(code, (0, 0.0))
            pause = repeat_after_s(answer, repeats, waited_s, self._patience_s)
            if pause is None:
                return answer
            self._sleep(pause)
            spent[code] = (repeats + 1, waited_s + pause)

    def close(self) -> None:
        """Close the connection; the next request opens another."""
        self._connection.close()

    def _send(self, method: str, path: str, body: bytes | None, headers: dict[str, str], wait_s: float) -> Answer:
        fresh = self._connection.sock is None
        try:
            return self._exchange(method, path, body, headers, wait_s)
        except (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError):
            if fresh:
                raise
            # A kept connection that the server has closed meanwhile says nothing about the server: try a new one at once.
            return self._exchange(method, path, body, headers, wait_s)

    def _exchange(self, method: str, path: str, body: bytes | None, headers: dict[str, str], wait_s: float) -> Answer:
        try:
            if self._connection.sock is None:
                self._connection.connect()
            self._connection.sock.settimeout(self._timeout_s + wait_s)
            self._connection.request(method, self._base + path, body, headers)
            response = self._connection.getresponse()
            return Answer(response.status, dict(response.getheaders()), response.read())
        except BaseException:
            self._connection.close()
            raise


def repeat_after_s(answer: Answer, repeats: int, waited_s: float, patience_s: float = PATIENCE_S) -> float | None:
    """Say how long to wait before the same request is sent again, in seconds, or None when the answer stands.

    `repeats` and `waited_s` are what this request has spent on the same refusal. The gateway keeps final outcomes under
    their call id, so a repeat can never do a thing twice; an effect that is not known is still never asked for again.
    """
    told = {name.lower(): value for name, value in answer.headers.items()}
    if answer.status not in MAY_PASS or told.get("x-should-retry") == "false":
        return None
    refusal = answer.refusal()
    wanted = refusal.retry_after_s
    pause = max(0.1, wanted) if wanted is not None else min(5.0, 0.5 * 2**repeats)
    match answer.status, refusal.code:
        case 502, "skill_failed":
            allowance = FAILED_S if refusal.body.get("final") is False else 0
        case 502 | 503, _:
            allowance = patience_s
        case 409, code if code != "lock_conflict":
            allowance = 0
        case 429, "budget_exceeded":
            allowance = 0
        case _:
            allowance = BUSY_S
    return pause if waited_s + pause <= allowance else None


def _connection(url: str, timeout_s: float) -> tuple[str, http.client.HTTPConnection]:
    parts = urlsplit(url)
    if parts.scheme == "http+unix":
        # Both spellings are about: http+unix:///run/door.sock and http+unix://%2Frun%2Fdoor.sock
        path = unquote(parts.netloc) or unquote(parts.path)
        if not path.startswith("/"):
            raise Misconfigured(f"{url!r} names no socket: it must be http+unix:// and an absolute path")
        return "", UnixConnection(path, timeout=timeout_s)
    base, host, port = parts.path.rstrip("/"), parts.hostname or "", parts.port
    if parts.scheme == "https" and host:
        return base, http.client.HTTPSConnection(host, port, timeout=timeout_s, context=ssl.create_default_context())
    if parts.scheme == "http" and host in LOOPBACK:
        return base, http.client.HTTPConnection(host, port, timeout=timeout_s)
    raise Misconfigured(f"{url!r} is no place for a token: use https:// or http+unix://")


def multipart(fields: Mapping[str, str], *, name: str, media_type: str, content: bytes) -> tuple[bytes, str]:
    """Return a multipart/form-data body with `fields` and one part `file`, and its content type."""
    boundary = f"worka-{os.urandom(16).hex()}"
    parts = [
        f'--{boundary}\r\nContent-Disposition: form-data; name="{field}"\r\n\r\n{value}\r\n'.encode()
        for field, value in fields.items()
    ]
    filename = name.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")
    head = f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{filename}"\r\nContent-Type: {media_type}\r\n\r\n'
    return b"".join(
        [*parts, head.encode(), content, f"\r\n--{boundary}--\r\n".encode()]
    ), f"multipart/form-data; boundary={boundary}"
