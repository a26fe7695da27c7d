"""The one kind of error that is meant for people: it was understood, and it was refused."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from audit.core.codes import Code


@dataclass(frozen=True, slots=True)
class Fault:
    """One of several things wrong with an input: where (JSON pointer or `line:column`), which, and in words."""

    path: str
    code: str
    message: str

    def as_json(self) -> dict[str, str]:
        return {"path": self.path, "code": self.code, "message": self.message}


class Refused(Exception):
    """Say no: `code` is for programs, the message for people, `recovery` is the way out.

    `faults` lists everything wrong with an input at once; `facts` carries what a program may want to know
    (a gate's id, a required scope); `retry_after_s` is in seconds.
    """

    code: Code = Code.BAD_REQUEST
    recovery: str = ""

    def __init__(
        self,
        message: str,
        *,
        code: Code | None = None,
        recovery: str | None = None,
        faults: Sequence[Fault] = (),
        facts: Mapping[str, Any] | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message)
        if code is not None:
            self.code = code
        if recovery is not None:
            self.recovery = recovery
        self.faults = tuple(faults)
        self.facts = dict(facts or {})
        self.retry_after_s = retry_after_s
