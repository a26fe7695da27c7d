import json
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Event

import pytest
import time_machine
from django.db import connections
from django.utils.timezone import now

from audit.deliver import deliver, deliver_all, sinks_health
from audit.models import SinkCursor
from audit.sealing import seal
from audit.sink import Sink
from audit.tasks import deliver_sinks


class Memory(Sink):
    """Keeps what it is given, and fails when told to."""

    def __init__(self, fails_at=None):
        self.positions = []
        self.fails_at = fails_at

    def write(self, events):
        if self.fails_at is not None and any(event.position == self.fails_at for event in events):
            raise ConnectionError("the other side hung up\x1b[2J")
        self.positions += [event.position for event in events]


@pytest.fixture
def sinks(monkeypatch, settings):
    """Sinks by name, in place of those of the settings."""
    made = {}

    def use(**named):
        made.update(named)
        settings.WORKA_SINKS = tuple(made)
        classes = {
            name: type(name, (), {"configured": staticmethod(lambda sink=sink: sink)}) for name, sink in made.items()
        }
        monkeypatch.setattr("audit.deliver.all_sinks", lambda: classes)

    return use


def cursor_of(name):
    return SinkCursor.objects.get(sink=name)


def test_a_sink_gets_sealed_entries_once_and_in_order(log, heads):
    sink = Memory()
    log(3)
    assert deliver("memory", sink) == 0
    seal()
    log(2)

    assert deliver("memory", sink) == 3
    assert deliver("memory", sink) == 0
    seal()
    assert deliver("memory", sink) == 2

    assert sink.positions == [1, 2, 3, 4, 5]
    assert cursor_of("memory").position == 5
    assert cursor_of("memory").delivered_at is not None


def test_a_round_is_bounded_and_the_next_goes_on(log, heads, monkeypatch):
    monkeypatch.setattr("audit.deliver.BATCH", 2)
    sink = Memory()
    log(7)
    seal()

    assert deliver("memory", sink, batches=2) == 4
    assert deliver("memory", sink, batches=2) == 3
    assert sink.positions == [1, 2, 3, 4, 5, 6, 7]


def test_a_crash_between_storing_and_moving_the_cursor_repeats_and_loses_nothing(log, heads, monkeypatch):
    sink = Memory()
    log(2)
    seal()
    with monkeypatch.context() as patch:
        patch.setattr("audit.deliver.now", lambda: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            deliver("memory", sink)

    deliver("memory", sink)

    assert sink.positions == [1, 2, 1, 2]


def test_a_sink_that_fails_holds_up_no_other_and_says_so(log, heads, sinks, caplog):
    broken, well = Memory(fails_at=1), Memory()
    sinks(broken=broken, well=well)
    log(3)
    seal()

    deliver_sinks()

    assert well.positions == [1, 2, 3]
    assert broken.positions == []
    health = {one.name: one for one in sinks_health()}
    assert health["well"].is_healthy
    assert (health["well"].behind, health["well"].waiting_since) == (0, None)
    assert not health["broken"].is_healthy
    assert (health["broken"].position, health["broken"].behind) == (0, 3)
    assert health["broken"].last_error == "ConnectionError: the other side hung up\\u001b[2J"
    assert health["broken"].failing_since is not None
    assert health["broken"].waiting_since is not None


def test_a_sink_that_failed_is_left_alone_longer_each_time_and_then_catches_up(log, heads, sinks, caplog):
    sink = Memory(fails_at=1)
    sinks(memory=sink)
    log(1)
    seal()
    began = now()
    waits = []
    with time_machine.travel(began, tick=False) as clock:
        for _ in range(12):
            deliver_all()
            waits.append((cursor_of("memory").retry_at - now()).total_seconds())
            clock.move_to(cursor_of("memory").retry_at - timedelta(microseconds=1))
            failures = cursor_of("memory").failures
            deliver_all()
            assert cursor_of("memory").failures == failures
            clock.shift(timedelta(microseconds=1))
        assert cursor_of("memory").failing_since == began
        sink.fails_at = None
        deliver_all()

    assert waits == [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300]
    cursor = cursor_of("memory")
    assert sink.positions == [1]
    assert (cursor.failures, cursor.failing_since, cursor.retry_at, cursor.last_error) == (0, None, None, "")


def test_entries_before_the_one_that_fails_are_not_lost(log, heads, sinks, monkeypatch, caplog):
    monkeypatch.setattr("audit.deliver.BATCH", 2)
    sink = Memory(fails_at=4)
    sinks(memory=sink)
    log(5)
    seal()

    deliver_all()
    assert (sink.positions, cursor_of("memory").position) == ([1, 2], 2)

    sink.fails_at = None
    SinkCursor.objects.update(retry_at=None)
    deliver_all()
    assert sink.positions == [1, 2, 3, 4, 5]


def test_a_sink_that_does_not_exist_is_named(log, heads, settings, caplog, capsys):
    settings.WORKA_SINKS = ("nowhere", "stdout")
    log(1)
    seal()

    deliver_all()

    health = {one.name: one for one in sinks_health()}
    assert (
        "there is no sink called nowhere; there are json_file, stdout, syslog, webhook" in health["nowhere"].last_error
    )
    assert health["stdout"].is_healthy
    assert json.loads(capsys.readouterr().out)["position"] == 1


def test_a_sink_that_does_not_exist_is_unhealthy_before_anything_is_delivered(committed_db, settings):
    settings.WORKA_SINKS = ("nowhere",)

    (health,) = sinks_health()

    assert not health.is_healthy


@pytest.mark.concurrency
def test_two_processes_never_write_to_one_sink_at_once(log, heads):
    """Guard: the advisory lock in `audit.deliver._alone_with`."""
    inside, leave = Event(), Event()

    class Slow(Memory):
        def write(self, events):
            inside.set()
            assert leave.wait(10)
            super().write(events)

    slow, second, other = Slow(), Memory(), Memory()
    log(2)
    seal()

    def first():
        try:
            return deliver("one", slow)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(1) as pool:
        delivered = pool.submit(first)
        assert inside.wait(10)
        assert deliver("one", second) == 0
        assert deliver("other", other) == 2
        leave.set()
        assert delivered.result() == 2

    assert second.positions == []
    assert deliver("one", second) == 0
    assert cursor_of("one").position == 2
