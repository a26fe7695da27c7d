"""Refusals as RFC 9457 problem details: one shape for REST and the agents' door."""

import math
from typing import Any

from django.db import OperationalError
from psycopg.errors import LockNotAvailable
from psycopg_pool import PoolTimeout

from audit import correlation
from audit.core.codes import Code
from audit.core.refusals import Refused

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER_S = 2
TYPE_PREFIX = "urn:worka:problem:"


def problem_of(refusal: Refused) -> dict[str, Any]:
    """Return the problem details of a refusal; `facts` stand beside the standard members."""
    code = Code(refusal.code)
    problem: dict[str, Any] = {
        "type": f"{TYPE_PREFIX}{code}",
        "title": code.replace("_", " ").capitalize(),
        "status": code.status,
        "detail": str(refusal),
        "code": str(code),
        **refusal.facts,
    }
    if refusal.recovery:
        problem["recovery"] = refusal.recovery
    if refusal.faults:
        problem["errors"] = [fault.as_json() for fault in refusal.faults]
    problem["correlation_id"] = correlation.current()
    return problem


def unavailable(error: OperationalError | PoolTimeout) -> Refused:
    """Return the refusal for a data base that could not do its part now: a lock held for too long, or no connection."""
    held = isinstance(error.__cause__, LockNotAvailable)
    why = "somebody else holds what this needs" if held else "the data base cannot be reached"
    return Refused(
        why,
        code=Code.UNAVAILABLE,
        recovery="Ask again in a moment, with the same key or call id.",
        retry_after_s=RETRY_AFTER_S,
    )


def headers_of(refusal: Refused) -> dict[str, str]:
    """Return the headers that go with a refusal."""
    headers = {}
    if refusal.retry_after_s is not None:
        headers["Retry-After"] = str(max(1, math.ceil(refusal.retry_after_s)))
    if refusal.code in (Code.UNAUTHORIZED, Code.JOB_OVER):
        headers["WWW-Authenticate"] = 'Bearer realm="worka"'
    return headers
