"""Runs end whole: nothing of an ended run or step is left open behind it."""

from collections.abc import Iterable
from typing import Any

from django.utils.timezone import now

from audit.principals import SYSTEM, Principal
from audit.transition import transition
from governance.actions.budgets import spend_reservation
from governance.core.states import GateState, InvocationState, PlanState, StepState
from governance.models import Gate, Plan, Run, SkillInvocation, Step

NEVER_STARTED = (StepState.PENDING, StepState.READY)
UNDER_WAY = (StepState.RUNNING, StepState.SUSPENDED)
NOT_PERFORMED = (InvocationState.REQUESTED, InvocationState.HELD, InvocationState.RELEASED)


def end_run(run: Run, event: str, *, by: Principal, because: str) -> None:
    """End a locked run (`fail`, `refuse` or `cancel`) with all that is open in it; running calls finish on their own."""
    ended: dict[str, Any] = {"finished_at": now(), "reason": because}
    transition(run, event, by=by, because=because, **ended)
    why = f"the run is {run.state}"
    for plan in Plan.objects.filter(run=run, state__in=[PlanState.PROPOSED, PlanState.HELD]).select_for_update(
        no_key=True
    ):
        transition(plan, "reject", by=SYSTEM, because=why)
    steps = Step.objects.filter(run=run).select_for_update(no_key=True)
    for step in steps:
        if step.state in NEVER_STARTED and step.attempt == 0:
            transition(step, "skip", by=SYSTEM, because=why, completed_at=now())
        elif step.state in (*NEVER_STARTED, *UNDER_WAY):
            transition(step, "cancel", by=SYSTEM, because=why, completed_at=now())
    close_calls(SkillInvocation.objects.filter(run=run), because=why)
    withdraw_gates(Gate.objects.filter(run=run), because=why)


def end_step(step: Step, event: str, *, by: Principal, because: str, **changes: Any) -> None:
    """Make a locked step final with all that is open in it; running calls finish on their own."""
    transition(step, event, by=by, because=because, completed_at=now(), waits_for=None, **changes)
    why = f"the step is {step.state}"
    close_calls(SkillInvocation.objects.filter(step=step), because=why)
    withdraw_gates(Gate.objects.filter(step=step), because=why)


def refuse_step_and_run(run: Run, step: Step, *, by: Principal, because: str) -> None:
    """End a locked step and its run as refused, in this transaction."""
    if not step.is_final:
        end_step(step, "refuse", by=by, because=because)
    if run.is_open:
        end_run(run, "refuse", by=by, because=because)


def close_calls(calls: Iterable[SkillInvocation], *, because: str) -> None:
    """Cancel the calls that were never performed."""
    for call in calls.filter(state__in=NOT_PERFORMED).select_for_update(no_key=True):  # type: ignore[attr-defined]
        transition(call, "cancel", by=SYSTEM, because=because, finished_at=now())
        spend_reservation(call)


def withdraw_gates(gates: Iterable[Gate], *, because: str) -> None:
    """Withdraw the questions that nobody needs to answer any more."""
    for gate in gates.filter(state=GateState.WAITING).select_for_update(no_key=True):  # type: ignore[attr-defined]
        transition(gate, "withdraw", by=SYSTEM, because=because)
