"""What changed since people agreed to a call: their consent is for one exact payload, and void when anything drifted."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from audit.core.canonical import digest
from audit.core.codes import Code
from governance.actions.work import payload_of
from governance.connections import ConnectionFact
from governance.core.consent import CallNow, ConsentFact, void_because
from governance.core.evaluate import Decision
from governance.core.states import GateState
from governance.models import Consent, Run, Skill, SkillInvocation, Step


def drift(
    run: Run,
    step: Step,
    skill: Skill | None,
    value: Mapping[str, Any],
    call: SkillInvocation,
    consent: Consent | None,
    decision: Decision,
    now: datetime,
    connection: ConnectionFact | None = None,
) -> tuple[Code, str] | None:
    """Say what changed since the call was agreed to, or None when it may be performed (policy.md, section 4)."""
    if decision.effect == "deny":
        return Code.POLICY_DENIES_NOW, decision.reason
    # All else being as it was asked for, only another connection makes another payload.
    as_asked = payload_of(run, step.pk, call.call_id, call.skill_name, call.skill_digest, value, connection)
    if digest(as_asked) != call.payload_digest:
        return Code.PAYLOAD_CHANGED, "the connection is not the one that it was asked for with"
    if consent is None and call.policy_status == "allow":
        # It needed nobody's consent; a crash interrupted it and it is repeated by right of policy alone.
        return None if decision.effect == "allow" else (Code.POLICY_DENIES_NOW, "policy asks people about it now")
    fact = (
        None
        if consent is None
        else ConsentFact(
            workspace=str(consent.workspace_id),
            gate_state=consent.gate.state,
            payload_digest=consent.payload_digest,
            used_by=str(consent.used_by or ""),
            until=consent.gate.consent_until,
            plan_hash=consent.gate.plan_hash,
        )
    )
    digest_now = skill.digest if skill else ""
    payload = payload_of(run, step.pk, call.call_id, call.skill_name, digest_now, value, connection)
    asked = CallNow(
        workspace=str(run.workspace_id),
        invocation=str(call.pk),
        payload_digest=digest(payload),
        skill_digest=digest_now,
        asked_skill_digest=call.skill_digest,
        plan_hash=step.plan.plan_hash,
    )
    return void_because(fact, asked, now)


def consent_of(call: SkillInvocation) -> Consent | None:
    """Find the consent that the call's own gate gave; only without one, that which it has used already (of the plan)."""
    of_step = Consent.objects.select_related("gate").filter(step_id=call.step_id, call_id=call.call_id)
    return of_step.filter(gate=call.gate_id).first() or of_step.filter(used_by=call.pk).first()


def consent_ahead(step: Step, call_id: str, payload_digest: str, now: datetime) -> Consent | None:
    """Find a consent that was given with the plan for exactly this call, unused and in time."""
    return (
        Consent.objects.select_related("gate")
        .filter(
            step=step,
            call_id=call_id,
            payload_digest=payload_digest,
            used_at=None,
            gate__state=GateState.APPROVED,
            gate__consent_until__gt=now,
        )
        .first()
    )
