"""Messages make things happen sooner, never possible: with every one of them lost, the journey still ends."""

import time

import pytest

from audit.sealing import verify
from audit.signals import recorded
from gateway.connector import SkillFailed
from governance.models import Run
from runtime import tasks
from tests.desk import Desk, step
from tests.journeys import journey
from worka_site.embedded import all_ticks

PATIENCE_S = 60


@pytest.fixture
def lost(monkeypatch):
    """Nobody hears of any entry; return what would have been said."""
    said = []
    monkeypatch.setattr(recorded, "send_robust", lambda sender, event, **kwargs: said.append(event.type) or [])
    return said


@pytest.fixture
def j(committed_db, monkeypatch):
    return journey(monkeypatch)


@pytest.fixture
def ticking(j, monkeypatch):
    """The real loops, in their threads, on a clock of their own."""
    backend = j.backend
    monkeypatch.setattr("runtime.dispatch.configured_backend", lambda: backend)
    monkeypatch.setattr(j, "tick", lambda *args: None, raising=False)
    ticks = all_ticks(0.05)
    for tick in ticks:
        tick.start()
    yield ticks
    for tick in ticks:
        tick.stop()


def until(what):
    """Wait for the loops to get somewhere."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        try:
            if found := what():
                return found
        except (Run.DoesNotExist, LookupError):
            pass
        time.sleep(0.02)
    raise AssertionError("it never came to that")


def is_working(j, ref):
    from runtime.models import AgentJob

    return AgentJob.objects.filter(step__ref=ref, state__in=["submitted", "running"]).exists()


def test_with_every_message_lost_the_journey_still_ends(j, lost, ticking):
    j.ask()
    until(lambda: Run.objects.get().state == "planning" and j.backend.jobs)
    j.propose(step("read", ("a", "read", "letters")), step("write", ("b", "write", "a note"), after=("read",)))
    until(lambda: is_working(j, "read"))
    Desk.fails = [SkillFailed("not now")]
    j.call("read", "a")
    j.call("read", "a")
    j.finish("read", output={"a": 1})
    until(lambda: is_working(j, "write"))
    assert j.call("write", "b").state == "held"
    j.finish("write", "suspended", waits_for=["b"])
    j.answer()
    until(lambda: j.step("write").attempt == 2 and is_working(j, "write"))
    j.finish("write", output={"b": 2})
    until(lambda: Run.objects.get().state == "succeeded")

    assert Desk.done == [("read", "letters"), ("write", "a note")]
    assert {"run.receive", "gate.vote", "invocation.release", "run.succeed"} <= set(lost), "there was something to lose"
    assert verify().is_whole
    assert tasks.live_jobs().count() == 0 or until(lambda: tasks.live_jobs().count() == 0)
