"""Who may answer, when, and what an answer does."""

from datetime import timedelta

import pytest

import governance.tasks
from audit.core.codes import Code
from audit.core.refusals import Refused
from audit.models import AuditEvent
from audit.principals import Principal, person
from governance.actions.runs import cancel_run, request_run
from governance.actions.votes import expire_gate, vote
from governance.models import ApproverGroup, Consent, Gate, Run, ServiceAccount, SkillInvocation, Vote
from governance.people import service_asker
from tests.desk import Desk, step
from tests.governance.conftest import HELD_PLANS, QUORUM


@pytest.fixture
def held(j):
    j.ask()
    j.propose(step("send", ("a", "send", "hello")))
    j.call("send", "a")
    j.finish("send", "suspended", waits_for=["a"])
    return j


def refused(gate, *, by, user, verdict="approve", because="my view", payload_digest=None):
    """Expect an answer to be refused, and to have left nothing; return the code."""
    with pytest.raises(Refused) as refusal:
        vote(
            gate.pk,
            by=by,
            user=user,
            verdict=verdict,
            because=because,
            channel="api",
            payload_digest=gate.payload_digest if payload_digest is None else payload_digest,
        )
    gate.refresh_from_db()
    assert not Vote.objects.filter(gate=gate, voter=str(by)).exists()
    return refusal.value.code


def test_nobody_approves_what_they_asked_for(held):
    gate, ada = held.gate(), held.house.ada
    ApproverGroup.objects.get().members.add(ada)
    service = ServiceAccount.objects.create(workspace=held.house.workspace, name="robot", role="admin")
    service.owners.add(ada, held.house.bob)

    assert refused(gate, by=person(ada), user=ada) == Code.OWN_REQUEST
    assert refused(gate, by=person(ada, via="api_key:x"), user=ada) == Code.OWN_REQUEST
    assert refused(gate, by=service_asker(service, via="api_key:y").principal, user=None) == Code.OWN_REQUEST
    ada.is_superuser = True
    ada.save()
    assert refused(gate, by=person(ada), user=ada) == Code.OWN_REQUEST
    delegate = Principal(
        "user",
        "bob",
        id=str(held.house.bob.pk),
        persons=frozenset({str(held.house.bob.pk), str(ada.pk)}),
        on_behalf_of="user:ada",
    )
    assert refused(gate, by=delegate, user=held.house.bob) == Code.OWN_REQUEST
    assert gate.state == "waiting"


def test_what_a_service_account_asked_for_none_of_its_owners_approves(j):
    service = ServiceAccount.objects.create(workspace=j.house.workspace, name="robot", role="member")
    service.owners.add(j.house.bob)
    run = request_run(
        j.house.workspace.pk,
        by=service_asker(service, via="api_key:y").principal,
        user=None,
        text="Please",
        source="api",
    )
    j.run = run
    j.tick()
    j.propose(step("send", ("a", "send", "hello")))
    j.call("send", "a")

    assert run.requester is None and run.requester_persons == [str(j.house.bob.pk)]
    assert refused(j.gate(), by=j.house.by("bob"), user=j.house.bob) == Code.OWN_REQUEST
    assert j.answer(who="ben").state == "approved"


@pytest.mark.parametrize("who", ["carol", "eve", "olga"])
def test_who_is_not_asked_has_no_say(held, who):
    assert refused(held.gate(), by=held.house.by(who), user=getattr(held.house, who)) == Code.NOT_ASKED


def test_a_service_account_is_never_asked_not_even_with_an_owner_who_is(held):
    service = ServiceAccount.objects.create(workspace=held.house.workspace, name="robot", role="admin")
    service.owners.add(held.house.bob)

    assert refused(held.gate(), by=service_asker(service, via="api_key:y").principal, user=None) == Code.NOT_ASKED


def test_who_has_left_is_not_asked_any_more(held):
    held.house.bob.is_active = False
    held.house.bob.save()

    assert refused(held.gate(), by=held.house.by("bob"), user=held.house.bob) == Code.NOT_ASKED


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ({"because": "  "}, Code.INVALID),
        ({"verdict": "maybe"}, Code.INVALID),
        ({"payload_digest": "0" * 64}, Code.PAYLOAD_CHANGED),
    ],
)
def test_an_answer_says_why_and_is_about_what_was_seen(held, more, code):
    assert refused(held.gate(), by=held.house.by("bob"), user=held.house.bob, **more) == code


