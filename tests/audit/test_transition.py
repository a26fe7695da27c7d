from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import Barrier
from uuid import uuid4

import pytest
from django.db import DataError, connection, transaction
from django.utils.timezone import now

from audit.core.canonical import NotCanonical
from audit.core.machine import TransitionRefused
from audit.ledger import Entry
from audit.models import AuditEvent
from audit.principals import SYSTEM
from audit.rows import Wanted, find_in_order
from audit.transition import Overtaken, ReasonMissing, born, transition
from tests.audit.lamps import ADA, Lamp, LampState, hang


def test_a_move_changes_the_row_and_writes_it_down(lamps):
    lamp = hang()

    event = transition(lamp, "light", by=ADA, because="it is dark", details={"with": "a match"}, colour="red")

    row = Lamp.objects.get()
    assert (row.state, row.colour) == ("lit", "red")
    assert (lamp.state, lamp.colour) == (LampState.LIT, "red")
    assert row.state_changed_at == lamp.state_changed_at
    assert abs((now() - row.state_changed_at).total_seconds()) < 5
    assert AuditEvent.objects.get() == event
    assert (event.type, event.actor, event.because) == ("lamp.light", "user:ada", "it is dark")
    assert event.facts == {"label": "the white lamp", "with": "a match", "before": "dark", "after": "lit"}


@pytest.mark.parametrize("is_inside", [True, False])
def test_a_move_and_its_entry_are_one_statement(lamps, django_assert_num_queries, is_inside):
    lamp = hang()

    with django_assert_num_queries(1) as asked:
        if is_inside:
            with transaction.atomic(savepoint=False):
                transition(lamp, "light", by=SYSTEM)
        else:
            transition(lamp, "light", by=SYSTEM)

    assert "UPDATE" in asked[0]["sql"]
    assert "INSERT" in asked[0]["sql"]
    assert AuditEvent.objects.get().type == "lamp.light"


def test_an_event_that_the_machine_does_not_have_there_changes_nothing(lamps):
    lamp = hang(LampState.BROKEN)

    with pytest.raises(TransitionRefused, match="a lamp that is broken cannot light"):
        transition(lamp, "light", by=SYSTEM)

    assert Lamp.objects.get().state == "broken"
    assert not AuditEvent.objects.exists()


def test_who_comes_second_is_told_and_changes_nothing(lamps):
    lamp = hang()
    stale = Lamp.objects.get()
    transition(lamp, "light", by=SYSTEM)

    with pytest.raises(Overtaken, match="no longer dark") as refused:
        transition(stale, "smash", by=SYSTEM)

    assert refused.value.code == "overtaken"
    assert stale.state == "dark"
    assert Lamp.objects.get().state == "lit"
    assert [event.type for event in AuditEvent.objects.all()] == ["lamp.light"]


def test_after_a_refusal_the_transaction_goes_on(lamps):
    lamp, other = hang(), hang(colour="green")
    stale = Lamp.objects.get(pk=lamp.pk)
    transition(lamp, "light", by=SYSTEM)

    with transaction.atomic():
        with pytest.raises(Overtaken):
            transition(stale, "light", by=SYSTEM)
        with pytest.raises(NotCanonical):
            transition(other, "light", by=SYSTEM, details={"x": float("nan")})
        assert Lamp.objects.get(pk=other.pk).state == "dark"
        transition(other, "light", by=SYSTEM)

    assert AuditEvent.objects.filter(type="lamp.light").count() == 2


def test_a_row_that_is_gone_counts_as_overtaken(lamps):
    lamp = hang()
    Lamp.objects.all().delete()

    with pytest.raises(Overtaken):
        transition(lamp, "light", by=SYSTEM)


@pytest.mark.parametrize("because", ["", "  \n"])
def test_a_person_must_say_why(lamps, because):
    lamp = hang()

    with pytest.raises(ReasonMissing) as refused:
        transition(lamp, "light", by=ADA, because=because)

    assert refused.value.code == "invalid"
    assert Lamp.objects.get().state == "dark"
    assert not AuditEvent.objects.exists()


def test_outside_a_transaction_both_are_written_or_neither(committed_lamps, monkeypatch):
    lamp = hang()

    def too_long(self, *args, **kwargs):
        # The data base refuses the entry, with the move in the same statement.
        return real(replace(self, columns={**self.columns, "type": "x" * 500}), *args, **kwargs)

    real = Entry.write_with
    monkeypatch.setattr(Entry, "write_with", too_long)
    with pytest.raises(DataError):
        transition(lamp, "light", by=SYSTEM)

    assert Lamp.objects.get().state == "dark"
    assert lamp.state == "dark"
    assert not AuditEvent.objects.exists()


def test_a_birth_is_named_by_the_state_it_was_in(lamps):
    born(hang(LampState.LIT), by=ADA, weight=2)

    event = AuditEvent.objects.get()
    assert event.type == "lamp.hang_lit"
    assert event.facts == {"label": "the white lamp", "weight": 2, "after": "lit"}


def test_nothing_is_born_in_a_state_that_it_must_grow_into(lamps):
    with pytest.raises(TransitionRefused, match="cannot be born broken"):
        born(hang(LampState.BROKEN), by=SYSTEM)

    assert not AuditEvent.objects.exists()


def test_a_birth_outside_a_transaction_is_a_mistake(committed_lamps):
    lamp = hang()

    with pytest.raises(transaction.TransactionManagementError):
        born(lamp, by=SYSTEM)


@pytest.mark.concurrency
def test_of_eight_moves_at_once_exactly_one_counts(committed_lamps):
    """Guard: `state=before` in the UPDATE of audit.transition."""
    lamp = hang()
    barrier = Barrier(8)

    def light(_):
        mine = Lamp.objects.get(pk=lamp.pk)
        barrier.wait(10)
        try:
            return transition(mine, "light", by=SYSTEM)
        except Overtaken as refused:
            return refused
        finally:
            connection.close()

    with ThreadPoolExecutor(8) as pool:
        outcomes = list(pool.map(light, range(8)))

    assert sum(isinstance(outcome, AuditEvent) for outcome in outcomes) == 1
    assert sum(isinstance(outcome, Overtaken) for outcome in outcomes) == 7
    assert AuditEvent.objects.count() == 1
    assert Lamp.objects.get().state == "lit"


def test_rows_that_are_found_in_one_exchange_come_in_their_order_and_locked_only_in_a_transaction(
    lamps, django_assert_num_queries
):
    first, second = hang(), hang()
    asked = [Wanted(Lamp, {"pk": second.pk}), Wanted(Lamp, {"pk": uuid4()}), Wanted(Lamp, {"pk": first.pk})]

    with django_assert_num_queries(3):
        found = find_in_order(*asked)

    assert found == [second, None, first]
    with ThreadPoolExecutor() as elsewhere, pytest.raises(RuntimeError, match="locks nothing"):
        elsewhere.submit(find_in_order, *asked).result()
