"""Write down what became of a call, before anybody is answered."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from math import ceil
from typing import Any
from uuid import UUID

from django.db import transaction
from django.utils.timezone import now as clock

from audit.core.canonical import canonical, digest, escaped
from audit.core.codes import Code
from audit.core.refusals import Refused
from audit.ledger import record
from audit.principals import SYSTEM, Principal
from audit.rows import lock, together
from audit.transition import transition
from governance.actions.budgets import settle_invocation
from governance.actions.burns import store_burn
from governance.actions.leases import free_lock
from governance.actions.locks import lock_call, lock_run, lock_step
from governance.actions.taint import grow_taint
from governance.actions.wording import told
from governance.actions.work import Work
from governance.core.masking import redact
from governance.core.states import InvocationState
from governance.gather import maskers_of
from governance.models import Burn, Consent, LockStatus, Run, SideEffect, SkillInvocation, Step
from governance.payloads import keep, seal_value

MAX_TRIES = 3
TRY_AGAIN_AFTER = timedelta(seconds=2)


@dataclass(frozen=True, slots=True)
class Performed:
    """What a connector said: an output, or an error and whether something may have happened outside (`none | maybe`).

    `is_hopeless` says that the same call would always fail again; `retry_after_s` when the other side wants to hear of it
    again, where it said so.
    """

    output: Mapping[str, Any] | None = None
    taint: frozenset[str] = frozenset()
    error: str = ""
    effect: str = "none"
    is_hopeless: bool = False
    retry_after_s: float | None = None


@transaction.atomic
def record_outcome(work: Work, performed: Performed) -> SkillInvocation:
    """Record the outcome of a call that was performed under a lease; one that comes too late is kept and changes nothing."""
    run, step, call = lock_call(work.run_id, work.step_id, pk=work.invocation_id)
    assert call is not None
    if call.state != InvocationState.RUNNING or call.lease_id != work.lease_id:
        _keep_late(call, work.lease_id, performed)
        return call
    if performed.output is not None:
        _succeed(
            run, step, call, performed.output, performed.taint, work.maskers, by=SYSTEM, because="the connector did it"
        )
    else:
        _fail(run, step, call, replace(performed, error=told(performed.error, work.maskers)))
    free_lock(call)
    return call


@transaction.atomic
def take_expired_lease(invocation_id: UUID) -> str:
    """Decide what becomes of a call whose performer is gone: repeat it if that is harmless, else ask a person."""
    found = SkillInvocation.objects.only("run_id").get(pk=invocation_id)
    run = lock_run(found.run_id)
    call = lock(SkillInvocation, invocation_id)
    if call.state != InvocationState.RUNNING or call.lease_until is None or call.lease_until > clock():
        return call.state
    free_lock(call)
    if call.idempotent and run.is_open and call.tries < MAX_TRIES:
        transition(
            call,
            "requeue",
            by=SYSTEM,
            because="its performer is gone, and repeating it is harmless",
            lock_status=_released(call),
        )
    elif call.side_effect == SideEffect.READ_ONLY:
        # Nobody needs to find out whether something was read.
        settle_invocation(run.pk, performed=True)
        why = (
            "its performer is gone, and so is the run"
            if not run.is_open
            else f"its performer was lost {call.tries} times"
        )
        transition(
            call,
            "fail",
            by=SYSTEM,
            because=why,
            finished_at=clock(),
            lock_status=_released(call),
            error={"code": str(Code.SKILL_FAILED), "message": why, "effect": "none"},
        )
    else:
        _lose(run, call, "its performer is gone, and nobody knows whether it happened")
    return call.state


@transaction.atomic
def settle_call(
    invocation_id: UUID, *, by: Principal, because: str, outcome: str, output: Mapping[str, Any] | None = None
) -> SkillInvocation:
    """Let a person who did not ask for the run say what really happened to a call of unknown effect.

    `outcome` is `succeeded` or `failed`. Refuses with own_request, transition_refused or invalid.
    """
    if outcome not in ("succeeded", "failed"):
        raise Refused("an outcome is `succeeded` or `failed`", code=Code.INVALID)
    found = SkillInvocation.objects.only("run_id", "step_id").get(pk=invocation_id)
    run, step = lock_run(found.run_id), lock_step(found.step_id)
    call = lock(SkillInvocation, invocation_id)
    if by.persons & frozenset(run.requester_persons):
        raise Refused(
            "you asked for this run, so somebody else must settle it",
            code=Code.OWN_REQUEST,
            recovery="Ask an admin or owner who did not ask for the run.",
        )
    if outcome == "succeeded":
        _succeed(
            run,
            step,
            call,
            dict(output or {}),
            frozenset(),
            maskers_of(run.workspace_id),
            by=by,
            because=because,
            event="settle_succeeded",
        )
    else:
        settle_invocation(run.pk, performed=True)
        transition(
            call,
            "settle_failed",
            by=by,
            because=because,
            finished_at=clock(),
            error={"code": "settled_failed", "message": because},
        )
    return call


def _succeed(
    run: Run,
    step: Step,
    call: SkillInvocation,
    output: Mapping[str, Any],
    taint: frozenset[str],
    maskers: frozenset[str],
    *,
    by: Principal,
    because: str,
    event: str = "succeed",
) -> None:
    with together():
        settle_invocation(run.pk, performed=True)
        transition(
            call,
            event,
            by=by,
            because=because,
            finished_at=clock(),
            output=seal_value(run.pk, call, "output", output),
            output_redacted=redact(output, maskers),
            error=None,
            lock_status=_released(call),
        )
    grow_taint(step, taint)


def _fail(run: Run, step: Step, call: SkillInvocation, performed: Performed) -> None:
    error: dict[str, Any] = {"code": str(Code.SKILL_FAILED), "message": performed.error, "effect": performed.effect}
    wait = TRY_AGAIN_AFTER
    if performed.retry_after_s is not None:
        error["retry_after_s"] = ceil(performed.retry_after_s)
        wait = max(wait, timedelta(seconds=performed.retry_after_s))
    again = not performed.is_hopeless and call.tries < MAX_TRIES and run.is_open and not step.is_final
    if performed.effect != "none" and not call.idempotent:
        _lose(run, call, performed.error)
    elif again and call.gate is not None and call.policy_status == "hold" and call.idempotent:
        transition(
            call,
            "requeue",
            by=SYSTEM,
            because=performed.error,
            lock_status=_released(call),
            error=error,
            not_before=clock() + wait,
        )
    elif again and performed.effect == "none" and Consent.objects.filter(used_by=call.pk).exists():
        # The plan's consent was used by this call; it may be performed again on it, without asking anybody anew.
        transition(
            call,
            "requeue",
            by=SYSTEM,
            because=performed.error,
            lock_status=_released(call),
            error=error,
            not_before=clock() + wait,
        )
    elif again and performed.effect == "none" and call.policy_status == "allow":
        settle_invocation(run.pk, performed=False)
        transition(
            call,
            "reset",
            by=SYSTEM,
            because=performed.error,
            lock_status=_released(call),
            error=error,
            lease_id=None,
            lease_until=None,
        )
    else:
        settle_invocation(run.pk, performed=True)
        transition(
            call,
            "fail",
            by=SYSTEM,
            because=performed.error,
            finished_at=clock(),
            lock_status=_released(call),
            error=error,
        )
        store_burn(run, step, Burn.Kind.CONNECTOR, f"{call.skill_name}: {performed.error}", agent_name=call.agent_name)


def _lose(run: Run, call: SkillInvocation, because: str) -> None:
    transition(
        call,
        "lose",
        by=SYSTEM,
        because=because,
        lock_status=_released(call),
        error={"code": "unknown", "message": because, "effect": "maybe"},
    )
    store_burn(run, call.step, Burn.Kind.CONNECTOR, f"{call.skill_name}: {because}", agent_name=call.agent_name)


def _keep_late(call: SkillInvocation, lease_id: UUID, performed: Performed) -> None:
    answer = {
        "output": performed.output,
        "error": escaped(performed.error),
        "effect": performed.effect,
        "lease": str(lease_id),
    }
    kept = keep(call.workspace_id, call.run_id, "late_answer", canonical(answer), digest(answer))
    record(
        "invocation.answer_late",
        call,
        by=SYSTEM,
        because="its lease was over",
        payload=str(kept.pk),
        digest=kept.digest,
    )


def _released(call: SkillInvocation) -> str:
    return LockStatus.RELEASED if call.lock_key else LockStatus.NONE
