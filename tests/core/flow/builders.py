"""Runs, steps, calls and gates as values, with everything a test does not speak of filled in."""

from datetime import UTC, datetime, timedelta
from typing import Any

from governance.core.quorum import Threshold, VoteFact
from governance.core.snapshot import CallFact, FrozenFact, GateFact, JobFact, PlanFact, RunFact, StepFact, Waits

NOW = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
OPERATORS = {"operators": frozenset({"2", "3"})}
NAMES = {"1": "requester", "2": "approver", "3": "operator"}


def before(**span: float) -> datetime:
    return NOW - timedelta(**span)


def after(**span: float) -> datetime:
    return NOW + timedelta(**span)


def vote(*persons: str, verdict: Any = "approve") -> VoteFact:
    return VoteFact(frozenset(persons), verdict)


def a_gate(**facts: Any) -> GateFact:
    base: dict[str, Any] = {
        "id": "gate-1", "state": "waiting", "what": "files.write", "thresholds": (Threshold("operators"),),
        "asked_at": before(minutes=5), "members": OPERATORS, "barred": frozenset({"1"}), "names": NAMES,
        "expires_at": after(hours=23),
    }  # fmt: skip
    return GateFact(**base | facts)


def a_call(**facts: Any) -> CallFact:
    base: dict[str, Any] = {
        "id": "call-1", "call_id": "write", "state": "running", "skill": "files.write",
        "state_changed_at": before(minutes=5),
    }  # fmt: skip
    return CallFact(**base | facts)


def a_held_call(**facts: Any) -> CallFact:
    return a_call(**{"state": "held", "gate": a_gate()} | facts)


def a_job(**facts: Any) -> JobFact:
    base: dict[str, Any] = {
        "name": "worka-1-1", "state": "running", "created_at": before(seconds=12), "last_sign_at": before(seconds=2),
    }  # fmt: skip
    return JobFact(**base | facts)


def a_step(sequence: int = 1, **facts: Any) -> StepFact:
    base: dict[str, Any] = {
        "id": f"step-{sequence}", "ref": f"s{sequence}", "sequence": sequence, "agent_name": "ernest",
        "objective": "Read the history", "state": "ready", "state_changed_at": before(minutes=10),
    }  # fmt: skip
    return StepFact(**base | facts)


def a_suspended_step(sequence: int = 1, **facts: Any) -> StepFact:
    base: dict[str, Any] = {
        "state": "suspended", "attempt": 1, "waits_for": Waits(calls=("write",)), "calls": (a_held_call(),),
    }  # fmt: skip
    return a_step(sequence, **base | facts)


def a_run(*steps: StepFact, **facts: Any) -> RunFact:
    base: dict[str, Any] = {
        "id": "run-1", "number": 142, "state": "running", "created_at": before(hours=1),
        "state_changed_at": before(minutes=30), "steps": steps, "plan": PlanFact("plan-1", 1, "accepted"),
    }  # fmt: skip
    return RunFact(**base | facts)


def a_planning_run(**facts: Any) -> RunFact:
    return a_run(**{"state": "planning", "plan": None} | facts)


def a_held_run(**facts: Any) -> RunFact:
    steps = (a_step(1, state="pending"), a_step(2, state="pending", depends_on=("step-1",)))
    base: dict[str, Any] = {"state": "held", "gate": a_gate(what="the plan"), "plan": PlanFact("plan-1", 1, "held")}
    return a_run(*steps, **base | facts)


FREEZE = FrozenFact("workspace default", "user:olga", "we look into an incident", before(minutes=3))
STOPPED = FrozenFact("agent ernest", "user:olga", "it misbehaves", before(minutes=3))
