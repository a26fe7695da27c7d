"""Consent is for one exact payload and is used once; whatever drifted is refused with its own reason (policy.md, section 4)."""

from datetime import timedelta

import pytest
from django.utils.timezone import now

from audit.core.codes import Code
from audit.models import AuditEvent
from gateway.tasks import perform_released
from governance.actions.registry import sync_skills
from governance.actions.reserve import request_call, reserve_released
from governance.actions.votes import vote
from governance.models import Budget, Consent, Gate, Plan, Run, SkillInvocation, Step
from governance.payloads import seal_value
from tests import desk
from tests.desk import Desk, step
from tests.governance.conftest import HELD_PLANS
from tests.people import build_house, use_policy

DENY = desk.POLICY.replace("rules:", 'rules:\n  - deny: {skill: desk.send, because: "not any more"}')


def released(j):
    """A letter that somebody has let go out, and that is not performed yet."""
    j.ask()
    j.propose(step("send", ("a", "send", "hello")))
    j.call("send", "a")
    j.finish("send", "suspended", waits_for=["a"])
    gate = j.gate()
    vote(
        gate.pk,
        by=j.house.by("bob"),
        user=j.house.bob,
        verdict="approve",
        because="go",
        payload_digest=gate.payload_digest,
        channel="api",
    )
    return SkillInvocation.objects.get(state="released")


def used_by_another(j, call):
    other = SkillInvocation.objects.get(pk=call.pk)
    Consent.objects.update(used_at=other.created_at, used_by=j.run.pk)


def other_input(j, call):
    SkillInvocation.objects.filter(pk=call.pk).update(input=seal_value(j.run.pk, call, "input", {"text": "goodbye"}))


def other_plan(j, call):
    kept = Plan.objects.get()
    other = Plan.objects.create(
        workspace=kept.workspace, run=kept.run, version=2, created_by="hari", plan_hash="1" * 64, state="rejected"
    )
    Step.objects.update(plan=other)


def other_skill(j, call):
    spec = next(each for each in desk.SKILLS if each["name"] == "desk.send")
    assert sync_skills([{**spec, "description": "send letters, and a copy to us", "digest": "2" * 64}]) == 1


def policy_denies(j, call):
    use_policy(j.house.workspace, DENY)


def not_approved(j, call):
    Gate.objects.filter(pk=call.gate_id).update(state="rejected")


def expired_gate(j, call):
    Gate.objects.filter(pk=call.gate_id).update(state="expired")


def no_gate(j, call):
    SkillInvocation.objects.filter(pk=call.pk).update(gate=None)


def given_elsewhere(j, call):
    elsewhere = build_house("other", policy=desk.POLICY, skills=desk.SKILLS).workspace
    gate = Gate.objects.get(pk=call.gate_id)
    gate.pk = None
    gate._state.adding = True
    gate.workspace = elsewhere
    gate.save(force_insert=True)
    Consent.objects.create(
        workspace=elsewhere, gate=gate, step_id=call.step_id, call_id=call.call_id, payload_digest=call.payload_digest
    )
    SkillInvocation.objects.filter(pk=call.pk).update(gate=gate)


DRIFTS = {
    Code.ALREADY_USED: used_by_another, Code.PAYLOAD_CHANGED: other_input, Code.PLAN_CHANGED: other_plan,
    Code.SKILL_CHANGED: other_skill, Code.POLICY_DENIES_NOW: policy_denies, Code.REJECTED: not_approved,
    Code.EXPIRED: expired_gate, Code.NOT_FOUND: no_gate, Code.OTHER_WORKSPACE: given_elsewhere,
}  # fmt: skip


