"""Health in the console: what needs a look first, isolation in force, and the operator's five questions."""

from datetime import timedelta

import pytest
from django.conf import settings
from django.utils.timezone import now

from audit.ledger import record
from audit.models import SinkCursor
from audit.principals import SYSTEM
from audit.sealing import seal_all
from gateway.health import Check
from runtime.backend import LimitInForce, Strength
from tests.console import console_journey, hold, queries, visit, words
from worka_site.portal.pages import health

pytestmark = pytest.mark.django_db

PAGE = "/admin/health/"


@pytest.fixture
def j(monkeypatch):
    found = console_journey(monkeypatch)
    monkeypatch.setattr("worka_site.portal.pages.health.configured_backend", lambda: found.backend)
    return found


def parts(page):
    return {part.name: part for part in page.context["parts"]}


def answers(page):
    return {fact.key: fact for fact in page.context["questions"]}


def test_everybody_of_the_workspace_sees_how_it_does(j):
    for name in ("ada", "bob", "carol", "dora", "olga"):
        assert visit(getattr(j.house, name)).get(PAGE).status_code == 200
    assert visit(j.house.eve).get(PAGE).status_code == 404


def test_what_is_down_stands_first_and_says_what_to_do(j, monkeypatch):
    monkeypatch.setattr(
        health,
        "checks",
        lambda: [
            Check("database", healthy=True, detail="PostgreSQL 18"),
            Check("reconciler", healthy=False, detail="last tick 90 s ago"),
        ],
    )

    page = visit(j.house.ada).get(PAGE)

    first = page.context["parts"][0]
    assert (first.name, first.level, first.sentence) == ("The tick", "bad", "Last tick 90 s ago.")
    assert "Nothing starts or ends without it" in words(page)
    assert page.context["headline"] == "One part needs a look"
    assert answers(page)["Which part is degraded?"].value == "The tick"


def test_a_sink_that_fails_says_how_far_it_is_behind_and_details_only_to_who_runs_it(j, monkeypatch):
    monkeypatch.setattr(settings, "WORKA_SINKS", ["json_file"])
    SinkCursor.objects.create(
        sink="json_file",
        last_error="OSError: /srv/secret/place is full",
        failing_since=now() - timedelta(minutes=5),
        failures=3,
    )
    record("run.note", j.house.workspace, by=SYSTEM, because="one")
    seal_all()

    dora, ada = visit(j.house.dora).get(PAGE), visit(j.house.ada).get(PAGE)

    assert parts(dora)["Sink json_file"].level == "warn" and "is full" in parts(dora)["Sink json_file"].sentence
    assert "entries wait for 5 min" in parts(ada)["Sink json_file"].sentence
    assert "secret" not in ada.content.decode()


def test_keys_say_how_old_they_are_and_when_to_replace_them(j, monkeypatch):
    young = visit(j.house.dora).get(PAGE)
    monkeypatch.setattr(health, "OLD_KEY", timedelta(0))
    old = visit(j.house.dora).get(PAGE)
    monkeypatch.undo()
    assert {parts(young)[f"Key for {what}"].level for what in health.KEY_WORDS.values()} == {"ok"}
    assert parts(old)["Key for the ledger"].level == "warn"
    assert "manage.py rotate_keys --kind seal" in parts(old)["Key for the ledger"].recovery


def test_a_replaced_key_counts_from_then(j):
    record("key.rotate", "audit.key:00ff", by=SYSTEM, because="a test", kind="token")

    assert ", replaced just now" in parts(visit(j.house.dora).get(PAGE))["Key for agents’ tokens"].sentence.replace(
        "1 s ago", "just now"
    )


def test_a_limit_that_nothing_holds_is_said_loudly(j, monkeypatch):
    monkeypatch.setattr(type(j.backend), "limits_in_force", lambda self: [
        LimitInForce("memory", "by control group /sys/fs/cgroup/worka", Strength.HARD),
        LimitInForce("disk", "by a watcher", Strength.SOFT), LimitInForce("network", "not at all", Strength.NONE),
    ])  # fmt: skip

    page = visit(j.house.dora).get(PAGE)

    assert {fact.key: fact.value for fact in page.context["isolation"]} == {
        "Memory": "by control group", "Disk": "softly: by a watcher", "Network": "NOT HELD: not at all",
    }  # fmt: skip


def test_the_five_questions_are_answered_from_what_one_may_see(j):
    empty = answers(visit(j.house.dora).get(PAGE))
    run = hold(j, "dora")
    dora, ada = answers(visit(j.house.dora).get(PAGE)), answers(visit(j.house.ada).get(PAGE))

    assert empty["Why is this still running?"].value == "Nothing is running."
    assert f"Run {run.number}, the oldest that is open" in dora["Why is this still running?"].value
    assert dora["Which approval blocks release?"].value.startswith(f"desk.write a note of run {run.number}")
    assert dora["Why did this fail to invoke?"].value == "No call has failed or was denied."
    assert ada["Why is this still running?"].value == "Nothing is running."
    assert ada["Which approval blocks release?"].value == "None waits."


def test_what_was_not_invoked_says_why(j):
    hold(j, note="forbidden")

    assert "nobody writes that" in answers(visit(j.house.dora).get(PAGE))["Why did this fail to invoke?"].value


def test_it_asks_the_data_base_as_often_with_much_going_on(j):
    hold(j)
    dora = visit(j.house.dora)
    dora.get(PAGE)
    with queries() as few:
        dora.get(PAGE)
    for number in range(3):
        hold(j, text=f"Please {number}")

    with queries() as many:
        dora.get(PAGE)

    assert len(many) == len(few)
