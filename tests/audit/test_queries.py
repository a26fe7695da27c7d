from datetime import timedelta
from uuid import UUID

import pytest
import time_machine
from django.utils.timezone import now

from audit import correlation
from audit.core.refusals import Refused
from audit.ledger import record
from audit.principals import SYSTEM
from audit.queries import MAX_PAGE, Filter, entries_after, entry, page_of, visible_entries
from audit.sealing import seal_all
from tests.audit.lamps import ADA, Lamp

ACME = UUID("0199aaaa-0000-7000-8000-00000000000a")
OTHER = UUID("0199aaaa-0000-7000-8000-00000000000b")
RUN = UUID("0199aaaa-0000-7000-8000-0000000000aa")


def write(workspace=ACME, type_="lamp.light", by=SYSTEM, run=None, **kwargs):
    return record(type_, Lamp(workspace_id=workspace, run_id=run), by=by, **kwargs)


def ids(entries):
    return [one.pk for one in entries]


@pytest.fixture
def mixed(db, heads):
    """Five sealed entries of acme among others, and two that wait for the sealer."""
    made = []
    for _ in range(5):
        made.append(write())
        write(OTHER)
        record("key.rotate", "audit.key:1", by=SYSTEM)
    seal_all()
    made += [write(), write()]
    write(OTHER)
    return made


def test_only_ones_own_workspaces_are_seen_newest_first(mixed):
    assert ids(visible_entries([ACME])) == ids(reversed(mixed))


def test_who_belongs_nowhere_sees_nothing_and_auditors_see_all(mixed):
    assert ids(visible_entries([])) == []
    assert visible_entries(None).count() == 18


@pytest.mark.parametrize("limit", [1, 2, 3, 6, 7, 8])
def test_pages_show_each_entry_once(mixed, limit):
    seen, cursor = [], ""
    while True:
        page = page_of(visible_entries([ACME]), cursor=cursor, limit=limit)
        assert len(page.entries) <= limit
        seen += ids(page.entries)
        cursor = page.next_cursor
        if not cursor:
            break

    assert seen == ids(reversed(mixed))


def test_entries_that_come_while_one_reads_do_not_shift_the_pages(mixed):
    first = page_of(visible_entries([ACME]), limit=3)
    write()
    seal_all()

    second = page_of(visible_entries([ACME]), cursor=first.next_cursor, limit=50)

    assert ids(first.entries + second.entries) == ids(reversed(mixed))


@pytest.mark.parametrize("cursor", ["x", "-1", "1.5", "u", "uu1", "1; DROP", "9" * 30, "١"])
def test_a_cursor_that_was_never_given_out_is_refused(mixed, cursor):
    with pytest.raises(Refused) as refused:
        page_of(visible_entries(None), cursor=cursor)

    assert refused.value.code == "bad_request"


def test_a_page_has_its_limits(mixed):
    assert len(page_of(visible_entries(None), limit=-5).entries) == 1
    assert len(page_of(visible_entries(None), limit=10**9).entries) == 18
    assert MAX_PAGE == 200


def test_the_list_is_found_by_every_column(db):
    with correlation.bind("req-1"):
        mine = write(run=RUN, by=ADA, because="a tidy house", type_="lamp.polish")
    write()

    for wanted in [
        Filter(type="lamp.polish"), Filter(actor="user:ada"), Filter(run=RUN), Filter(correlation_id="req-1"),
        Filter(subject=mine.subject), Filter(text="TIDY"), Filter(text="user:AD"), Filter(type="lamp.polish", run=RUN),
    ]:  # fmt: skip
        assert ids(visible_entries([ACME], wanted)) == [mine.pk], wanted
    assert visible_entries([ACME], Filter(type="lamp.")).count() == 2
    assert visible_entries([ACME], Filter(text="the white")).count() == 2
    assert visible_entries([ACME], Filter()).count() == 2
    assert visible_entries([ACME], Filter(type="lamp")).count() == 0
    assert visible_entries([OTHER], Filter(type="lamp.")).count() == 0


def test_the_list_is_found_by_time(db):
    with time_machine.travel("2026-11-20T08:00:00Z", tick=False):
        old = write()
        between = now() + timedelta(hours=1)
    with time_machine.travel("2026-11-21T08:00:00Z", tick=False):
        new = write()

    assert ids(visible_entries([ACME], Filter(since=between))) == [new.pk]
    assert ids(visible_entries([ACME], Filter(until=between))) == [old.pk]


def test_one_entry_is_found_only_by_who_may_see_it(mixed):
    assert entry(mixed[0].pk, [ACME]) == mixed[0]
    assert entry(mixed[0].pk, None) == mixed[0]
    for hidden in ([OTHER], []):
        with pytest.raises(Refused) as refused:
            entry(mixed[0].pk, hidden)
        assert refused.value.code == "not_found"


def test_a_stream_follows_positions_and_waits_for_the_seal(mixed):
    assert ids(entries_after(0, [ACME])) == ids(mixed[:5])
    middle = entries_after(0, [ACME], limit=2)
    assert ids(entries_after(middle[-1].position, [ACME])) == ids(mixed[2:5])

    seal_all()

    assert ids(entries_after(middle[-1].position, [ACME])) == ids(mixed[2:])
    assert len(entries_after(0, None)) == 18


def test_lists_cost_the_same_however_many_rows_there_are(mixed, django_assert_num_queries):
    with django_assert_num_queries(1):
        page_of(visible_entries([ACME]), limit=3)
    for _ in range(20):
        write()
    with django_assert_num_queries(1):
        page_of(visible_entries([ACME]), limit=20)
