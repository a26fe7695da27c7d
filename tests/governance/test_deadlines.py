"""Deadlines: time in which only people are waited for does not count; time in which anything else goes on does."""

from datetime import timedelta

import pytest

from governance.actions.votes import vote
from governance.core.progress import FinishRun, next_moves
from governance.models import Run, SkillInvocation
from governance.run_facts import run_facts
from runtime.actions import finish_if_due
from tests.desk import Desk, step


@pytest.fixture
def held(j):
    j.ask()
    j.propose(step("send", ("a", "send", "hello")))
    j.call("send", "a")
    j.finish("send", "suspended", waits_for=["a"])
    return j


def test_a_run_that_takes_longer_than_it_may_fails_and_stops_its_agents(j, later):
    j.ask()
    j.propose(step("work", ("a", "peek", "x")))

    later(24 * 3600 + 1)

    assert (j.run.state, j.run.reason) == ("failed", "the run took longer than a run may take")
    assert j.step("work").state == "cancelled" and j.backend.killed


def test_waiting_for_people_counts_for_nothing(held, clock):
    before = held.run.deadline_at
    asked_at = SkillInvocation.objects.get().state_changed_at
    clock.shift(timedelta(hours=23, minutes=59))
    held.tick()
    assert held.run.state == "running"

    held.answer()
    held.run.refresh_from_db()

    waited = held.run.deadline_at - before
    assert timedelta(hours=23, minutes=59) - timedelta(minutes=1) < waited <= timedelta(hours=23, minutes=59)
    assert asked_at < held.run.deadline_at
    held.tick()
    held.finish("send")
    held.tick()
    assert held.run.state == "succeeded" and Desk.done == [("send", "hello")]


def test_waiting_for_people_beside_other_work_counts(j, later):
    j.ask()
    j.propose(step("send", ("a", "send", "hello")), step("work", ("b", "peek", "x")))
    j.call("send", "a")
    j.finish("send", "suspended", waits_for=["a"])
    before = j.run.deadline_at

    j.answer()

    j.run.refresh_from_db()
    assert j.run.deadline_at == before
    later(24 * 3600 + 1)
    assert j.run.state == "failed"


def test_the_greatest_age_ends_a_run_whoever_is_waited_for(held, clock):
    """The gate would expire first; one that never does is a matter of policy, the age of a run is not."""
    Run.objects.update(max_age_at=held.run.created_at + timedelta(hours=2))
    clock.shift(timedelta(hours=2))
    held.tick()

    assert (held.run.state, held.run.reason) == ("failed", "the run is older than a run may get")


def test_an_answer_that_comes_while_the_tick_decides_is_not_overlooked(held, clock):
    """The tick reads in several statements: the run before an approval moved its deadline, its calls after it."""
    clock.shift(timedelta(hours=23))
    Run.objects.update(deadline_at=held.run.created_at + timedelta(hours=2))
    torn = Run.objects.select_related("workspace").get()
    gate = held.gate()
    vote(
        gate.pk,
        by=held.house.by("bob"),
        user=held.house.bob,
        verdict="approve",
        because="go",
        payload_digest=gate.payload_digest,
        channel="api",
    )
    from django.utils.timezone import now

    (move,) = next_moves(run_facts([torn])[0], now())
    assert isinstance(move, FinishRun) and move.event == "fail"

    assert finish_if_due(move) is False

    assert Run.objects.get().state == "running"
