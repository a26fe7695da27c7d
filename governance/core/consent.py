"""Is a consent still good for this call? Every way in which it is not has its own reason (policy.md, section 4)."""

from dataclasses import dataclass
from datetime import datetime

from audit.core.codes import Code
from governance.core.states import GateState


@dataclass(frozen=True, slots=True)
class ConsentFact:
    """A consent as it is stored, with the gate that it was given on."""

    workspace: str
    gate_state: str
    payload_digest: str
    used_by: str
    until: datetime | None
    plan_hash: str


@dataclass(frozen=True, slots=True)
class CallNow:
    """The call as it would be performed now."""

    workspace: str
    invocation: str
    payload_digest: str
    skill_digest: str
    asked_skill_digest: str
    plan_hash: str


def void_because(consent: ConsentFact | None, call: CallNow, now: datetime) -> tuple[Code, str] | None:
    """Say why the consent does not cover the call, or None when it does.

    Codes: not_found, other_workspace, rejected, expired, already_used, skill_changed, plan_changed, payload_changed.
    A consent that this very call has used already stays its own, so that a call that was requeued goes on.
    """
    if consent is None:
        return Code.NOT_FOUND, "nobody agreed to it"
    if consent.workspace != call.workspace:
        return Code.OTHER_WORKSPACE, "the consent was given in another workspace"
    if consent.gate_state == GateState.EXPIRED:
        return Code.EXPIRED, "nobody answered in time"
    if consent.gate_state != GateState.APPROVED:
        return Code.REJECTED, "it was not approved"
    if consent.used_by and consent.used_by != call.invocation:
        return Code.ALREADY_USED, "the consent was for one call, and was used for another"
    if not consent.used_by and (consent.until is None or now > consent.until):
        return Code.EXPIRED, "the consent was good for a time that is over"
    if call.skill_digest != call.asked_skill_digest:
        return Code.SKILL_CHANGED, "the skill is not the one that people saw"
    if consent.plan_hash != call.plan_hash:
        return Code.PLAN_CHANGED, "the plan is not the one that people saw"
    if consent.payload_digest != call.payload_digest:
        return Code.PAYLOAD_CHANGED, "the payload is not the one that people saw"
    return None
