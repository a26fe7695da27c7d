"""What can go wrong between a program and Worka: not configured, not reached, or refused."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

CONTROLS = {code: None for code in (*range(32), *range(127, 160)) if code != 10}
"""A table for `str.translate` that drops what a terminal could act upon, and keeps line breaks."""


class WorkaError(Exception):
    """Anything that this package raises."""


class Misconfigured(WorkaError):
    """A setting is missing or cannot be read; the message says which and what to do."""


class Unreachable(WorkaError):
    """The server could not be reached, or did not answer, for as long as it was worth waiting."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One of several things wrong with what was sent: where, which, and in words."""

    path: str
    code: str
    message: str

    @classmethod
    def from_json(cls, body: Any) -> Self:
        """Read one entry of a problem's `errors`; what is missing is empty."""
        entry = body if isinstance(body, Mapping) else {}
        return cls(str(entry.get("path", "")), str(entry.get("code", "")), str(entry.get("message", "")))

    def __str__(self) -> str:
        return f"{self.path or '/'}: {self.message} ({self.code})"


class ApiError(WorkaError):
    """The server understood and said no: an RFC 9457 problem, `code` for programs and `detail` for people."""

    def __init__(self, status: int, body: Mapping[str, Any], *, retry_after_s: float | None = None) -> None:
        self.status = status
        self.body = dict(body)
        self.title = str(body.get("title") or "")
        self.code = str(body.get("code") or f"http_{status}")
        self.detail = str(body.get("detail") or self.title or f"the server answered {status}")
        self.recovery = str(body.get("recovery") or "")
        self.correlation_id = str(body.get("correlation_id") or "")
        errors = body.get("errors")
        self.faults = tuple(Fault.from_json(entry) for entry in errors) if isinstance(errors, list) else ()
        self.retry_after_s = retry_after_s
        super().__init__(f"{self.detail} ({self.code})")

    @classmethod
    def from_answer(cls, status: int, headers: Mapping[str, str], content: bytes) -> "ApiError":
        """Read a refusal off the wire; a body that is no problem document leaves the status alone to speak."""
        try:
            body = json.loads(content)
        except ValueError:
            body = {}
        kind = JobOver if status == 401 and isinstance(body, dict) and body.get("code") == "job_over" else cls
        return kind(status, body if isinstance(body, dict) else {}, retry_after_s=retry_after_s(headers))


class JobOver(ApiError):
    """The job behind this token is no longer wanted: the agent stops, and nothing it says counts any more."""


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Return the header `Retry-After` in seconds, or None when it is absent, a date or nonsense."""
    value = next((value for name, value in headers.items() if name.lower() == "retry-after"), "")
    return float(value) if value.isascii() and value.replace(".", "", 1).isdigit() else None
