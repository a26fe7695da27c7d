"""The reserve transaction: decide on a call and store the intent to perform it, all or nothing.

One function for the door and one for released calls; both take the locks in the same order, decide on fresh facts and
leave the call `running` under a new lease, or say why not. No connector runs in here.
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from django.db import transaction
from django.utils.timezone import now as clock

from audit.core.canonical import digest
from audit.core.codes import Code
from audit.core.refusals import Fault
from audit.principals import SYSTEM
from audit.rows import Wanted, find, insert, together
from audit.transition import born, transition
from governance.actions.budgets import has_reservation, reserve_invocation, settle_invocation, spend_reservation
from governance.actions.case import Case
from governance.actions.decisions import as_denial, store_gate
from governance.actions.drift import consent_ahead, consent_of, drift
from governance.actions.endings import refuse_step_and_run
from governance.actions.leases import lock_key_of, take_lock
from governance.actions.locks import lock_attempt_and_call, lock_call
from governance.actions.taint import grow_taint
from governance.actions.work import LEASE_GRACE, CallAnswer, Work
from governance.caller import Caller
from governance.connections import NoConnection, out_of_bounds
from governance.core.evaluate import Decision
from governance.core.facts import Request
from governance.core.masking import redact
from governance.core.states import InvocationState, RunState
from governance.gather import (
    decide_by,
    egress_among,
    maskers_among,
    skill_request,
    standing_asked,
    standing_in,
    standing_of,
)
from governance.inputs import faults_of, resolve_input, taint_of
from governance.models import Consent, Gate, LockStatus, Skill, SkillInvocation
from governance.payloads import open_value, seal_value

PERFORMED = (InvocationState.RUNNING, InvocationState.UNKNOWN, InvocationState.SUCCEEDED, InvocationState.FAILED)
ANSWERED = frozenset(
    {
        InvocationState.SUCCEEDED,
        InvocationState.FAILED,
        InvocationState.DENIED,
        InvocationState.CANCELLED,
        InvocationState.HELD,
        InvocationState.UNKNOWN,
        InvocationState.RUNNING,
        InvocationState.RELEASED,
    }
)


@transaction.atomic
def request_call(
    caller: Caller, *, call_id: str, skill: str | None = None, value: Mapping[str, Any] | None = None
) -> CallAnswer:
    """Decide on a call of an agent; without `skill` it is one named in the plan. A denial is a value, and committed.

    Raises `job_over` when the attempt is not wanted any more; everything else comes back as an answer.
    """
    also: list[Any] = [standing_asked(caller.agent, caller.workspace_id)]
    if skill is not None:
        also.append(Wanted(Skill, {"name": skill}, locked=False))
    run, step, call, (standing, *named) = lock_attempt_and_call(caller, call_id, *also)
    if call is not None and skill is None:
        skill, value = call.skill_name, open_value(run.pk, call, "input")
    asked = resolve_input(run, step, call_id, skill, value)
    known = named[0] if named else find(Skill, name=asked.skill)
    case = Case(caller, run, step, call_id, asked.skill, known, asked.input, asked.taint, standing_in(standing), call)
    if call is not None:
        if call.skill_name != case.skill_name or call.input_digest != digest(case.input):
            return _deny(case, Code.CALL_CONFLICT, f"the call {call_id} was made before with another skill or input")
        if call.state in ANSWERED:
            return _repeat(call)
    faults = asked.faults or (faults_of(case.skill, case.input) if case.skill else ())
    return _decide_new(case, faults)


@transaction.atomic
def reserve_released(invocation_id: UUID) -> Work | None:
    """Start a call that people agreed to, exactly as they saw it; None when it is not to be performed now.

    A lock, a freeze or a full budget of time keeps it released with `not_before`; drift, in any form of policy.md §4,
    denies the call and refuses its step and run in this transaction.
    """
    found = SkillInvocation.objects.only("run_id", "step_id").get(pk=invocation_id)
    run, step, locked = lock_call(found.run_id, found.step_id, pk=invocation_id)
    assert locked is not None
    call, now = locked, clock()
    if call.state != InvocationState.RELEASED or (call.not_before and call.not_before > now):
        return None
    if run.state != RunState.RUNNING or step.is_final or run.is_overdue(now):
        return None
    skill = find(Skill, name=call.skill_name)
    value = open_value(run.pk, call, "input")
    performer = Caller(SYSTEM, call.agent_name, call.workspace_id, call.run_id, call.step_id, call.attempt, "")
    standing = standing_of(performer.agent, run.workspace_id)
    taint = taint_of(run, value)
    case = Case(performer, run, step, call.call_id, call.skill_name, skill, value, taint, standing, call, now)
    request, decision, micros = _judge(case)
    if decision.code == Code.FROZEN:
        _postpone(call, now, timedelta(seconds=5))
        return None
    consent = consent_of(call)
    changed = drift(run, step, skill, value, call, consent, decision, now, case.connection)
    is_reserved = has_reservation(call)
    if changed is None and not is_reserved and (why := reserve_invocation(run.pk)):
        changed = Code.BUDGET_EXCEEDED, why
    if changed is not None:
        code, reason = changed
        gate = _store(case, request, as_denial(decision, code, reason), micros)
        transition(
            call,
            "deny",
            by=SYSTEM,
            because=reason,
            policy_status="deny",
            finished_at=now,
            gate=gate,
            error={"code": str(code), "message": reason},
        )
        spend_reservation(call)
        refuse_step_and_run(run, step, by=SYSTEM, because=f"{call.skill_name} was not performed: {reason}")
        return None
    lease_until = now + timedelta(seconds=call.timeout_s) + LEASE_GRACE
    if call.lock_key and not take_lock(call, lease_until, now):
        if not is_reserved:
            settle_invocation(run.pk, performed=False)
        _postpone(call, now, timedelta(seconds=1))
        return None
    if consent is not None and consent.used_at is None:
        Consent.objects.filter(pk=consent.pk, used_at=None).update(used_at=now, used_by=call.pk)
    return _start(case, call, lease_until)


def _decide_new(case: Case, faults: tuple[Fault, ...]) -> CallAnswer:
    request, decision, micros = _judge(case)
    if decision.effect == "deny" and decision.code in (Code.FROZEN, Code.BUDGET_EXCEEDED):
        return _deny(case, Code(decision.code), decision.reason, request, decision, micros)
    if faults and not decision.is_outside:
        return _deny(
            case, Code.BAD_INPUT, "the input does not fit the skill's schema", request, decision, micros, faults
        )
    if decision.effect == "deny":
        return _denied(case, request, decision, micros)
    if (lack := case.lack) is not None:
        return _unconnected(case, lack, request, decision, micros)
    if beyond := out_of_bounds(case.skill_name, case.input, egress_among(case.standing.manifests)):
        return _denied(case, request, as_denial(decision, Code.POLICY_DENIED, beyond), micros)
    consent = (
        consent_ahead(case.step, case.call_id, case.payload_digest, case.now) if decision.effect == "hold" else None
    )
    if decision.effect == "hold" and consent is None:
        return _hold(case, request, decision, micros)
    is_reserved = case.call is not None and has_reservation(case.call)
    why = "" if is_reserved else reserve_invocation(case.run.pk)
    if why:
        return _deny(case, Code.BUDGET_EXCEEDED, why, request, decision, micros)
    call = case.call or _new_call(case)
    lease_until = case.now + timedelta(seconds=call.timeout_s) + LEASE_GRACE
    if call.lock_key and not take_lock(call, lease_until, case.now):
        if not is_reserved:
            settle_invocation(case.run.pk, performed=False)
        return _deny(
            case, Code.LOCK_CONFLICT, f"another call holds {call.lock_key}", request, decision, micros, retry_after_s=1
        )
    if consent is not None:
        decision = replace(
            decision, effect="allow", reason=f"approved in advance, with the plan (gate {consent.gate_id})"
        )
        Consent.objects.filter(pk=consent.pk).update(used_at=case.now, used_by=call.pk)
    with together():
        _request(case, call)
        gate = _store(case, request, decision, micros)
        work = _start(case, call, lease_until, gate=gate)
    return CallAnswer("running", call, gate, work=work)


def _judge(case: Case) -> tuple[Request, Decision, int]:
    request = skill_request(
        case.standing,
        case.caller,
        case.run,
        case.step,
        case.skill_name,
        case.skill,
        case.input,
        case.taint,
        possible_repeat=_is_possible_repeat(case),
    )
    decision, micros = decide_by(case.standing.manifests, request)
    return request, decision, micros


def _is_possible_repeat(case: Case) -> bool:
    """Say whether an earlier attempt of the step already performed this deed under another call id (domain.md, 3.8)."""
    if case.skill is None or case.skill.idempotent:
        return False
    # A call that was reset is no repeat of itself: it had no effect.
    others = SkillInvocation.objects.exclude(pk=case.call.pk) if case.call else SkillInvocation.objects
    return others.filter(
        step=case.step,
        attempt__lt=case.caller.attempt,
        skill_name=case.skill_name,
        input_digest=digest(case.input),
        state__in=PERFORMED,
    ).exists()


def _repeat(call: SkillInvocation) -> CallAnswer:
    """Give the answer that this call has already had."""
    error = call.error or {}
    code = Code.POLICY_DENIED if call.state == InvocationState.DENIED else None
    return CallAnswer(call.state, call, call.gate, code, error.get("message", ""))


def _deny(
    case: Case,
    code: Code,
    reason: str,
    request: Request | None = None,
    decision: Decision | None = None,
    micros: int = 0,
    faults: tuple[Fault, ...] = (),
    retry_after_s: float | None = None,
) -> CallAnswer:
    """Record a denial that leaves the call id free for another try."""
    if request is None or decision is None:
        request, decision, micros = _judge(case)
    gate = _store(case, request, as_denial(decision, code, reason), micros)
    return CallAnswer("refused", None, gate, code, reason, faults, retry_after_s)


def _denied(case: Case, request: Request, decision: Decision, micros: int) -> CallAnswer:
    """Record a denial by policy; the call is an answer from now on, the same one at each repeat."""
    gate = _store(case, request, decision, micros)
    if case.skill is None:
        return CallAnswer("refused", None, gate, Code.POLICY_DENIED, decision.reason)
    call = case.call or _new_call(case)
    _request(case, call)
    transition(
        call,
        "deny",
        by=SYSTEM,
        because=decision.reason,
        policy_status="deny",
        gate=gate,
        finished_at=case.now,
        error={"code": str(Code.POLICY_DENIED), "message": decision.reason},
    )
    return CallAnswer("denied", call, gate, Code.POLICY_DENIED, decision.reason)


def _unconnected(case: Case, lack: NoConnection, request: Request, decision: Decision, micros: int) -> CallAnswer:
    """Record that a call has no way out: as a bad input where there are some, else as a call that waits for one."""
    if lack.is_choice:
        fault = Fault("/input/connection", "invalid", lack.because)
        return _deny(case, Code.BAD_INPUT, lack.because, request, decision, micros, (fault,))
    answer = _deny(case, Code.NO_CONNECTION, lack.because, request, decision, micros)
    call = case.call or _new_call(case)
    call.error = {"code": str(Code.NO_CONNECTION), "message": lack.because, **lack.need.as_json()}
    if case.call is None:
        _request(case, call)
    else:
        SkillInvocation.objects.filter(pk=call.pk).update(error=call.error)
    return replace(answer, invocation=call)


def _hold(case: Case, request: Request, decision: Decision, micros: int) -> CallAnswer:
    call = case.call or _new_call(case)
    _request(case, call)
    gate = _store(case, request, decision, micros)
    # What kept it from being decided earlier is over.
    transition(
        call, "hold", by=SYSTEM, because=decision.reason, policy_status="hold", gate=gate, error=None, **case.bound
    )
    return CallAnswer("held", call, gate, reason=decision.reason)


def _store(case: Case, request: Request, decision: Decision, micros: int) -> Gate:
    return store_gate(
        case.caller,
        case.run,
        case.step,
        request,
        decision,
        subject=case.skill_name,
        call_id=case.call_id,
        payload=case.payload,
        decision_us=micros,
    )


def _new_call(case: Case) -> SkillInvocation:
    assert case.skill is not None  # an unknown skill is outside every allow list
    skill, run = case.skill, case.run
    call = SkillInvocation(
        workspace_id=run.workspace_id,
        run=run,
        step=case.step,
        call_id=case.call_id,
        attempt=case.caller.attempt,
        agent_name=case.caller.agent,
        skill_name=skill.name,
        skill_digest=skill.digest,
        side_effect=skill.side_effect,
        idempotent=skill.idempotent,
        timeout_s=skill.timeout_s,
        state=InvocationState.REQUESTED,
        input_redacted=redact(case.input, maskers_among(case.standing.manifests)),
        input_digest=digest(case.input),
        payload_digest=case.payload_digest,
        connection=case.connection_id,
        lock_key=lock_key_of(skill.lock_key, case.input),
    )
    call.input = seal_value(run.pk, call, "input", case.input)
    return call


def _request(case: Case, call: SkillInvocation) -> None:
    """Store a call that is new; one that was reset is there already."""
    if case.call is None:
        insert(call)
        born(
            call,
            by=case.caller.principal,
            skill=call.skill_name,
            call_id=call.call_id,
            payload_digest=call.payload_digest,
        )


def _start(case: Case, call: SkillInvocation, lease_until: datetime, gate: Gate | None = None) -> Work:
    changes: dict[str, Any] = {} if gate is None else {"gate": gate, "policy_status": gate.effect, **case.bound}
    if call.lock_key:
        changes["lock_status"] = LockStatus.HELD
    # One that was made in an earlier attempt, and reset, is performed in this one.
    changes["attempt"] = case.caller.attempt
    lease_id = uuid4()
    transition(
        call,
        "start",
        by=SYSTEM,
        because="policy allows it" if gate else "people approved it",
        lease_id=lease_id,
        lease_until=lease_until,
        started_at=case.now,
        tries=call.tries + 1,
        not_before=None,
        error=None,
        **changes,
    )
    grow_taint(case.step, case.taint.union(case.skill.labels if case.skill else ()))
    return Work(
        call.pk,
        lease_id,
        case.run.workspace_id,
        case.run.pk,
        case.step.pk,
        call.skill_name,
        call.connection,
        case.input,
        frozenset(case.step.taint),
        maskers_among(case.standing.manifests),
        call.timeout_s,
        egress_among(case.standing.manifests),
        case.skill.output_schema if case.skill else {},
    )


def _postpone(call: SkillInvocation, now: datetime, wait: timedelta) -> None:
    """Put a released call off; it is looked at again when the time has come."""
    SkillInvocation.objects.filter(pk=call.pk).update(not_before=now + wait)
