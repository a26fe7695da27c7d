"""Journeys under a policy of the test's own, and time that only moves when told."""

from datetime import timedelta

import pytest
import time_machine

from tests import desk
from tests.governance.actors import START
from tests.journeys import journey

QUORUM = desk.POLICY.replace(
    "side_effect: external, ask: operators,", "side_effect: external, ask: operators, quorum: 2,"
)
FEW_CALLS = desk.POLICY.replace("{invocations: 20}", "{invocations: 2}")
HELD_PLANS = (
    desk.POLICY
    + """\
approvals:
  plan: {when: {any_side_effect: external}, ask: operators, because: "something leaves the house"}
"""
)


@pytest.fixture
def clock():
    """The time, standing still: `clock.shift(timedelta)` moves it."""
    with time_machine.travel(START, tick=False) as time:
        yield time


@pytest.fixture
def j(db, monkeypatch, clock):
    """A journey at the desk."""
    return journey(monkeypatch)


@pytest.fixture
def begin(db, monkeypatch, clock):
    """Return a function that begins a journey under another policy."""
    return lambda policy: journey(monkeypatch, policy=policy)


@pytest.fixture
def later(j, clock):
    """Return a function that lets seconds pass and turns the job plane."""

    def pass_(seconds):
        clock.shift(timedelta(seconds=seconds))
        j.tick()

    return pass_
