"""The one id that a request, its ledger entries and its log lines share."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from audit.core.ids import uuid7

MAX_LENGTH = 64

_WELL_FORMED = re.compile(rf"[A-Za-z0-9._:-]{{1,{MAX_LENGTH}}}")
_current: ContextVar[str] = ContextVar("correlation_id", default="")


def current() -> str:
    """Return the id of the request that is being served, or "" outside one."""
    return _current.get()


def new_id() -> str:
    """Make an id for a request that brought none."""
    return str(uuid7())


@contextmanager
def bind(given: str = "") -> Iterator[str]:
    """Serve under this id, or under a new one if it is empty or could harm a log line; yields the id in force."""
    chosen = given if _WELL_FORMED.fullmatch(given) else new_id()
    token = _current.set(chosen)
    try:
        yield chosen
    finally:
        _current.reset(token)
