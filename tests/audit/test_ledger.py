from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from uuid import UUID

import pytest
import time_machine
from django.db import transaction
from hypothesis import HealthCheck, example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from audit import correlation
from audit.core.canonical import NotCanonical, canonical, escaped
from audit.ledger import record
from audit.models import AuditEvent
from audit.principals import SYSTEM, Principal
from audit.signals import recorded
from audit.verification import changed_column
from tests.audit.lamps import ADA, ERNEST, hang

WORKSPACE = UUID("0199aaaa-0000-7000-8000-000000000001")
RUN = UUID("0199aaaa-0000-7000-8000-000000000002")


@time_machine.travel("2026-11-21T08:00:00.5Z", tick=False)
def test_an_entry_says_who_did_what_to_what_when_why_and_for_whom(lamps):
    lamp = hang(workspace_id=WORKSPACE, run_id=RUN)

    with correlation.bind("req-1"):
        record("lamp.polish", lamp, by=ERNEST, because="it was dusty", strokes=3)

    event = AuditEvent.objects.get()
    assert event.type == "lamp.polish"
    assert event.subject == f"lamps.lamp:{lamp.pk}"
    assert (event.subject_kind, event.subject_id) == ("lamps.lamp", str(lamp.pk))
    assert (event.actor, event.actor_id, event.on_behalf_of) == ("agent:ernest", "3", "user:ada")
    assert event.because == "it was dusty"
    assert event.facts == {"label": "the white lamp", "strokes": 3}
    assert event.at == datetime(2026, 11, 21, 8, 0, 0, 500_000, UTC)
    assert (event.workspace, event.run) == (WORKSPACE, RUN)
    assert event.correlation_id == "req-1"
    assert event.position is None
    assert event.seal is None
    assert str(event) == f"lamp.polish of lamps.lamp:{lamp.pk}"


@time_machine.travel("2026-11-21T08:00:00Z", tick=False)
def test_the_canonical_bytes_are_stored_and_say_all_of_it(lamps):
    record("lamp.polish", hang(id=RUN, workspace_id=WORKSPACE), by=ADA, because="dust", strokes=3)

    body = bytes(AuditEvent.objects.get().body)

    assert body == canonical({
        "v": 1, "type": "lamp.polish", "subject": f"lamps.lamp:{RUN}", "actor": "user:ada", "actor_id": "7",
        "via": "api_key:wk_ab12", "on_behalf_of": "", "because": "dust", "correlation_id": "",
        "facts": {"label": "the white lamp", "strokes": 3}, "at": "2026-11-21T08:00:00.000000Z",
        "workspace": str(WORKSPACE), "run": None,
    })  # fmt: skip


def test_an_entry_costs_one_statement(lamps, django_assert_num_queries):
    lamp = hang()

    with django_assert_num_queries(1) as asked:
        record("lamp.polish", lamp, by=SYSTEM)

    assert asked[0]["sql"].startswith("INSERT")


def test_the_workspace_and_the_run_are_their_own_scope(db):
    workspace = type(
        "Workspace",
        (),
        {"pk": WORKSPACE, "_meta": type("M", (), {"model_name": "workspace", "label_lower": "governance.workspace"})},
    )
    run = type(
        "Run",
        (),
        {
            "pk": RUN,
            "workspace_id": WORKSPACE,
            "_meta": type("M", (), {"model_name": "run", "label_lower": "governance.run"}),
        },
    )

    record("workspace.freeze", workspace(), by=ADA, because="smoke")
    record("run.cancel", run(), by=ADA, because="enough")

    frozen, cancelled = AuditEvent.objects.order_by("id")
    assert (frozen.workspace, frozen.run) == (WORKSPACE, None)
    assert (cancelled.workspace, cancelled.run) == (WORKSPACE, RUN)


def test_what_is_no_row_is_named_by_a_text(db):
    record("key.rotate", "audit.key:00ff", by=SYSTEM)

    event = AuditEvent.objects.get()
    assert (event.subject, event.workspace, event.run) == ("audit.key:00ff", None, None)


class Colour(Enum):
    RED = "red"


