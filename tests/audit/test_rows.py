"""The statements of the hot path: what is written together, moved before it was sent, and asked in one exchange."""

from contextlib import contextmanager, suppress
from datetime import datetime
from uuid import uuid4

import psycopg
import pytest
from django.db import DataError, IntegrityError, connection, transaction
from django.utils.timezone import now
from psycopg import _queries
from psycopg.errors import LockNotAvailable

from audit.models import AuditEvent
from audit.principals import SYSTEM
from audit.rows import Asked, Wanted, along, find, find_in_order, hold, insert, lock_unread, swap, together
from audit.transition import Overtaken, born, transition
from tests.audit.lamps import Lamp, LampState, hang

PAINT = "UPDATE lamps_lamp SET colour = %s WHERE id = %s"


def send_what_waits():
    connection.cursor().close()


def types():
    return list(AuditEvent.objects.order_by("id").values_list("type", flat=True))


def test_a_new_row_that_moves_on_before_it_is_sent_is_one_statement_with_all_its_entries(
    lamps, django_assert_num_queries
):
    lamp = Lamp(state=LampState.DARK)

    with django_assert_num_queries(0), together():
        insert(lamp)
        born(lamp, by=SYSTEM)
        transition(lamp, "light", by=SYSTEM, colour="red")
        transition(lamp, "quench", by=SYSTEM, gift="from Ada")

    send_what_waits()
    assert Lamp.objects.values_list("state", "colour", "gift").get() == ("dark", "red", "from Ada")
    assert types() == ["lamp.hang", "lamp.light", "lamp.quench"]
    assert [event.facts["after"] for event in AuditEvent.objects.order_by("id")] == ["dark", "lit", "dark"]


def test_a_row_that_waits_in_another_state_is_not_moved(lamps):
    lamp = Lamp(state=LampState.LIT)
    event = AuditEvent(type="lamp.light")

    with together():
        insert(lamp)
        assert not swap(lamp, {"state": "broken"}, state="dark", noting=event)

    assert Lamp.objects.get().state == "lit"
    assert types() == []


def test_a_row_that_is_there_already_moves_after_what_waits(lamps):
    old, new = hang(), Lamp(state=LampState.DARK)

    with together():
        insert(new)
        born(new, by=SYSTEM)
        transition(old, "light", by=SYSTEM)

    assert types() == ["lamp.hang", "lamp.light"]
    assert Lamp.objects.get(pk=old.pk).state == "lit"


def test_nothing_is_sent_of_what_broke_off(lamps, django_assert_num_queries):
    with django_assert_num_queries(0), pytest.raises(ZeroDivisionError), together():
        insert(Lamp(state=LampState.DARK))
        along(PAINT, ["red", uuid4()])
        raise ZeroDivisionError

    assert not Lamp.objects.exists()


def test_a_statement_goes_along_with_the_move_that_comes_next(lamps, django_assert_num_queries):
    lamp, other = hang(), hang()

    with django_assert_num_queries(1), together():
        along(PAINT, ["red", other.pk])
        transition(lamp, "light", by=SYSTEM)

    assert Lamp.objects.get(pk=other.pk).colour == "red"
    assert Lamp.objects.get(pk=lamp.pk).state == "lit"
    assert types() == ["lamp.light"]


def test_a_statement_that_nothing_follows_waits_for_whatever_comes_next_and_outside_it_is_sent_at_once(
    lamps, django_assert_num_queries
):
    first, second = hang(), hang()

    with django_assert_num_queries(1):
        along(PAINT, ["red", first.pk])
        with together():
            along(PAINT, ["blue", second.pk])
    with django_assert_num_queries(1):
        send_what_waits()

    assert [Lamp.objects.get(pk=each.pk).colour for each in (first, second)] == ["red", "blue"]


def test_who_is_overtaken_rolls_back_what_went_along(committed_lamps):
    lamp, other = hang(), hang()
    stale = Lamp.objects.get(pk=lamp.pk)
    transition(lamp, "light", by=SYSTEM)

    with pytest.raises(Overtaken), transaction.atomic(), together():
        along(PAINT, ["red", other.pk])
        transition(stale, "light", by=SYSTEM)

    assert Lamp.objects.get(pk=other.pk).colour == "white"
    assert types() == ["lamp.light"]


