"""What agents remember, over the API: listed and erased by who runs the workspace, and nobody else."""

from datetime import timedelta

import pytest
from django.utils.timezone import now

from audit.core.ids import uuid7
from audit.models import AuditEvent
from gateway.keys import Scope
from gateway.models import MemoryEntry
from tests.gateway.api.world import run_now

LIST, FORGET = "/v1/memories", "/v1/memories/forget"


@pytest.fixture
def memories(world):
    """Two memories of ada's run and one of dora's, in acme; one of somebody else's."""
    made = {}
    for name, run, namespace in (
        ("plan", world.own.run, "agent:hari"), ("work", world.own.run, "agent:ernest"),
        ("other", world.own.quiet, "agent:hari"), ("foreign", world.foreign.run, "agent:hari"),
    ):  # fmt: skip
        row = run_now(run)
        made[name] = MemoryEntry.objects.create(
            id=uuid7(), workspace=row.workspace, namespace=namespace, text=f"Asked: {name} <b>it</b>", run=row,
            agent_name=namespace.partition(":")[2], created_by="system:worka", person_ids=list(row.requester_persons),
            taint=["untrusted_output"], expires_at=now() + timedelta(days=1),
        )  # fmt: skip
    return made


def names(answer):
    return [item["text"].split()[1] for item in answer.json()["items"]]


def test_they_are_listed_with_where_they_come_from(world, memories):
    dora = world.client("dora")

    first = dora.get(LIST, {"limit": 2}).json()

    assert [item["id"] for item in first["items"]] == [str(memories[name].pk) for name in ("other", "work")]
    assert first["items"][1] | {"created_at": "", "expires_at": ""} == {
        "id": str(memories["work"].pk), "namespace": "agent:ernest", "text": "Asked: work <b>it</b>", "run": world.own.run,
        "run_number": run_now(world.own.run).number, "requester": "user:ada", "taint": ["untrusted_output"], "created_at": "",
        "expires_at": "",
    }  # fmt: skip
    assert names(dora.get(LIST, {"limit": 2, "cursor": first["next_cursor"]})) == ["plan"]
    assert names(dora.get(LIST, {"namespace": "agent:ernest"})) == ["work"]
    assert names(dora.get(LIST, {"q": "PLAN"})) == ["plan"]
    assert names(dora.get(LIST, {"q": "nothing"})) == []


@pytest.mark.parametrize(
    ("about", "gone"),
    [
        (lambda world: {"run": "1"}, {"plan", "work"}),
        (lambda world: {"run": world.own.quiet}, {"other"}),
        (lambda world: {"person": "ada"}, {"plan", "work"}),
        (lambda world: {"namespace": "agent:hari"}, {"plan", "other"}),
    ],
    ids=["run by number", "run by id", "person", "agent"],
)
def test_what_is_forgotten_is_gone_and_written_down(world, memories, about, gone):
    answer = world.client("dora").post(FORGET, {**about(world), "because": "they asked"}, format="json")

    assert (answer.status_code, answer.json()) == (200, {"forgotten": len(gone)})
    left = {name for name, row in memories.items() if MemoryEntry.objects.filter(pk=row.pk).exists()}
    assert left == {"plan", "work", "other", "foreign"} - gone
    entry = AuditEvent.objects.get(type="memory.forget")
    assert (entry.actor, entry.because, entry.facts["memories"]) == ("user:dora", "they asked", len(gone))


def test_only_who_runs_the_workspace_sees_or_erases_them(world, memories):
    for name in ("ada", "bob", "carol", "vic", "robot"):
        client = world.client(name)
        answers = [client.get(LIST), client.post(FORGET, {"person": "ada", "because": "x"}, format="json")]
        # Nor do they learn who is known here.
        answers.append(client.post(FORGET, {"person": "nobody", "because": "x"}, format="json"))
        assert [(each.status_code, each.json()["code"]) for each in answers] == [(403, "forbidden")] * 3, name
    scoped = world.client("dora", {Scope.RUNS_READ, Scope.RUNS_WRITE})
    assert scoped.get(LIST).status_code == 200
    assert scoped.post(FORGET, {"person": "ada", "because": "x"}, format="json").json()["code"] == "missing_scope"
    assert MemoryEntry.objects.count() == 4


WRONG = {
    "nothing named": ({}, 422, "invalid"),
    "two things named": ({"run": "1", "person": "ada"}, 422, "invalid"),
    "no reason": ({"run": "1", "because": ""}, 422, "invalid"),
    "only blanks": ({"run": "1", "because": "  "}, 422, "invalid"),
    "an unknown field": ({"run": "1", "agent": "hari"}, 422, "invalid"),
    "no such run": ({"run": "99"}, 404, "not_found"),
    "nobody": ({"person": "nobody"}, 404, "not_found"),
    "somebody of another workspace": ({"person": "eve"}, 404, "not_found"),
}


@pytest.mark.parametrize(("body", "status", "code"), WRONG.values(), ids=WRONG)
def test_what_does_not_say_what_to_forget_is_refused_and_nothing_is_lost(world, memories, body, status, code):
    answer = world.client("dora").post(FORGET, {"because": "they asked", **body}, format="json")

    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert MemoryEntry.objects.count() == 4
    assert not AuditEvent.objects.filter(type="memory.forget").exists()


def test_a_run_of_another_workspace_is_not_there(world, memories):
    answer = world.client("dora").post(FORGET, {"run": world.foreign.run, "because": "x"}, format="json")

    assert answer.status_code == 404 and MemoryEntry.objects.filter(pk=memories["foreign"].pk).exists()
