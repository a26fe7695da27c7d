"""Names in a trace, all made from ids that are written down: whoever knows a run knows its trace."""

from hashlib import sha256
from uuid import UUID


def trace_id(run_id: UUID) -> int:
    """Return the trace of a run: its own id, whose lower half is as random as W3C Trace Context asks."""
    return run_id.int


def span_id(kind: str, key: object) -> int:
    """Return the span of one thing: 64 bits, never zero."""
    return int.from_bytes(sha256(f"{kind}:{key}".encode()).digest()[:8]) or 1


def job_span_id(job_name: str) -> int:
    """Return the span of one attempt of an agent."""
    return span_id("job", job_name)


def traceparent(run_id: UUID, job_name: str, *, is_recorded: bool) -> str:
    """Return the W3C header that makes an agent's own spans children of its job."""
    return f"00-{trace_id(run_id):032x}-{job_span_id(job_name):016x}-{'01' if is_recorded else '00'}"
