"""What an attempt that came to nothing means: for a step another try or the end, for planning one try less."""

from datetime import timedelta
from typing import Any

from django.db.models import QuerySet
from django.utils.timezone import now

from audit.core.codes import Code
from audit.principals import SYSTEM
from audit.transition import transition
from governance.actions.burns import store_burn
from governance.actions.endings import end_run, end_step
from governance.actions.wording import LONGEST_BECAUSE, LONGEST_ERROR, told
from governance.caller import Caller
from governance.connections import still_lacking
from governance.core.progress import after_failed_attempt, backoff
from governance.core.states import InvocationState
from governance.gather import limits_of, maskers_of
from governance.models import Gate, Run, SkillInvocation, Step
from governance.run_facts import need_of

# Denials that are over by themselves: the next attempt may well get through.
PASSING = (Code.FROZEN, Code.NO_CONNECTION, Code.LOCK_CONFLICT, Code.THROTTLED)
PLAN_AGAIN_AFTER = timedelta(seconds=10)
UNTIL_THAWED: dict[str, Any] = {"calls": [], "until": None, "frozen": True}


def attempt_failed(run: Run, step: Step, job_name: str, kind: str, reason: str, agent: str) -> None:
    """Spend a retry of a locked running step, burn the attempt, and end step and run when it was the last one.

    An attempt that a freeze or a missing connection has stopped spends nothing: its step sleeps until that is over.
    """
    maskers = maskers_of(run.workspace_id)
    error, because = told(reason, maskers, LONGEST_ERROR), told(reason, maskers)
    denials = Gate.objects.filter(step=step, attempt=step.attempt, effect="deny")
    denied = denials.filter(action="skill.invoke").exclude(code__in=PASSING).exists()
    stopped_by, waits = (None, None) if denied else _stopped_by(step, denials)
    if waits is not None:
        why = f"{stopped_by} stopped it: {because}"[:LONGEST_BECAUSE]
        transition(step, "suspend", by=SYSTEM, because=why, waits_for=waits)
        return
    store_burn(run, step, kind, error, job_name=job_name, agent_name=agent)
    limits = limits_of(run.workspace_id)
    match after_failed_attempt(step.retries, limits.step.attempts, denied):
        case "retry":
            wait = backoff(step.retries, limits.step.backoff)
            transition(
                step,
                "retry",
                by=SYSTEM,
                because=because,
                retries=step.retries + 1,
                not_before=now() + wait,
                last_error=error,
            )
        case "refuse":
            end_step(step, "refuse", by=SYSTEM, because=because, last_error=error)
            end_run(run, "refuse", by=SYSTEM, because=f"step {step.sequence}: {because}")
        case _:
            end_step(step, "fail", by=SYSTEM, because=because, retries=step.retries + 1, last_error=error)
            end_run(run, "fail", by=SYSTEM, because=f"step {step.sequence} failed {step.retries} times: {because}")


def planning_was_frozen(run: Run, job_name: str) -> bool:
    """Say whether a freeze stopped a planning job; then it does not count, and is tried again a little later."""
    if _last_code(Gate.objects.filter(run=run, job_name=job_name, effect="deny")) != Code.FROZEN:
        return False
    Run.objects.filter(pk=run.pk).update(planning_not_before=now() + PLAN_AGAIN_AFTER)
    return True


def count_refused(caller: Caller) -> int:
    """Count what was refused to a caller in this attempt."""
    about = {"run": caller.run_id, "job_name": caller.job_name}
    if caller.step_id is not None:
        about = {"step": caller.step_id, "attempt": caller.attempt}
    return Gate.objects.filter(effect="deny", **about).count()


def _stopped_by(step: Step, denials: "QuerySet[Gate]") -> tuple[str, dict[str, Any] | None]:
    """Return what stopped an attempt although nobody refused it anything, and what its step waits for then."""
    code = _last_code(denials)
    if code == Code.FROZEN:
        return "a freeze", UNTIL_THAWED
    if code == Code.NO_CONNECTION and (calls := unconnected_calls(step)):
        return "a missing connection", {"calls": calls, "until": None, "frozen": False}
    return "", None


def unconnected_calls(step: Step) -> list[str]:
    """Return the ids of a step's calls that wait for a connection that is not there."""
    rows = SkillInvocation.objects.filter(step=step, state=InvocationState.REQUESTED).order_by("call_id")
    needs = {row.call_id: need for row in rows if (need := need_of(row))}
    lacking = still_lacking(set(needs.values()))
    return [call_id for call_id, need in needs.items() if need in lacking]


def _last_code(denials: "QuerySet[Gate]") -> str | None:
    return denials.order_by("-created_at", "-pk").values_list("code", flat=True).first()
