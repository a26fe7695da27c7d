"""Work that was reserved: what to perform, under which lease, until when; and the payload that people consent to."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from time import monotonic
from typing import Any
from uuid import UUID

from django.utils.timezone import now as clock

from audit.core.codes import Code
from audit.core.refusals import Fault
from governance.connections import ConnectionFact
from governance.core.egress import NOWHERE, Egress
from governance.core.states import OPEN_RUN, InvocationState
from governance.models import Gate, Run, SkillInvocation

LEASE_GRACE = timedelta(seconds=30)
LEASE_MARGIN_S = 10.0


@dataclass(frozen=True, slots=True)
class Work:
    """A call to perform now: exactly this input, under this lease. `reserved_at` is a moment of `time.monotonic()`, in s."""

    invocation_id: UUID
    lease_id: UUID
    workspace_id: UUID
    run_id: UUID
    step_id: UUID
    skill: str
    connection: str
    input: Mapping[str, Any]
    taint: frozenset[str]
    maskers: frozenset[str]
    timeout_s: int
    egress: Egress = NOWHERE
    output_schema: Mapping[str, Any] = field(default_factory=dict)
    reserved_at: float = field(default_factory=monotonic)

    @property
    def deadline(self) -> float:
        """Return when the connector must be done: well before the lease is over, however long the call had to queue."""
        return min(
            monotonic() + self.timeout_s,
            self.reserved_at + self.timeout_s + LEASE_GRACE.total_seconds() - LEASE_MARGIN_S,
        )


@dataclass(frozen=True, slots=True)
class CallAnswer:
    """What became of a call: `state` is the invocation's, or `refused` when there is none; `work` is there to be performed."""

    state: str
    invocation: SkillInvocation | None = None
    gate: Gate | None = None
    code: Code | None = None
    reason: str = ""
    faults: tuple[Fault, ...] = ()
    retry_after_s: float | None = None
    work: Work | None = None


def payload_of(
    run: Run,
    step_id: UUID,
    call_id: str,
    skill: str,
    skill_digest: str,
    value: Mapping[str, Any],
    connection: ConnectionFact | None = None,
) -> dict[str, Any]:
    """Return the exact thing that people consent to; its digest binds their consent (policy.md, section 4)."""
    return {
        "v": 1,
        "workspace": str(run.workspace_id),
        "run": str(run.pk),
        "step": str(step_id),
        "call_id": call_id,
        "skill": skill,
        "skill_digest": skill_digest,
        "connection": connection.as_json() if connection else "",
        "input": value,
    }


def is_still_reserved(work: Work) -> bool:
    """Say whether a call that had to queue is still to be performed: under its lease, in a run that is open."""
    return SkillInvocation.objects.filter(
        pk=work.invocation_id,
        state=InvocationState.RUNNING,
        lease_id=work.lease_id,
        lease_until__gt=clock(),
        run__state__in=OPEN_RUN,
    ).exists()