@pytest.mark.parametrize("code", DRIFTS)
def test_what_drifted_since_people_agreed_is_not_performed(j, code):
    call = released(j)
    DRIFTS[code](j, call)

    assert perform_released(call.pk) is None

    call.refresh_from_db()
    j.run.refresh_from_db()
    assert Desk.done == []
    assert (call.state, call.error["code"]) == ("denied", code)
    assert (call.gate.state, call.gate.code, call.gate.effect) == ("denied", code, "deny")
    assert (j.step("send").state, j.run.state) == ("refused", "refused")
    assert call.error["message"] in j.run.reason
    assert not Consent.objects.filter(used_by=call.pk).exists()
    assert Budget.objects.get(scope=j.run.pk, kind="invocations").reserved == 0
    assert list(AuditEvent.objects.filter(type__startswith="invocation.").order_by("id").values_list("type", flat=True)) == [
        "invocation.request", "invocation.hold", "invocation.release", "invocation.deny",
    ]  # fmt: skip


def test_consent_that_is_not_used_within_its_hour_is_over(j, clock):
    call = released(j)
    clock.shift(timedelta(hours=1, seconds=1))

    assert perform_released(call.pk) is None

    call.refresh_from_db()
    assert (call.state, call.error["code"], Desk.done) == ("denied", "expired", [])


def test_another_policy_that_only_asks_leaves_the_consent_good(j):
    call = released(j)
    use_policy(j.house.workspace, desk.POLICY + "# another version\n")

    assert perform_released(call.pk).state == "succeeded"

    assert Desk.done == [("send", "hello")]


def test_a_call_is_performed_once_whoever_tries_again(j):
    call = released(j)

    assert perform_released(call.pk).state == "succeeded"
    assert reserve_released(call.pk) is None

    assert Desk.done == [("send", "hello")]
    assert Consent.objects.get().used_by == call.pk


# --- Consent that was given with the plan ---------------------------------------------------------------------------


@pytest.fixture
def planned(begin):
    """A journey whose plan was held and approved: one literal letter, and a step that sends whatever it likes."""
    j = begin(HELD_PLANS)
    j.ask()
    assert j.propose(step("one", ("a", "send", "hello"), ("b", "peek", "x"))).state == "held"
    j.answer()
    j.tick()
    return j


def test_a_plan_that_was_approved_covers_its_literal_calls_once_each(planned):
    consents = {each.call_id: each for each in Consent.objects.all()}
    assert set(consents) == {"a", "b"}

    answer = planned.call("one", "a")

    assert (answer.state, answer.gate.effect) == ("running", "allow")
    assert str(consents["a"].gate_id) in answer.gate.reason
    assert Desk.done == [("send", "hello")]
    assert Consent.objects.get(call_id="a").used_by == answer.invocation.pk


def test_the_same_deed_under_another_id_is_not_covered_by_the_plan(planned):
    caller = planned.caller(planned.step("one"))

    answer = request_call(caller, call_id="own", skill="desk.send", value={"text": "hello"})

    assert answer.state == "held" and Desk.done == []


def test_another_input_than_the_planned_one_is_asked_for(planned):
    answer = request_call(
        planned.caller(planned.step("one")), call_id="a", skill="desk.send", value={"text": "goodbye"}
    )

    assert answer.state == "held"
    assert not Consent.objects.exclude(used_at=None).exists()


def test_a_planned_call_that_comes_after_the_hour_is_asked_for(planned, clock):
    clock.shift(timedelta(hours=1, seconds=1))

    assert planned.call("one", "a").state == "held"


def test_a_planned_call_is_denied_when_policy_denies_it_by_now(planned):
    use_policy(planned.house.workspace, DENY)

    answer = planned.call("one", "a")

    assert (answer.state, answer.code) == ("denied", Code.POLICY_DENIED)
    assert not Consent.objects.exclude(used_at=None).exists() and Desk.done == []


def test_what_was_released_is_not_performed_while_its_run_is_late_and_nothing_is_used_up(j):
    call = released(j)
    Run.objects.filter(pk=j.run.pk).update(deadline_at=now())

    assert reserve_released(call.pk) is None

    call.refresh_from_db()
    assert (call.state, call.gate.state) == ("released", "approved")
    assert desk.Desk.done == [] and not Consent.objects.exclude(used_at=None).exists()
    assert Budget.objects.get(scope=j.run.pk, kind="invocations").reserved == 0
