"""Move steps: release, start, checkpoint, finish, suspend, retry."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db import transaction
from django.utils.timezone import now

from audit.core.codes import Code
from audit.core.refusals import Refused
from audit.principals import SYSTEM
from audit.transition import transition
from governance.actions.attempts import attempt_failed, unconnected_calls
from governance.actions.decisions import as_denial, store_gate
from governance.actions.endings import end_step
from governance.actions.locks import lock_attempt, lock_run, lock_step
from governance.actions.taint import grow_taint
from governance.actions.wording import harmless, told
from governance.caller import Caller, JobOver
from governance.core.facts import Request
from governance.core.result import StepResult
from governance.core.states import InvocationState, RunState, StepState
from governance.gather import judge, maskers_of
from governance.models import Burn, Gate, Run, Skill, SkillInvocation, Step
from governance.payloads import seal_value

HIGHEST_SEQ = 2**31 - 1
# Whoever suspends may lose a race now and then; whoever does so again and again makes a loop that costs no retry.
MOST_EMPTY_WAITS = 3
# Calls that somebody else than the agent brings on.
AWAITED = (
    InvocationState.HELD,
    InvocationState.RELEASED,
    InvocationState.RUNNING,
    InvocationState.UNKNOWN,
)


@dataclass(frozen=True, slots=True)
class Finished:
    """What became of a result: `code` is None when it was accepted, else why it was not; the gate is there either way."""

    state: str
    gate: Gate | None = None
    code: Code | None = None
    reason: str = ""


@transaction.atomic
def release_step(step_id: UUID, *, because: str) -> bool:
    """Make a pending or suspended step ready; say whether it was this call that did."""
    run = lock_run(Step.objects.only("run_id").get(pk=step_id).run_id)
    step = lock_step(step_id)
    if run.state != RunState.RUNNING or step.state not in (StepState.PENDING, StepState.SUSPENDED):
        return False
    transition(step, "release", by=SYSTEM, because=because, waits_for=None)
    return True


def start_step(run: Run, step: Step, *, because: str) -> None:
    """Start the next attempt of a locked step; the caller makes its job in the same transaction.

    The step takes on the taint of the steps it depends on. Refuses with job_over when the run does not run.
    """
    if run.state != RunState.RUNNING:
        raise JobOver(f"the run is {run.state}")
    inherited = Step.objects.filter(pk__in=step.depends_on).values_list("taint", flat=True)
    grow_taint(step, (label for labels in inherited for label in labels))
    transition(
        step,
        "start",
        by=SYSTEM,
        because=because,
        attempt=step.attempt + 1,
        not_before=None,
        started_at=step.started_at or now(),
    )


@transaction.atomic
def keep_checkpoint(caller: Caller, *, seq: int, state: Any) -> None:
    """Replace the step's checkpoint; an older `seq` than the stored one is ignored, so that a repeat is harmless."""
    run, step = lock_attempt(caller)
    if step is None:
        raise Refused("a planner keeps no checkpoint", code=Code.FORBIDDEN)
    if not 0 <= seq <= HIGHEST_SEQ:
        raise Refused(f"`seq` is a number from 0 to {HIGHEST_SEQ}", code=Code.INVALID)
    if step.checkpoint_seq is not None and seq < step.checkpoint_seq:
        return
    sealed = seal_value(run.pk, step, "checkpoint", {"seq": seq, "state": state})
    Step.objects.filter(pk=step.pk).update(checkpoint=sealed, checkpoint_seq=seq)


@transaction.atomic
def finish_step(caller: Caller, result: StepResult) -> Finished:
    """Accept the result of an attempt: succeeded, failed, or suspended with what it waits for.

    A result never meets a freeze; `calls_open` says that a call of it is still running or unknown.
    """
    run, step = lock_attempt(caller)
    if step is None:
        raise Refused("a planner hands in a plan, not a result", code=Code.FORBIDDEN)
    request, decision, micros = judge(caller, run, step, "step.finish")
    if decision.effect != "allow":
        gate = store_gate(caller, run, step, request, decision, subject=result.status, decision_us=micros)
        return Finished("refused", gate, Code.POLICY_DENIED, decision.reason)
    is_empty = result.status == "suspended" and _waits_for_nothing(step, result, request)
    problem = _problem(step, result, is_empty=is_empty)
    if problem is not None:
        code, reason = problem
        gate = store_gate(
            caller, run, step, request, as_denial(decision, code, reason), subject=result.status, decision_us=micros
        )
        return Finished("refused", gate, code, reason)
    gate = store_gate(caller, run, step, request, decision, subject=result.status, decision_us=micros)
    summary = told(result.summary, maskers_of(run.workspace_id))
    match result.status:
        case "succeeded":
            end_step(
                step,
                "succeed",
                by=caller.principal,
                because=summary or "done",
                last_error="",
                **_stored(run, step, result),
            )
        case "suspended":
            waits = {
                "calls": list(result.waits_for),
                "until": result.until and result.until.isoformat(),
                "frozen": result.frozen,
            }
            transition(
                step,
                "suspend",
                by=caller.principal,
                because=summary or "waits",
                waits_for=waits,
                empty_waits=step.empty_waits + is_empty,
            )
        case _:
            attempt_failed(
                run, step, caller.job_name, Burn.Kind.JOB_FAILED, result.summary or "the agent gave up", caller.agent
            )
    return Finished(step.state, gate)


@transaction.atomic
def fail_attempt(step_id: UUID, attempt: int, *, job_name: str, kind: str, reason: str) -> None:
    """Spend a retry on an attempt whose job ended without an accepted result, and burn it; an older attempt changes nothing."""
    run = lock_run(Step.objects.only("run_id").get(pk=step_id).run_id)
    step = lock_step(step_id)
    if step.state == StepState.RUNNING and step.attempt == attempt:
        attempt_failed(run, step, job_name, kind, reason, step.agent_name)


def _problem(step: Step, result: StepResult, *, is_empty: bool) -> tuple[Code, str] | None:
    calls = {call.call_id: call.state for call in SkillInvocation.objects.filter(step=step).only("call_id", "state")}
    if result.status == "succeeded":
        open_ = sorted(
            name for name, state in calls.items() if state in (InvocationState.RUNNING, InvocationState.UNKNOWN)
        )
        if open_:
            return Code.CALLS_OPEN, f"these calls are not over: {', '.join(open_)}"
    if result.status == "suspended":
        strange = sorted(set(result.waits_for) - set(calls))
        if strange:
            return Code.BAD_OUTPUT, f"it waits for calls that were never made: {', '.join(strange)}"
        if is_empty and step.empty_waits >= MOST_EMPTY_WAITS:
            return (
                Code.BAD_OUTPUT,
                f"it has slept {step.empty_waits} times for what was over already, and must not again",
            )
    return None


def _waits_for_nothing(step: Step, result: StepResult, request: Request) -> bool:
    """Say whether all that a result waits for is over already, so that the step would be released at once."""
    if result.frozen:
        is_stopped = request.frozen_because or not request.agent_enabled
        return not is_stopped and not Skill.objects.filter(name__in=step.allowed_skills, enabled=False).exists()
    if result.until is not None:
        return result.until <= now()
    if SkillInvocation.objects.filter(step=step, call_id__in=result.waits_for, state__in=AWAITED).exists():
        return False
    return not set(result.waits_for) & set(unconnected_calls(step))


def _stored(run: Run, step: Step, result: StepResult) -> dict[str, Any]:
    value = result.as_json()
    return {
        "result": seal_value(run.pk, step, "result", value),
        "result_redacted": harmless(value, maskers_of(run.workspace_id)),
    }
