"""What agents and people bring in reaches nobody, and stands nowhere in clear, as it came."""

import json
from collections.abc import Iterator

import pytest
from django.apps import apps
from django.db import connection

from audit.models import AuditEvent
from governance.actions.runs import request_run
from governance.context import context_for
from governance.models import Plan, Run
from governance.payloads import open_value
from runtime.actions import kill_job
from tests.desk import step
from tests.journeys import journey

pytestmark = pytest.mark.django_db

KEY = "ghp_" + "a1B2c3D4" * 5
EVIL = f"<script>steal()</script> [x](http://evil.example/y) <!channel> \x1b[31mred \u202e\u200b {KEY}"
ACTS = ("<script", "](", "http://evil", "<!", "\x1b", "\\u001b", "\u202e", "\\u202e", "\u200b", "\\u200b", KEY)
CLEAR = ("character varying", "text", "json", "jsonb", "ARRAY")


@pytest.fixture
def j(monkeypatch):
    return journey(monkeypatch)


def columns_in_clear() -> Iterator[tuple[str, str]]:
    """Name every column of ours that holds text or JSON."""
    tables = [model._meta.db_table for model in apps.get_models(include_auto_created=True)]
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT table_name, column_name FROM information_schema.columns"
            " WHERE table_schema = current_schema() AND table_name = ANY(%s) AND data_type = ANY(%s)",
            [tables, list(CLEAR)],
        )
        yield from cursor.fetchall()


def places_of(secret: str) -> list[str]:
    """Return every column in which a text stands in clear; the exact bytes of ledger entries are looked at too."""
    found = []
    with connection.cursor() as cursor:
        for table, column in columns_in_clear():
            cursor.execute(f'SELECT count(*) FROM "{table}" WHERE "{column}"::text LIKE %s', [f"%{secret}%"])
            found += [f"{table}.{column}"] * bool(cursor.fetchone()[0])
    found += [f"entry {event.type}" for event in AuditEvent.objects.all() if secret.encode() in bytes(event.body)]
    return found


def assert_harmless(value: object) -> None:
    said = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    assert not [part for part in ACTS if part in said], said


def ledger(j) -> list[str]:
    return [event.because + json.dumps(event.facts) for event in AuditEvent.objects.filter(run=j.run.pk)]


def test_the_outcome_of_a_run_is_clean_and_the_exact_result_is_kept(j):
    j.ask()
    j.propose(step("look", ("a", "peek", "x")))
    j.call("look", "a")
    j.finish("look", summary=EVIL, output={EVIL: [EVIL, {"deep": EVIL}], "password": "short1"})
    j.tick()

    assert j.run.state == "succeeded"
    assert "red" in j.run.outcome["summary"] and "[masked:github_token]" in j.run.outcome["summary"]
    assert j.run.outcome["output"]["password"] == "[masked:field]"
    for value in (j.run.outcome, j.step("look").result_redacted, j.run.reason, *ledger(j)):
        assert_harmless(value)
    assert open_value(j.run.pk, j.step("look"), "result")["output"]["password"] == "short1"


def test_the_words_of_a_failed_attempt_are_clean_wherever_they_end_up(j):
    j.ask()
    j.propose(step("look", ("a", "peek", "x")))
    j.call("look", "a")
    for _ in range(3):
        j.finish("look", "failed", summary=EVIL)
        j.step("look").__class__.objects.filter(run=j.run).update(not_before=None)
        j.tick()

    assert j.run.state == "failed" and "steal()" in j.run.reason
    for value in (j.run.reason, j.step("look").last_error, *ledger(j)):
        assert_harmless(value)
    assert places_of(KEY) == []


def test_a_planner_that_says_no_is_heard_without_what_acts(j):
    from governance.actions.plans import propose_plan

    j.ask()
    propose_plan(j.caller(), {"no_plan": EVIL})
    j.run.refresh_from_db()

    assert j.run.state == "failed" and "steal()" in j.run.reason
    for value in (j.run.reason, *ledger(j)):
        assert_harmless(value)


def test_a_refused_plan_keeps_no_word_that_acts(j):
    from governance.actions.plans import propose_plan
    from tests import desk

    j.ask()
    propose_plan(j.caller(), desk.plan({**step("look", ("a", "peek", "x")), EVIL: EVIL}))

    assert Plan.objects.get().faults
    assert_harmless(Plan.objects.get().faults)
    for value in ledger(j):
        assert_harmless(value)
    assert places_of(KEY) == []


def test_a_key_in_a_request_a_plan_a_result_and_an_error_stands_nowhere_in_clear(j, caplog):
    j.run = request_run(
        j.house.workspace.pk,
        by=j.house.by("ada"),
        user=j.house.ada,
        text=f"Use {KEY} please",
        source="api",
        value={"with": KEY, "password": "hunter22"},
        metadata={"note": KEY},
    )
    j.tick()
    j.propose({**step("look", ("a", "peek", KEY)), "objective": f"look with {KEY}"})
    j.call("look", "a")
    j.finish("look", "failed", summary=f"no luck with {KEY}", output={"said": KEY})
    kill_job_of_next_attempt(j)
    j.finish("look", summary=f"did it with {KEY}", output={"said": KEY})
    j.tick()

    assert j.run.state == "succeeded"
    assert places_of(KEY) == []
    assert places_of("hunter22") == []
    assert {
        "governance_run.request_text",
        "governance_step.result_redacted",
        "entry run.receive",
        "entry burn.store",
    } <= set(places_of("masked:github_token"))
    assert KEY not in caplog.text


def kill_job_of_next_attempt(j) -> None:
    for last in (False, True):
        j.step("look").__class__.objects.filter(run=j.run).update(not_before=None)
        j.tick()
        if not last:
            kill_job(j.job(j.step("look")).pk, by=j.house.by("olga"), because="it looks odd")
            j.tick()


def test_only_the_planner_reads_the_exact_request(j):
    j.ask(f"Use {KEY} please")

    assert j.run.request_text == "Use [masked:github_token] please"
    assert context_for(j.caller(), playbooks=list)["run"]["request"] == f"Use {KEY} please"
    j.propose(step("look", ("a", "peek", "x")))
    told = context_for(j.caller(j.step("look")), playbooks=list)["run"]["request"]
    assert told == "Use [masked:github_token] please"
    assert KEY.encode() not in bytes(Run.objects.get().request_exact)