def test_plain_values_are_asked_in_the_same_exchange_and_after_the_rows(lamps):
    lamp = hang(colour="red")

    found = find_in_order(
        Wanted(Lamp, {"pk": lamp.pk}),
        Asked("SELECT colour, %s::int FROM lamps_lamp WHERE id = %s", (7, lamp.pk)),
        Asked("SELECT 1 WHERE false", ()),
        Wanted(Lamp, {"pk": uuid4()}, locked=False),
    )

    assert found == [lamp, ("red", 7), None, None]


def test_values_go_to_the_data_base_as_the_orm_would_send_them(lamps):
    lamp = Lamp(id=str(uuid4()), state=LampState.LIT, state_changed_at=now(), colour="red", gift=None)

    insert(lamp)

    stored = Lamp.objects.get()
    assert (str(stored.pk), stored.state, stored.colour, stored.gift) == (lamp.pk, "lit", "red", None)
    assert stored.state_changed_at == lamp.state_changed_at


def test_a_time_without_a_zone_is_refused_as_everywhere(lamps):
    with pytest.raises(RuntimeWarning, match="received a naive datetime"):
        insert(Lamp(state=LampState.LIT, state_changed_at=datetime(2026, 1, 1)))


def test_what_is_too_long_is_refused_and_never_cut(committed_lamps):
    lamp = hang()

    with pytest.raises(DataError):
        insert(Lamp(state=LampState.DARK, colour="x" * 17))
    with pytest.raises(DataError):
        transition(lamp, "light", by=SYSTEM, colour="x" * 17)

    assert not connection.in_atomic_block
    assert Lamp.objects.get().colour == "white"


def test_a_row_is_read_as_the_orm_would_read_it(lamps):
    lamp = Lamp(state=LampState.DARK, colour="blue")
    insert(lamp)

    read, known = find(Lamp, pk=lamp.pk), Lamp.objects.get()

    assert read == known == lamp
    assert {**vars(read), "_state": 0} == {**vars(known), "_state": 0}
    assert vars(read._state) == vars(known._state)
    assert not read.get_deferred_fields()


def test_how_a_long_statement_is_read_is_remembered(lamps):
    before = _queries._query2pg.cache_info().hits

    for _ in range(3):
        with together():
            for _ in range(30):
                insert(Lamp(state=LampState.DARK))
        send_what_waits()

    assert _queries._query2pg.cache_info().hits >= before + 2


# --- What waits for COMMIT ---


@contextmanager
def another_connection():
    with psycopg.connect(connection.connection.info.dsn, autocommit=True) as other:
        yield other


def test_what_nobody_waits_for_goes_with_commit(committed_lamps, django_assert_num_queries):
    with transaction.atomic():
        with together():
            lamp = Lamp(state=LampState.DARK)
            insert(lamp)
            born(lamp, by=SYSTEM)
        with another_connection() as other:
            assert other.execute("SELECT count(*) FROM lamps_lamp").fetchone() == (0,)

    with another_connection() as other:
        assert other.execute("SELECT state FROM lamps_lamp").fetchall() == [("dark",)]
    assert types() == ["lamp.hang"]


def test_what_is_wrong_with_it_undoes_everything_and_is_told_by_the_commit(committed_lamps):
    told = []

    with pytest.raises(IntegrityError), transaction.atomic():
        transaction.on_commit(lambda: told.append("committed"))
        Lamp.objects.create(state=LampState.LIT)
        lamp = Lamp(state=LampState.DARK)
        with together():
            insert(lamp)
            along("INSERT INTO lamps_lamp (id, state, colour) VALUES (%s, 'lit', 'red')", [lamp.pk])

    assert (Lamp.objects.count(), types(), told) == (0, [], [])
    hang()
    assert Lamp.objects.count() == 1, "the connection goes on"


def test_an_error_before_leaves_it_unsent(committed_lamps, django_assert_num_queries):
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        with together():
            insert(Lamp(state=LampState.DARK))
        raise ZeroDivisionError

    assert not Lamp.objects.exists()


def test_a_savepoint_that_is_rolled_back_takes_it_along_and_the_transaction_goes_on(committed_lamps):
    with transaction.atomic():
        with together():
            insert(Lamp(state=LampState.DARK, colour="outer"))
        with suppress(ZeroDivisionError), transaction.atomic():
            with together():
                insert(Lamp(state=LampState.DARK, colour="inner"))
            raise ZeroDivisionError

    assert [lamp.colour for lamp in Lamp.objects.all()] == ["outer"]


