"""What has to happen next to a run, and how one ends: decided from a snapshot, done by actions."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from governance.core.snapshot import CallFact, GateFact, RunFact, StepFact
from governance.core.states import InvocationState, PlanState, RunState, StepState

LONGEST_BACKOFF = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class StartPlanning:
    """Create planning job number `attempt`; a `received` run becomes `planning` with it."""

    run_id: str
    attempt: int


@dataclass(frozen=True, slots=True)
class ReleaseStep:
    """Make a pending or suspended step `ready`."""

    step_id: str


@dataclass(frozen=True, slots=True)
class StartStep:
    """Make a ready step `running` and create its job number `attempt`, in one transaction."""

    step_id: str
    attempt: int


@dataclass(frozen=True, slots=True)
class FinishRun:
    """End the run by this event of its machine; the reason is a sentence for people."""

    run_id: str
    event: Literal["succeed", "fail", "refuse"]
    reason: str


Move = StartPlanning | ReleaseStep | StartStep | FinishRun


def next_moves(run: RunFact, now: datetime) -> tuple[Move, ...]:
    """Return every move that is due: at most one per step, a finish alone, nothing for a final run (domain.md §2)."""
    if not run.is_open:
        return ()
    if overdue := _overdue(run, now):
        return (FinishRun(run.id, "fail", overdue),)
    if run.state in (RunState.RECEIVED, RunState.PLANNING):
        return _planning_moves(run, now)
    if run.state == RunState.HELD:
        return ()
    if finish := _finish(run):
        return (finish,)
    succeeded = {step.id for step in run.steps if step.state == StepState.SUCCEEDED}
    moves = (_step_move(run, step, succeeded, now) for step in run.steps)
    return tuple(move for move in moves if move)


def only_gates_since(run: RunFact) -> datetime | None:
    """Return since when nothing but waiting gates keeps this run open, or None if something else does.

    Such time does not count toward the wall clock (domain.md §2, deadlines).
    """
    if run.state == RunState.HELD:
        return run.state_changed_at
    if run.state != RunState.RUNNING or not any(step.state == StepState.SUSPENDED for step in run.steps):
        return None
    if not all(_only_gates_keep(step) for step in run.steps):
        return None
    moments = [step.state_changed_at for step in run.steps]
    moments += [call.state_changed_at for step in run.steps for call in step.calls]
    return max(moments)


def deadline_on_release(run: RunFact, now: datetime) -> datetime | None:
    """Return the deadline that the run has once a gate is approved now: moved by the time spent waiting for gates only.

    `run` is the snapshot from before the approval.
    """
    since = only_gates_since(run)
    if run.deadline_at is None or since is None or since >= now:
        return run.deadline_at
    return run.deadline_at + (now - since)


def after_failed_attempt(
    retries: int, max_attempts: int, call_denied_this_attempt: bool
) -> Literal["retry", "fail", "refuse"]:
    """Decide what a failed attempt means for its step; `retries` were spent before it, `max_attempts` is the limit."""
    if call_denied_this_attempt:
        return "refuse"
    return "retry" if retries + 1 < max_attempts else "fail"


def backoff(retries: int, base: timedelta) -> timedelta:
    """Return how long to wait before the next attempt: doubling from `base`, at most ten minutes (or `base` if longer)."""
    if base >= LONGEST_BACKOFF:
        return base
    # The exponent is bounded as well: timedelta overflows long before a patient operator runs out of retries.
    return min(base * (1 << min(retries, 30)), LONGEST_BACKOFF)


@dataclass(frozen=True, slots=True)
class Ending:
    """Hold the ids of everything that ends together with a run or a step."""

    reject_plan: bool = False
    skip_steps: tuple[str, ...] = ()
    cancel_steps: tuple[str, ...] = ()
    cancel_calls: tuple[str, ...] = ()
    withdraw_gates: tuple[str, ...] = ()


def run_ending(run: RunFact) -> Ending:
    """Say what ends with a run that becomes failed, refused or cancelled, whatever still goes on in it.

    Steps that never started are skipped, the others cancelled; waiting gates are withdrawn; calls that were not begun are
    cancelled; a proposed or held plan is rejected. Running and unknown calls finish on their own.
    """
    open_steps = [step for step in run.steps if step.is_open]
    endings = [step_ending(step) for step in run.steps]
    plan_gate = (run.gate.id,) if run.gate and run.gate.is_waiting else ()
    return Ending(
        reject_plan=run.plan is not None and run.plan.state in (PlanState.PROPOSED, PlanState.HELD),
        skip_steps=tuple(step.id for step in open_steps if step.attempt == 0),
        cancel_steps=tuple(step.id for step in open_steps if step.attempt > 0),
        cancel_calls=tuple(call for each in endings for call in each.cancel_calls),
        withdraw_gates=plan_gate + tuple(gate for each in endings for gate in each.withdraw_gates),
    )


def step_ending(step: StepFact) -> Ending:
    """Say which of its calls and gates end with a step that becomes final."""
    return Ending(
        cancel_calls=tuple(call.id for call in step.calls if call.is_open and not call.is_under_way),
        withdraw_gates=tuple(gate.id for gate in _waiting_gates(step.calls)),
    )


def waits_over(run: RunFact, step: StepFact, now: datetime) -> bool:
    """Say whether everything that a suspended step waits for has come; its old job is another matter."""
    waits = step.waits_for
    if waits is None:
        return True
    if waits.frozen and (run.frozen or step.frozen):
        return False
    return not step.awaited_calls and (waits.until is None or waits.until <= now)


def _overdue(run: RunFact, now: datetime) -> str:
    if run.max_age_at is not None and run.max_age_at <= now:
        return "the run is older than a run may get"
    if run.deadline_at is not None and run.deadline_at <= now and only_gates_since(run) is None:
        return "the run took longer than a run may take"
    return ""


def _planning_moves(run: RunFact, now: datetime) -> tuple[Move, ...]:
    if run.planning_job is not None:
        return ()
    if run.planning_attempts >= run.limits.plan_attempts:
        if run.last_plan_refused:
            return (
                FinishRun(run.id, "refuse", f"none of {run.planning_attempts} attempts brought an acceptable plan"),
            )
        ended = f": {run.planning_error}" if run.planning_error else ""
        return (FinishRun(run.id, "fail", f"planning ended {run.planning_attempts} times without a plan{ended}"),)
    if run.frozen or not _passed(run.planning_not_before, now):
        return ()
    return (StartPlanning(run.id, run.planning_attempts + 1),)


def _finish(run: RunFact) -> FinishRun | None:
    # A step that ended badly ends its run in the same transaction; this is the twin that finds one left behind.
    refused = [step for step in run.steps if step.state == StepState.REFUSED]
    broken = [step for step in run.steps if step.state in _BROKEN]
    for step in refused + broken:
        why = step.last_error or f"it was {step.state}"
        return FinishRun(run.id, "refuse" if refused else "fail", f"step {step.sequence}: {why}")
    done = all(step.state == StepState.SUCCEEDED for step in run.steps)
    if done and not any(call.is_under_way for step in run.steps for call in step.calls):
        return FinishRun(run.id, "succeed", "every step succeeded")
    return None


_BROKEN = (StepState.FAILED, StepState.SKIPPED, StepState.CANCELLED)


def _step_move(run: RunFact, step: StepFact, succeeded: set[str], now: datetime) -> Move | None:
    if step.live_job is not None:
        return None
    match step.state:
        case StepState.PENDING if succeeded.issuperset(step.depends_on):
            return ReleaseStep(step.id)
        case StepState.SUSPENDED if waits_over(run, step, now):
            return ReleaseStep(step.id)
        case StepState.READY if _passed(step.not_before, now) and not run.frozen and not step.frozen:
            return StartStep(step.id, step.attempt + 1)
    return None


def _only_gates_keep(step: StepFact) -> bool:
    if any(call.is_under_way or call.state == InvocationState.RELEASED for call in step.calls):
        return False
    if step.state == StepState.SUSPENDED:
        waits = step.waits_for
        is_gated = bool(step.awaited_calls) and all(call.waiting_gate for call in step.awaited_calls)
        return is_gated and step.live_job is None and not (waits and (waits.until or waits.frozen))
    return step.state in (StepState.PENDING, StepState.SUCCEEDED)


def _waiting_gates(calls: tuple[CallFact, ...]) -> Iterator[GateFact]:
    # Not only those of held calls: whatever went wrong before, no gate of something final may keep asking people.
    return (call.gate for call in calls if call.gate and call.gate.is_waiting)


def _passed(moment: datetime | None, now: datetime) -> bool:
    return moment is None or moment <= now
