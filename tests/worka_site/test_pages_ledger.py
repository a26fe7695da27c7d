"""The ledger in the console: who reads which entries, one entry with its proof, and checking all of it."""

import json
from datetime import UTC, datetime

import pytest
from django.db import connection

from audit.core.merkle import Edge, Window, leaf_hash, node_hash
from audit.core.proof import Proof, check_proof
from audit.keys import ring
from audit.ledger import record
from audit.models import AuditEvent
from audit.sealing import seal_all
from governance.actions.runs import request_run
from tests.console import at, console_journey, hold, queries, visit, words
from tests.people import build_house
from worka_site.portal.pages.ledger import sides_of

pytestmark = pytest.mark.django_db

LEDGER, VERIFY = "/admin/audit/auditevent/", "/admin/ledger/verify/"
HOSTILE = "<img src=x onerror=alert(1)> \u202e"


@pytest.fixture
def j(monkeypatch):
    return console_journey(monkeypatch)


def href(event):
    return at("audit_auditevent_change", event.pk)


def entries(client, **query):
    return client.get(LEDGER, query).context["entries"]


def walked(client, **query):
    """Return all entries of all pages, newest first."""
    page = client.get(LEDGER, query)
    found = list(page.context["entries"])
    while older := page.context["pages"].older:
        page = client.get(older)
        found += page.context["entries"]
    return found


def runs_in(found):
    return {entry.place or entry.label for entry in found if entry.place or entry.label.startswith("run ")}


# --- The list -------------------------------------------------------------------------------------------------------


def test_members_read_about_their_own_runs_and_others_about_all(j):
    hold(j, "ada")
    j.ask("Of dora", "dora")

    seen = {name: runs_in(walked(visit(getattr(j.house, name)))) for name in ("ada", "bob", "dora", "olga", "carol")}

    assert seen == {
        "ada": {"run 1"},
        "bob": {"run 1"},
        "dora": {"run 1", "run 2"},
        "olga": {"run 1", "run 2"},
        "carol": {"run 1", "run 2"},
    }
    assert visit(j.house.eve).get(LEDGER).status_code == 404


def test_what_belongs_to_no_workspace_is_for_auditors(j):
    kinds = {name: {entry.type for entry in walked(visit(getattr(j.house, name)))} for name in ("carol", "olga")}

    assert "skill.install" in kinds["carol"] and "skill.install" not in kinds["olga"]
    assert "membership.add" in kinds["carol"] & kinds["olga"]


def test_the_entries_of_another_workspace_are_not_there(j):
    other = build_house("zeta")
    run = request_run(other.workspace.pk, by=other.by("ada"), user=other.ada, text="A secret of zeta", source="api")
    event = AuditEvent.objects.get(type="run.receive", run=run.pk)

    for name in ("ada", "bob", "dora", "olga", "carol"):
        person = visit(getattr(j.house, name))
        assert person.get(href(event)).status_code == 404
        assert person.get(at("audit_auditevent_proof", event.pk)).status_code == 404
        assert "A secret of zeta" not in str([entry.because for entry in walked(person)])
        assert entries(person, run=str(run.pk)) == []


def test_an_entry_is_a_sentence_that_leads_to_its_subject_and_its_run(j):
    run = hold(j)
    j.answer("approve", because="the letters are fine")
    vote = next(entry for entry in entries(visit(j.house.dora), type="gate.vote"))

    assert (vote.actor, vote.sentence, vote.because) == ("bob", "said yes to desk.write", "the letters are fine")
    assert vote.subject_href == at("governance_gate_change", run.gates.get(effect="hold").pk)
    assert (vote.place, vote.place_href) == (f"run {run.number}", at("governance_run_change", run.pk))


def test_filters_and_searches_take_away_what_does_not_match(j):
    hold(j, text="Count the ducks")
    j.answer("approve", because="quack")
    j.ask("Feed the geese", "dora")
    dora = visit(j.house.dora)

    assert {entry.type for entry in entries(dora, type="gate.")} <= {
        "gate.allow",
        "gate.hold",
        "gate.vote",
        "gate.approve",
    }
    assert {entry.actor for entry in entries(dora, who="user:bob")} == {"bob"}
    assert {entry.because for entry in entries(dora, q="ducks")} == {"Count the ducks"}
    assert runs_in(entries(dora, q="#2")) == runs_in(entries(dora, q="run 2")) == {"run 2"}
    assert entries(dora, q="999") == []
    assert entries(dora, q="quack", when="1h") and not entries(dora, q="quack", when="1h", type="job.")
    page = dora.get(LEDGER, {"q": "swans"})
    assert "No entry is like that" in words(page)


@pytest.mark.parametrize("query", [
    {"q": "\0"}, {"q": "%_\\'\""}, {"q": "x" * 5000}, {"type": "x' OR 1"}, {"when": "9d"}, {"run": "nonsense"}, {"who": "\u202e"}, {"q": "9" * 9},
])  # fmt: skip
def test_a_strange_filter_is_no_fault_of_ours(j, query):
    assert visit(j.house.dora).get(LEDGER, query).status_code == 200


@pytest.mark.parametrize("cursor", ["nonsense", "-1", "9" * 40, "u"])
def test_a_cursor_that_was_never_given_out_is_refused(j, cursor):
    assert visit(j.house.dora).get(LEDGER, {"cursor": cursor}).status_code == 400