def test_a_row_that_was_locked_and_read_is_moved_with_commit(committed_lamps, django_assert_num_queries):
    pk, other = hang().pk, hang()

    with transaction.atomic():
        (lamp,) = find_in_order(Wanted(Lamp, {"pk": pk}))
        with django_assert_num_queries(0), together():
            along(PAINT, ["red", other.pk])
            transition(lamp, "light", by=SYSTEM)

    assert (Lamp.objects.get(pk=pk).state, Lamp.objects.get(pk=other.pk).colour) == ("lit", "red")
    assert types() == ["lamp.light"]


def test_one_that_was_read_in_an_earlier_transaction_is_compared_at_once(committed_lamps):
    pk = hang().pk
    with transaction.atomic():
        (lamp,) = find_in_order(Wanted(Lamp, {"pk": pk}))
    Lamp.objects.update(state=LampState.BROKEN)

    with transaction.atomic(), together(), pytest.raises(Overtaken):
        transition(lamp, "light", by=SYSTEM)

    assert types() == []


def test_one_that_was_locked_in_a_savepoint_that_is_gone_is_compared_at_once(committed_lamps):
    pk = hang().pk

    with transaction.atomic():
        with suppress(ZeroDivisionError), transaction.atomic():
            (lamp,) = find_in_order(Wanted(Lamp, {"pk": pk}))
            raise ZeroDivisionError
        Lamp.objects.update(state=LampState.BROKEN)
        with together(), pytest.raises(Overtaken):
            transition(lamp, "light", by=SYSTEM)

    assert types() == []


def test_what_comes_after_a_move_that_waits_comes_after_it_in_the_ledger(committed_lamps):
    pk = hang().pk

    with transaction.atomic():
        (lamp,) = find_in_order(Wanted(Lamp, {"pk": pk}))
        with together():
            transition(lamp, "light", by=SYSTEM)
            other = Lamp(state=LampState.DARK)
            insert(other)
            born(other, by=SYSTEM)
            transition(lamp, "quench", by=SYSTEM)

    assert types() == ["lamp.light", "lamp.hang", "lamp.quench"]
    assert Lamp.objects.get(pk=pk).state == "dark"


def test_what_is_inserted_after_a_move_that_waits_is_not_lost(committed_lamps):
    pk = hang().pk

    with transaction.atomic():
        (lamp,) = find_in_order(Wanted(Lamp, {"pk": pk}))
        with together():
            transition(lamp, "light", by=SYSTEM)
            insert(Lamp(state=LampState.BROKEN))

    assert sorted(Lamp.objects.values_list("state", flat=True)) == ["broken", "lit"]


def test_nor_is_a_statement_after_one(committed_lamps):
    pk = hang().pk

    with transaction.atomic():
        (lamp,) = find_in_order(Wanted(Lamp, {"pk": pk}))
        with together():
            transition(lamp, "light", by=SYSTEM)
            along(PAINT, ["red", pk])

    assert Lamp.objects.values_list("state", "colour").get() == ("lit", "red")


def test_a_row_that_was_only_held_and_is_another_one_by_now_fails_as_a_whole(committed_lamps):
    lamp, other = hang(), hang()
    Lamp.objects.filter(pk=lamp.pk).update(state=LampState.BROKEN)

    with pytest.raises(DataError, match="0 rows were as they were read"), transaction.atomic():
        lock_unread(Lamp, lamp.pk)
        hold(lamp)
        with together():
            along(PAINT, ["red", other.pk])
            transition(lamp, "light", by=SYSTEM)

    assert (Lamp.objects.get(pk=other.pk).colour, types()) == ("white", [])


def test_a_lock_that_waits_is_a_lock(committed_lamps):
    lamp = hang()

    with transaction.atomic():
        lock_unread(Lamp, lamp.pk)
        send_what_waits()
        with another_connection() as other, pytest.raises(LockNotAvailable):
            other.execute("SELECT 1 FROM lamps_lamp FOR UPDATE NOWAIT")


def test_a_column_that_is_left_out_is_fetched_when_somebody_asks(lamps, django_assert_num_queries):
    lamp = hang(colour="red", gift="from Ada")

    (found,) = find_in_order(Wanted(Lamp, {"pk": lamp.pk}, without=("colour",)))

    assert found.get_deferred_fields() == {"colour"}
    with django_assert_num_queries(0):
        assert (found.state, found.gift) == ("dark", "from Ada")
    with django_assert_num_queries(1):
        assert found.colour == "red"