def test_after_its_time_a_gate_takes_no_answer_and_ends_the_run(held, clock):
    gate = held.gate()
    clock.shift(timedelta(hours=24, seconds=1))

    assert refused(gate, by=held.house.by("bob"), user=held.house.bob) == Code.EXPIRED
    assert governance.tasks.tick() == 1
    assert governance.tasks.tick() == 0

    gate.refresh_from_db()
    held.run.refresh_from_db()
    call = SkillInvocation.objects.get()
    assert (gate.state, call.state, call.error["code"]) == ("expired", "denied", "expired")
    assert (held.run.state, held.step("send").state) == ("refused", "refused")
    assert refused(gate, by=held.house.by("bob"), user=held.house.bob) == Code.EXPIRED


def test_a_gate_does_not_expire_early_or_after_an_answer(held):
    gate = held.gate()

    assert not expire_gate(gate.pk)
    held.answer()
    assert not expire_gate(gate.pk, at=gate.expires_at)


def test_one_vote_of_two_leaves_the_gate_waiting(begin):
    j = begin(QUORUM)
    j.ask()
    j.propose(step("send", ("a", "send", "hello")))
    j.call("send", "a")
    gate = j.gate()

    assert j.answer(who="bob").state == "waiting"
    assert Desk.done == [] and not Consent.objects.exists()
    with pytest.raises(Refused) as again:
        j.answer(who="bob", gate=gate)
    assert again.value.code == Code.ALREADY_VOTED
    assert j.answer(who="ben", gate=gate).state == "approved"
    assert Desk.done == [("send", "hello")]
    assert Vote.objects.count() == 2


def test_one_reject_ends_it_whoever_said_yes_before(begin):
    j = begin(QUORUM)
    j.ask()
    j.propose(step("send", ("a", "send", "hello")))
    j.call("send", "a")
    gate = j.gate()
    j.answer(who="bob")

    assert j.answer("reject", who="ben", because="no letters today").state == "rejected"

    assert (j.run.state, j.run.reason) == ("refused", "no letters today")
    with pytest.raises(Refused) as late:
        j.answer(who="dora", gate=gate)
    assert late.value.code == Code.TRANSITION_REFUSED


def test_a_run_that_is_over_asks_nobody(held):
    gate = held.gate()
    cancel_run(held.run.pk, by=held.house.by("ada"), because="not needed")

    gate.refresh_from_db()
    assert gate.state == "withdrawn"
    assert refused(gate, by=held.house.by("bob"), user=held.house.bob) == Code.TRANSITION_REFUSED
    assert SkillInvocation.objects.get().state == "cancelled"


# --- Held plans -----------------------------------------------------------------------------------------------------


@pytest.fixture
def held_plan(begin):
    j = begin(HELD_PLANS)
    j.ask()
    assert (
        j.propose(step("one", ("a", "send", "hello")), step("two", ("b", "peek", "x"), after=("one",))).state == "held"
    )
    return j


def test_a_held_plan_that_is_approved_begins_and_the_time_it_waited_does_not_count(held_plan, clock):
    before = held_plan.run.deadline_at
    clock.shift(timedelta(hours=20))
    held_plan.tick()
    assert held_plan.run.state == "held"

    held_plan.answer()

    run = Run.objects.get()
    assert (run.state, run.plans.get().state) == ("running", "accepted")
    assert run.started_at is not None
    assert run.deadline_at - before == timedelta(hours=20)
    assert held_plan.step("one").state == "running"


@pytest.mark.parametrize("how", ["reject", "expire", "cancel"])
def test_a_held_plan_that_is_not_approved_ends_the_run_with_nothing_begun(held_plan, clock, how):
    gate = held_plan.gate()
    if how == "reject":
        held_plan.answer("reject", because="too much")
    elif how == "expire":
        clock.shift(timedelta(hours=25))
        governance.tasks.tick()
    else:
        cancel_run(held_plan.run.pk, by=held_plan.house.by("ada"), because="not needed")

    held_plan.run.refresh_from_db()
    gate.refresh_from_db()
    assert held_plan.run.state == ("cancelled" if how == "cancel" else "refused")
    assert gate.state == {"reject": "rejected", "expire": "expired", "cancel": "withdrawn"}[how]
    assert held_plan.run.plans.get().state == "rejected"
    assert set(held_plan.run.steps.values_list("state", flat=True)) == {"skipped"}
    assert not Consent.objects.exists() and not SkillInvocation.objects.exists()
    assert not AuditEvent.objects.filter(type="step.start").exists()


def test_an_answer_is_in_the_ledger_with_who_why_and_what(held):
    gate = held.gate()
    held.answer(because="I read every word")

    entry = AuditEvent.objects.get(type="gate.vote")
    assert (entry.actor, entry.because) == ("user:bob", "I read every word")
    assert entry.facts["payload_digest"] == gate.payload_digest and entry.facts["verdict"] == "approve"
    approved = Gate.objects.get(pk=gate.pk)
    assert approved.consent_until - approved.state_changed_at == timedelta(hours=1)