@pytest.mark.parametrize("is_sealed", [False, True])
def test_a_long_ledger_is_walked_without_losing_or_repeating_an_entry(j, is_sealed):
    for number in range(120):
        record("run.note", j.house.workspace, by=j.house.by("dora"), because=f"number {number}")
        if is_sealed and number == 60:
            seal_all()

    found = [entry.because for entry in walked(visit(j.house.dora), q="number")]

    assert found == [f"number {number}" for number in range(119, -1, -1)]


def test_more_entries_do_not_ask_the_data_base_more_often(j):
    hold(j)
    dora = visit(j.house.dora)
    dora.get(LEDGER)
    with queries() as few:
        dora.get(LEDGER)
    for number in range(3):
        hold(j, text=f"Please {number}")

    with queries() as many:
        dora.get(LEDGER)

    assert len(many) == len(few)
    counts = [q["sql"] for q in many if "COUNT(" in q["sql"].upper() and "audit_auditevent" in q["sql"]]
    assert all('"position" IS NULL' in sql for sql in counts)


def test_what_strangers_wrote_stays_text(j):
    event = record("run.note", j.house.workspace, by=j.house.by("dora"), because=HOSTILE, label=HOSTILE)
    dora = visit(j.house.dora)

    for page in (dora.get(LEDGER), dora.get(href(event))):
        assert "<img" not in page.content.decode() and "\u202e" not in page.content.decode()
        assert "&lt;img" in page.content.decode()


# --- One entry ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "status"), [("dora", 200), ("olga", 200), ("carol", 200), ("ada", 403), ("bob", 403), ("eve", 404)]
)
def test_the_proof_is_for_those_who_may_verify(j, name, status):
    hold(j)
    seal_all()
    event = AuditEvent.objects.get(type="gate.hold")
    person = visit(getattr(j.house, name))

    answer = person.get(at("audit_auditevent_proof", event.pk))

    assert answer.status_code == status
    if status == 200:
        proof = Proof.from_json(json.loads(answer.content))
        assert check_proof(proof, lambda kid, data, signature: ring().verify("seal", kid, data, signature)) == ""
        assert proof.position == event.position and "attachment" in answer["Content-Disposition"]
        assert person.get(href(event)).context["proof"].holds
    if status == 403:
        assert person.get(href(event)).context["proof"] is None
        assert "Owners, admins and auditors can prove" in words(person.get(href(event)))


def test_an_entry_that_is_not_sealed_yet_says_so(j):
    event = record("run.note", j.house.workspace, by=j.house.by("dora"), because="just now")

    page = visit(j.house.dora).get(href(event))

    assert "It is not sealed yet" in words(page) and page.context["body"]["because"] == "just now"


def test_a_changed_entry_is_not_proven(j):
    event = record("run.note", j.house.workspace, by=j.house.by("dora"), because="the truth")
    seal_all()
    event.refresh_from_db()
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE audit_auditevent DISABLE TRIGGER USER")
        cursor.execute(
            "UPDATE audit_auditevent SET body = %s WHERE id = %s",
            [bytes(event.body).replace(b"the truth", b"a lie"), event.pk],
        )
        cursor.execute("ALTER TABLE audit_auditevent ENABLE TRIGGER USER")

    page = visit(j.house.dora).get(href(event))

    assert not page.context["proof"].holds and "Does not hold" in words(page)


@pytest.mark.parametrize("size", [1, 2, 3, 5, 8, 13, 21])
def test_the_path_to_the_root_names_the_side_of_every_hash(size):
    leaves = [leaf_hash(str(number).encode()) for number in range(size)]
    root = Edge().extended(leaves).root()
    for index in range(size):
        path = Window(Edge(), leaves).inclusion(index)
        sides = sides_of(index, size)
        found = leaves[index]
        for side, other in zip(sides, path, strict=True):
            found = node_hash(other, found) if side == "left" else node_hash(found, other)
        assert found == root


# --- All of it ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "status"), [("dora", 200), ("olga", 200), ("carol", 200), ("ada", 403), ("bob", 403), ("eve", 404)]
)
def test_the_ledger_is_verified_by_those_who_may(j, name, status):
    hold(j)
    person = visit(getattr(j.house, name))

    assert person.get(VERIFY).status_code == status
    answer = person.post(VERIFY)

    checks = AuditEvent.objects.filter(type="ledger.verify")
    if status == 200:
        assert answer.context["result"].is_whole and "Whole and in order: " in words(answer)
        assert checks.get().actor == f"user:{name}" and checks.get().facts["whole"] is True
        assert f"verified by {name}" in words(person.get(LEDGER))
    else:
        assert answer.status_code in (status, 409) and not checks.exists()


def test_a_ledger_that_was_changed_is_told_where(j):
    event = record("run.note", j.house.workspace, by=j.house.by("dora"), because="the truth")
    seal_all()
    event.refresh_from_db()
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE audit_auditevent DISABLE TRIGGER USER")
        cursor.execute("UPDATE audit_auditevent SET because = 'a lie' WHERE id = %s", [event.pk])
        cursor.execute("ALTER TABLE audit_auditevent ENABLE TRIGGER USER")

    page = visit(j.house.dora).post(VERIFY)

    assert not page.context["result"].is_whole
    assert (page.context["result"].problems[0].path, page.context["result"].problems[0].code) == (
        f"entry {event.position:,}",
        "hash_mismatch",
    )
    assert "Not whole" in words(visit(j.house.dora).get(LEDGER))


def test_entries_say_when_they_happened_in_utc(j):
    event = record("run.note", j.house.workspace, by=j.house.by("dora"))

    html = visit(j.house.dora).get(LEDGER).content.decode()

    assert event.at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC") in html
    assert event.at < datetime.now(UTC)