def test_facts_become_json(db):
    record(
        "lamp.polish", "lamps.lamp:1", by=SYSTEM, id=RUN, on=date(2026, 11, 21), at=datetime(2026, 11, 21, 8, tzinfo=UTC),
        cost_usd=Decimal("0.10"), took=timedelta(seconds=1.5), labels={"b", "a"}, big=2**60, colour=Colour.RED,
        nested={"ids": (RUN,), "deep": [{"x": None, "y": True, "z": 0.5}]},
    )  # fmt: skip

    event = AuditEvent.objects.get()
    assert event.facts == {
        "id": str(RUN), "on": "2026-11-21", "at": "2026-11-21T08:00:00.000000Z", "cost_usd": "0.10", "took": 1.5,
        "labels": ["a", "b"], "big": str(2**60), "colour": "red",
        "nested": {"ids": [str(RUN)], "deep": [{"x": None, "y": True, "z": 0.5}]},
    }  # fmt: skip
    assert event.exact["facts"] == event.facts


def test_facts_may_be_called_like_parts_of_an_entry(db):
    record("lamp.polish", "lamps.lamp:1", by=SYSTEM, type="oil", subject="wick")

    event = AuditEvent.objects.get()
    assert event.type == "lamp.polish"
    assert event.facts == {"type": "oil", "subject": "wick"}


@pytest.mark.parametrize("text", ["a\x00b", "\ud800", "\u202etxt.exe", "\x1b[2Jgone"])
def test_hostile_text_is_escaped_wherever_it_stands(db, text):
    by = Principal("agent", f"e{text}", on_behalf_of=f"user:{text}", via=text)

    record("lamp.polish", "lamps.lamp:1", by=by, because=text, words=[text], **{f"key{text}": 1})

    event = AuditEvent.objects.get()
    harmless = escaped(text)
    assert harmless != text
    assert event.actor == f"agent:e{harmless}"
    assert (event.via, event.on_behalf_of, event.because) == (harmless, f"user:{harmless}", harmless)
    assert event.facts == {"words": [harmless], f"key{harmless}": 1}


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(-1e15, 1e15)
    | st.floats(1e21, 1e300)
    | st.text(st.characters()),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(st.characters()), inner, max_size=3),
    max_leaves=10,
)


@hypothesis_settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(json_values)
@example([1e22, 5e-324, -0.0, 2**53 - 1, 2**53, "\\u0000"])
def test_what_the_data_base_gives_back_is_what_was_hashed(db, value):
    event = record("lamp.polish", "lamps.lamp:1", by=SYSTEM, value=value)

    assert changed_column(AuditEvent.objects.get(pk=event.pk)) == ""


@pytest.mark.parametrize("value", [float("nan"), float("inf"), object(), b"bytes", 1e20])
def test_what_cannot_be_written_down_is_refused_and_leaves_nothing(db, value):
    with pytest.raises(NotCanonical):
        record("lamp.polish", "lamps.lamp:1", by=SYSTEM, value=value)

    assert not AuditEvent.objects.exists()


def test_the_entry_goes_with_the_transaction_that_made_it(db):
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        record("lamp.polish", "lamps.lamp:1", by=SYSTEM)
        raise ZeroDivisionError

    assert not AuditEvent.objects.exists()


def test_the_signal_rings_after_commit_and_not_before(db, django_capture_on_commit_callbacks):
    heard = []

    def hear(event, **kwargs):
        heard.append(event.pk)

    recorded.connect(hear)
    try:
        with django_capture_on_commit_callbacks(execute=True):
            event = record("lamp.polish", "lamps.lamp:1", by=SYSTEM)
            assert heard == []
        assert heard == [event.pk]
    finally:
        recorded.disconnect(hear)


def test_a_receiver_that_fails_harms_nobody(db, django_capture_on_commit_callbacks, caplog):
    def fail(**kwargs):
        raise ZeroDivisionError

    recorded.connect(fail)
    try:
        with django_capture_on_commit_callbacks(execute=True):
            record("lamp.polish", "lamps.lamp:1", by=SYSTEM)
    finally:
        recorded.disconnect(fail)

    assert AuditEvent.objects.count() == 1
