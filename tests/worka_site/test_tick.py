"""The tick: each task has its turn, whatever the others do; the ledger's bell makes it sooner, never possible."""

import logging
import threading
import time

import pytest

from audit import correlation
from audit.signals import recorded
from worka_site.embedded import Due, Tick

PATIENCE_S = 10


@pytest.fixture
def running(request):
    ticks = []

    def run(tasks, interval_s):
        tick = Tick(request.node.name, [task if isinstance(task, Due) else Due(task) for task in tasks], interval_s)
        ticks.append(tick)
        tick.start()
        return tick

    yield run
    for tick in ticks:
        tick.stop()
        assert not tick.is_alive()


@pytest.fixture(autouse=True)
def _no_data_base(django_db_blocker):
    """Closing what was never opened must not need one."""
    with django_db_blocker.unblock():
        yield


def counter(wanted):
    """Return a task and the event that is set when it has had `wanted` turns."""
    reached, turns = threading.Event(), []

    def task():
        turns.append(time.monotonic())
        if len(turns) >= wanted:
            reached.set()

    return task, reached, turns


def test_a_task_that_fails_stops_neither_the_others_nor_itself(running, caplog):
    tries = []

    def broken():
        tries.append(1)
        raise RuntimeError("it went wrong")

    task, reached, _ = counter(3)
    with caplog.at_level(logging.ERROR):
        running([broken, task], 0.01)
        assert reached.wait(PATIENCE_S)

    assert len(tries) >= 2
    assert "task_failed" in caplog.text
    assert "it went wrong" in caplog.text


def test_it_comes_back_without_any_bell(running):
    task, reached, _ = counter(3)

    running([task], 0.02)

    assert reached.wait(PATIENCE_S)


def test_a_new_entry_of_the_ledger_begins_the_next_round_at_once(running):
    first, second = threading.Event(), threading.Event()

    def task():
        (second if first.is_set() else first).set()

    running([task], 3600)
    assert first.wait(PATIENCE_S)
    recorded.send_robust(sender=object, event=None)

    assert second.wait(PATIENCE_S)


def test_a_bell_that_rings_during_a_round_is_not_lost(running):
    began, go_on, again = threading.Event(), threading.Event(), threading.Event()

    def task():
        if began.is_set():
            again.set()
        began.set()
        go_on.wait(PATIENCE_S)

    running([task], 3600)
    assert began.wait(PATIENCE_S)
    recorded.send_robust(sender=object, event=None)
    go_on.set()

    assert again.wait(PATIENCE_S)


def test_a_rare_task_is_not_called_at_every_bell(running):
    often, reached, _ = counter(5)
    rare_turns = []
    tick = running([often, Due(lambda: rare_turns.append(1), every_s=3600)], 3600)

    while not reached.is_set():
        tick.ring()
        time.sleep(0.005)

    assert len(rare_turns) == 1


def test_a_bell_within_a_pause_is_answered_after_it_and_without_one_nobody_is_asked(running):
    task, reached, turns = counter(2)
    tick = running([Due(task, every_s=0.2)], 3600)
    while not turns:
        time.sleep(0.005)
    time.sleep(0.5)
    assert len(turns) == 1, "nothing has rung"

    tick.ring()
    assert reached.wait(PATIENCE_S)
    tick.ring()
    deadline = time.monotonic() + PATIENCE_S
    while len(turns) < 3 and time.monotonic() < deadline:
        time.sleep(0.005)

    assert len(turns) == 3 and turns[2] - turns[1] >= 0.2


def test_each_turn_has_a_correlation_id_of_its_own(running):
    seen: list[str] = []
    done = threading.Event()

    def task():
        seen.append(correlation.current())
        if len(seen) == 2:
            done.set()

    running([task], 0.01)
    assert done.wait(PATIENCE_S)

    assert len(set(seen[:2])) == 2
    assert all(seen)


def test_a_stopped_tick_listens_no_more(running):
    task, reached, turns = counter(1)
    tick = running([task], 3600)
    assert reached.wait(PATIENCE_S)

    tick.stop()
    before = len(turns)
    recorded.send_robust(sender=object, event=None)

    assert not tick.is_alive()
    assert len(turns) == before
