"""Let people answer what waits for them, and let what waited go on or end when enough have answered."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import transaction
from django.utils.timezone import now as clock

from audit.core.codes import Code
from audit.core.refusals import Refused
from audit.ledger import record
from audit.principals import SYSTEM, Principal
from audit.transition import transition
from governance.actions.endings import end_run, refuse_step_and_run
from governance.actions.locks import lock_run, lock_step
from governance.core.progress import deadline_on_release
from governance.core.quorum import Threshold, may_vote, tally, vote_refused
from governance.core.states import GateState, InvocationState
from governance.models import Consent, Gate, Plan, Run, SkillInvocation, Step, Vote
from governance.payloads import value_of
from governance.run_facts import run_facts
from governance.voters import approver_members, vote_facts

CONSENT_LASTS = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class _Asked:
    """A gate and everything that hangs on its answer, all of it locked in the order of locks."""

    run: Run
    plan: Plan | None
    step: Step | None
    call: SkillInvocation | None
    gate: Gate


@transaction.atomic
def vote(
    gate_id: UUID,
    *,
    by: Principal,
    user: Any,
    verdict: str,
    because: str,
    payload_digest: str,
    channel: str,
) -> Gate:
    """Answer a waiting gate; `user` is the person who answers, None for a service account (nobody asks those).

    Refuses with own_request, not_asked, already_voted, expired, transition_refused, payload_changed, or invalid without a
    reason.
    """
    if not because.strip():
        raise Refused(
            "say why: the reason goes into the ledger and to the requester",
            code=Code.INVALID,
            recovery="Send a reason in `because`.",
        )
    if verdict not in Vote.Verdict.values:
        raise Refused("an answer is `approve` or `reject`", code=Code.INVALID)
    asked = _lock(gate_id)
    gate, barred = asked.gate, frozenset(asked.run.requester_persons)
    thresholds = [Threshold.from_json(each) for each in gate.thresholds]
    members, votes = approver_members(gate), vote_facts(gate)
    refusal = may_vote(
        by.persons,
        gate_state=gate.state,
        thresholds=thresholds,
        members_by_group=members,
        votes=votes,
        barred_persons=barred,
        expires_at=gate.expires_at,
        now=clock(),
    )
    if refusal is None and user is None:
        refusal = Code.NOT_ASKED
    if refusal is not None:
        raise vote_refused(refusal)
    if payload_digest != gate.payload_digest:
        raise Refused(
            "what you saw is not what would be performed now",
            code=Code.PAYLOAD_CHANGED,
            recovery="Read the approval again and answer with the digest that it shows.",
        )
    Vote.objects.create(
        workspace_id=gate.workspace_id,
        gate=gate,
        user=user,
        voter=str(by),
        verdict=verdict,
        because=because,
        channel=channel,
    )
    record("gate.vote", gate, by=by, because=because, verdict=verdict, channel=channel, payload_digest=payload_digest)
    outcome = tally(thresholds, members, vote_facts(gate), barred)
    if outcome.state == "approved":
        _say_yes(asked, by=by, because=because)
    elif outcome.state == "rejected":
        transition(gate, "reject", by=by, because=because)
        _say_no(asked, by=by, because=because)
    return gate


@transaction.atomic
def expire_gate(gate_id: UUID, *, at: datetime | None = None) -> bool:
    """End a waiting gate whose time has passed; expiry always rejects. Say whether it was this call that did."""
    asked = _lock(gate_id)
    gate = asked.gate
    if gate.state != GateState.WAITING or gate.expires_at is None or gate.expires_at > (at or clock()):
        return False
    transition(gate, "expire", by=SYSTEM, because="nobody answered in time")
    _say_no(asked, by=SYSTEM, because=f"nobody answered in time whether {gate.subject or gate.action} may happen")
    return True


def _lock(gate_id: UUID) -> _Asked:
    found = Gate.objects.only("run_id", "step_id", "plan_id").get(pk=gate_id)
    return _Asked(
        run=lock_run(found.run_id),
        plan=Plan.objects.select_for_update(no_key=True).get(pk=found.plan_id) if found.plan_id else None,
        step=lock_step(found.step_id) if found.step_id else None,
        call=SkillInvocation.objects.select_for_update(no_key=True).filter(gate_id=gate_id).first(),
        gate=Gate.objects.select_for_update(no_key=True).get(pk=gate_id),
    )


def _say_yes(asked: _Asked, *, by: Principal, because: str) -> None:
    deadline = deadline_on_release(run_facts([asked.run])[0], clock())
    transition(asked.gate, "approve", by=by, because=because, consent_until=clock() + CONSENT_LASTS)
    if deadline != asked.run.deadline_at:
        Run.objects.filter(pk=asked.run.pk).update(deadline_at=deadline)
    if asked.call is not None and asked.call.state == InvocationState.HELD:
        Consent.objects.create(
            workspace_id=asked.gate.workspace_id,
            gate=asked.gate,
            step_id=asked.call.step_id,
            call_id=asked.call.call_id,
            payload_digest=asked.gate.payload_digest,
        )
        transition(asked.call, "release", by=SYSTEM, because="enough people approved it")
    if asked.plan is not None:
        assert asked.gate.payload is not None  # every held plan has one
        payload = value_of(asked.gate.payload)["payload"]
        Consent.objects.bulk_create(
            Consent(
                workspace_id=asked.gate.workspace_id,
                gate=asked.gate,
                step_id=call["step"],
                call_id=call["call_id"],
                payload_digest=call["payload_digest"],
            )
            for call in payload["calls"]
        )
        transition(asked.plan, "accept", by=SYSTEM, because="enough people approved it")
        transition(asked.run, "release", by=SYSTEM, because="its plan is approved", started_at=clock())


def _say_no(asked: _Asked, *, by: Principal, because: str) -> None:
    if asked.call is not None and asked.call.state == InvocationState.HELD:
        transition(
            asked.call,
            "deny",
            by=by,
            because=because,
            policy_status="deny",
            finished_at=clock(),
            error={"code": "rejected" if by is not SYSTEM else "expired", "message": because},
        )
    if asked.step is not None:
        refuse_step_and_run(asked.run, asked.step, by=by, because=because)
    elif asked.run.is_open:
        end_run(asked.run, "refuse", by=by, because=because)
