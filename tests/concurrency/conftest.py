"""Journeys on a data base of the test's own, where everything is really committed and other threads see it."""

from datetime import timedelta

import pytest

from governance.models import SkillInvocation
from tests import desk
from tests.desk import step
from tests.journeys import journey

QUORUM = desk.POLICY.replace(
    "side_effect: external, ask: operators,", "side_effect: external, ask: operators, quorum: 2,"
)
ONE_CALL = desk.POLICY.replace("{invocations: 20}", "{invocations: 1}")


@pytest.fixture
def j(committed_db, monkeypatch):
    return journey(monkeypatch)


@pytest.fixture
def begin(committed_db, monkeypatch):
    """Return a function that begins a journey under a policy of the test's own."""
    return lambda policy: journey(monkeypatch, policy=policy)


def held_letter(j, *, suspended=True):
    """A run whose only step waits for people to let a letter go out."""
    j.ask()
    j.propose(step("send", ("a", "send", "hello")))
    assert j.call("send", "a").state == "held"
    if suspended:
        j.finish("send", "suspended", waits_for=["a"])
    return j.gate()


def released_letter(j):
    """A letter that may go out, and has not yet."""
    from gateway import tasks
    from governance.actions.votes import vote

    gate = held_letter(j)
    vote(
        gate.pk,
        by=j.house.by("bob"),
        user=j.house.bob,
        verdict="approve",
        because="go",
        payload_digest=gate.payload_digest,
        channel="api",
    )
    assert [call.pk for call in SkillInvocation.objects.filter(state="released")] == tasks.due_calls()
    return SkillInvocation.objects.get()


def running_call(j, verb="send"):
    """A call that is under way under a lease that is over; return it and the work of its performer."""
    from governance.actions.reserve import request_call, reserve_released

    if verb == "send":
        work = reserve_released(released_letter(j).pk)
    else:
        j.ask()
        j.propose(step("look", ("a", verb, "hello")))
        work = request_call(j.caller(j.step("look")), call_id="a").work
    call = SkillInvocation.objects.get()
    SkillInvocation.objects.filter(pk=call.pk).update(lease_until=call.lease_until - timedelta(hours=1))
    return call, work
