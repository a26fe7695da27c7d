"""Every state of everything we govern, and every move between them."""

from collections.abc import Iterable
from enum import StrEnum

from audit.core.machine import Machine


def _from(states: Iterable[StrEnum], event: str, to: StrEnum) -> dict[tuple[StrEnum, str], StrEnum]:
    return {(state, event): to for state in states}


class RunState(StrEnum):
    RECEIVED = "received"
    PLANNING = "planning"
    HELD = "held"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    REFUSED = "refused"
    CANCELLED = "cancelled"


OPEN_RUN = (RunState.RECEIVED, RunState.PLANNING, RunState.HELD, RunState.RUNNING)
RUN = Machine(
    "run",
    {RunState.RECEIVED: "receive"},
    {
        (RunState.RECEIVED, "plan"): RunState.PLANNING,
        (RunState.PLANNING, "hold"): RunState.HELD,
        (RunState.PLANNING, "release"): RunState.RUNNING,
        (RunState.HELD, "release"): RunState.RUNNING,
        (RunState.RUNNING, "succeed"): RunState.SUCCEEDED,
        **_from(OPEN_RUN, "refuse", RunState.REFUSED),
        **_from(OPEN_RUN, "fail", RunState.FAILED),
        **_from(OPEN_RUN, "cancel", RunState.CANCELLED),
    },
)


class PlanState(StrEnum):
    PROPOSED = "proposed"
    HELD = "held"
    ACCEPTED = "accepted"
    REJECTED = "rejected"


PLAN = Machine(
    "plan",
    {PlanState.PROPOSED: "propose"},
    {
        (PlanState.PROPOSED, "accept"): PlanState.ACCEPTED,
        (PlanState.PROPOSED, "hold"): PlanState.HELD,
        (PlanState.HELD, "accept"): PlanState.ACCEPTED,
        **_from((PlanState.PROPOSED, PlanState.HELD), "reject", PlanState.REJECTED),
    },
)


class StepState(StrEnum):
    PENDING = "pending"
    READY = "ready"
    RUNNING = "running"
    SUSPENDED = "suspended"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    REFUSED = "refused"
    SKIPPED = "skipped"
    CANCELLED = "cancelled"


OPEN_STEP = (StepState.PENDING, StepState.READY, StepState.RUNNING, StepState.SUSPENDED)
STEP = Machine(
    "step",
    {StepState.PENDING: "create"},
    {
        (StepState.PENDING, "release"): StepState.READY,
        (StepState.READY, "start"): StepState.RUNNING,
        (StepState.RUNNING, "succeed"): StepState.SUCCEEDED,
        (StepState.RUNNING, "fail"): StepState.FAILED,
        (StepState.RUNNING, "retry"): StepState.READY,
        (StepState.RUNNING, "suspend"): StepState.SUSPENDED,
        (StepState.SUSPENDED, "release"): StepState.READY,
        **_from((StepState.READY, StepState.RUNNING, StepState.SUSPENDED), "refuse", StepState.REFUSED),
        **_from((StepState.PENDING, StepState.READY, StepState.SUSPENDED), "skip", StepState.SKIPPED),
        **_from(OPEN_STEP, "cancel", StepState.CANCELLED),
    },
)


class GateState(StrEnum):
    ALLOWED = "allowed"
    DENIED = "denied"
    WAITING = "waiting"
    APPROVED = "approved"
    REJECTED = "rejected"
    EXPIRED = "expired"
    WITHDRAWN = "withdrawn"


GATE = Machine(
    "gate",
    {GateState.ALLOWED: "allow", GateState.DENIED: "deny", GateState.WAITING: "hold"},
    {
        (GateState.WAITING, "approve"): GateState.APPROVED,
        (GateState.WAITING, "reject"): GateState.REJECTED,
        (GateState.WAITING, "expire"): GateState.EXPIRED,
        (GateState.WAITING, "withdraw"): GateState.WITHDRAWN,
    },
)


class InvocationState(StrEnum):
    REQUESTED = "requested"
    HELD = "held"
    RELEASED = "released"
    RUNNING = "running"
    UNKNOWN = "unknown"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    DENIED = "denied"
    CANCELLED = "cancelled"


OPEN_INVOCATION = (
    InvocationState.REQUESTED,
    InvocationState.HELD,
    InvocationState.RELEASED,
    InvocationState.RUNNING,
    InvocationState.UNKNOWN,
)
INVOCATION = Machine(
    "invocation",
    {InvocationState.REQUESTED: "request"},
    {
        (InvocationState.REQUESTED, "deny"): InvocationState.DENIED,
        (InvocationState.REQUESTED, "start"): InvocationState.RUNNING,
        (InvocationState.REQUESTED, "hold"): InvocationState.HELD,
        (InvocationState.HELD, "release"): InvocationState.RELEASED,
        (InvocationState.RELEASED, "start"): InvocationState.RUNNING,
        **_from((InvocationState.HELD, InvocationState.RELEASED), "deny", InvocationState.DENIED),
        **_from(
            (InvocationState.REQUESTED, InvocationState.HELD, InvocationState.RELEASED),
            "cancel",
            InvocationState.CANCELLED,
        ),
        (InvocationState.RUNNING, "succeed"): InvocationState.SUCCEEDED,
        (InvocationState.RUNNING, "fail"): InvocationState.FAILED,
        (InvocationState.RUNNING, "reset"): InvocationState.REQUESTED,
        (InvocationState.RUNNING, "requeue"): InvocationState.RELEASED,
        (InvocationState.RUNNING, "lose"): InvocationState.UNKNOWN,
        (InvocationState.UNKNOWN, "settle_succeeded"): InvocationState.SUCCEEDED,
        (InvocationState.UNKNOWN, "settle_failed"): InvocationState.FAILED,
    },
)


class ManifestState(StrEnum):
    DRAFT = "draft"
    SUBMITTED = "submitted"
    ACTIVE = "active"
    RETIRED = "retired"
    REJECTED = "rejected"


MANIFEST = Machine(
    "manifest",
    {ManifestState.DRAFT: "draft"},
    {
        (ManifestState.DRAFT, "submit"): ManifestState.SUBMITTED,
        (ManifestState.SUBMITTED, "activate"): ManifestState.ACTIVE,
        (ManifestState.SUBMITTED, "reject"): ManifestState.REJECTED,
        (ManifestState.ACTIVE, "retire"): ManifestState.RETIRED,
    },
)


class ModelCallState(StrEnum):
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    LEFT = "left"
    LOST = "lost"


MODEL_CALL = Machine(
    "llm_call",
    {ModelCallState.RUNNING: "start"},
    {
        (ModelCallState.RUNNING, "succeed"): ModelCallState.SUCCEEDED,
        (ModelCallState.RUNNING, "fail"): ModelCallState.FAILED,
        # The agent went away in the middle of an answer.
        (ModelCallState.RUNNING, "leave"): ModelCallState.LEFT,
        (ModelCallState.RUNNING, "lose"): ModelCallState.LOST,
    },
)
