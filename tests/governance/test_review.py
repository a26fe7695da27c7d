"""What an independent reader found, each as the scenario that showed it."""

import time
from dataclasses import replace
from datetime import timedelta

import pytest
import time_machine
from django.utils.timezone import now

from gateway.connector import SkillFailed
from gateway.tools import perform
from governance.actions.outcomes import settle_call, take_expired_lease
from governance.actions.reserve import request_call
from governance.actions.runs import cancel_run
from governance.actions.votes import vote
from governance.core.permissions import Role
from governance.models import Consent, Membership, SkillInvocation
from tests.desk import Desk, step
from tests.journeys import journey

pytestmark = pytest.mark.django_db


@pytest.fixture
def j(monkeypatch):
    return journey(monkeypatch)


def queued(work):
    """The same work, as a thread gets it that was busy for a long time."""
    return replace(work, reserved_at=time.monotonic() - 60)


def test_a_call_that_was_settled_while_it_queued_is_not_performed(j):
    j.ask()
    j.propose(step("note", ("a", "stamp", "x")))
    work = request_call(j.caller(j.step("note")), call_id="a").work
    with time_machine.travel(now() + timedelta(minutes=5), tick=False):
        take_expired_lease(work.invocation_id)
    settle_call(work.invocation_id, by=j.house.by("dora"), because="it did not happen", outcome="failed")

    perform(queued(work))

    assert Desk.done == []
    assert SkillInvocation.objects.get().state == "failed"


def test_a_call_whose_run_was_cancelled_while_it_queued_is_not_performed(j):
    run = j.ask()
    j.propose(step("note", ("a", "stamp", "x")))
    work = request_call(j.caller(j.step("note")), call_id="a").work
    cancel_run(run.pk, by=j.house.by("ada"), because="never mind")

    perform(queued(work))

    assert Desk.done == []
    assert SkillInvocation.objects.get().state == "failed"


def test_a_call_is_given_less_time_the_longer_it_queued(j):
    j.ask()
    j.propose(step("note", ("a", "stamp", "x")))
    work = request_call(j.caller(j.step("note")), call_id="a").work

    late = replace(work, reserved_at=time.monotonic() - 20)

    assert late.deadline - time.monotonic() <= work.timeout_s
    assert late.deadline <= late.reserved_at + work.timeout_s + 20


def test_a_member_who_became_a_viewer_neither_counts_nor_answers(j):
    j.ask()
    j.propose(step("send", ("a", "send", "x")))
    j.call("send", "a")
    gate = j.gate()
    Membership.objects.filter(user=j.house.bob).update(role=Role.VIEWER)

    with pytest.raises(Exception, match="not asked") as refused:
        vote(
            gate.pk,
            by=j.house.by("bob"),
            user=j.house.bob,
            verdict="approve",
            because="x",
            payload_digest=gate.payload_digest,
            channel="web",
        )

    assert refused.value.code == "not_asked"
    gate.refresh_from_db()
    assert gate.state == "waiting"


def test_a_read_that_loses_its_performer_again_and_again_ends(j):
    j.ask()
    j.propose(step("look", ("a", "peek", "x")))
    request_call(j.caller(j.step("look")), call_id="a")
    pk = SkillInvocation.objects.get().pk
    for _ in range(10):
        with time_machine.travel(now() + timedelta(hours=1), tick=False):
            if take_expired_lease(pk) != "released":
                break
        from governance.actions.reserve import reserve_released

        SkillInvocation.objects.filter(pk=pk).update(not_before=None)
        reserve_released(pk)

    call = SkillInvocation.objects.get()
    assert (call.state, call.tries) == ("failed", 3)


def test_an_error_with_nul_and_a_key_is_recorded_masked_and_bounded(j):
    j.ask()
    j.propose(step("look", ("a", "peek", "x")))
    Desk.fails.append(SkillFailed("bad \x00 \ud800 ghp_" + "a" * 36 + "x" * 9000, effect="maybe"))

    j.call("look", "a")

    call = SkillInvocation.objects.get()
    assert "ghp_" not in str(call.error) and len(call.error["message"]) < 2500
    assert not Consent.objects.exists()
