"""The client and the command line against the real server: a whole journey, with the test as its agents."""

import json
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from rich.console import Console
from typer.testing import CliRunner

from audit.principals import SYSTEM
from audit.sealing import seal_all
from gateway.actions import create_key
from gateway.keys import Scope
from governance.actions.artifacts import store_artifact
from governance.actions.people import add_approvers
from governance.models import Run
from tests.desk import POLICY, Desk, step
from tests.gateway.api.world import digest_of_bytes
from tests.gateway.fixtures import housed, stages, web
from worka import Client, cli
from worka.errors import ApiError, Unreachable

__all__ = ["housed", "stages", "web"]

REPORT = "# Report\n\nAll is well.\n"


@pytest.fixture
def keys(housed):
    """A key of everybody in the house, and of nobody."""
    house = housed.house
    people = ("ada", "bob", "dora", "olga")
    made = {
        name: create_key(house.workspace, by=SYSTEM, label="a test", scopes=[Scope.ADMIN], user=getattr(house, name))[1]
        for name in people
    }
    return made | {"nobody": "wk_nobody_" + "x" * 40}


@pytest.fixture
def client_of(web, keys):
    made = []

    def of(name):
        made.append(Client(web, keys[name]))
        return made[-1]

    yield of
    for client in made:
        client.close()


@pytest.fixture
def worka(web, keys, monkeypatch):
    """Return a function that runs the command line as somebody: `worka("ada", "runs", "list")`."""
    for name in ("WORKA_API_KEY_FILE", "WORKA_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("WORKA_URL", web)

    def run(who, *arguments, answer="", code=0):
        monkeypatch.setenv("WORKA_API_KEY", keys[who])
        # A console writes to the stream that was there when it was made.
        monkeypatch.setattr(cli, "out", Console(width=200))
        monkeypatch.setattr(cli, "err", Console(stderr=True, width=200))
        done = CliRunner().invoke(cli.app, arguments, input=answer)
        assert done.exit_code == code, (done.output, done.exception)
        return done

    return run


def as_far_as_the_question(j, number=1):
    """Let agents work on a run until it asks people whether a letter may be sent."""
    j.run = Run.objects.get(number=number)
    j.tick()
    j.propose(
        step("look", ("a", "read", "letters")),
        step("send", ("c", "send", "a letter"), after=("look",)),
        step("tell", agent="daneel", after=("send",)),
    )
    j.call("look", "a")
    store_artifact(
        j.caller(j.step("look")),
        name="report.md",
        media_type="text/markdown",
        content=REPORT.encode(),
        sha256=digest_of_bytes(REPORT.encode()),
    )
    j.finish("look", output={"a": "LETTERS"})
    j.call("send", "c")
    j.finish("send", "suspended", waits_for=["c"])
    seal_all()


def to_the_end(j):
    """Let agents finish what was approved."""
    j.tick()
    j.finish("send", output={"c": "sent"})
    j.finish("tell", output={"text": "The letter is sent."})
    j.tick()
    seal_all()


def test_the_client_does_the_whole_journey(client_of, housed):
    ada, bob = client_of("ada"), client_of("bob")
    assert ada.health()["checks"]["database"]["healthy"] is True

    run = ada.runs.create("Answer the letters", metadata={"ticket": 7}, idempotency_key="one")
    assert ada.runs.create("Answer the letters", metadata={"ticket": 7}, idempotency_key="one").id == run.id
    as_far_as_the_question(housed)

    waiting = ada.runs.get(1)
    assert (waiting.id, waiting.state, waiting.why.code) == (run.id, "running", "awaiting_approval")
    assert "operators" in waiting.why.sentence and not waiting.is_final
    assert list(ada.approvals.list()) == []
    [asked] = bob.approvals.list()
    shown = bob.approvals.get(asked.id)
    assert (shown.subject, shown.run_number, shown.payload["input"]) == ("desk.send", 1, {"text": "a letter"})
    assert set(shown.taint) == {"reads_private", "untrusted_output"}
    with pytest.raises(ApiError) as own:
        ada.approvals.vote(asked.id, "approve", because="I want it", payload_digest=shown.payload_digest)
    assert (own.value.status, own.value.code) == (403, "own_request")
    voted = bob.approvals.vote(asked.id, "approve", because="fine", payload_digest=shown.payload_digest)
    assert voted.state == "approved" and voted.votes[0]["voter"] == "user:bob"
    to_the_end(housed)

    done = ada.runs.get(f"#{run.number}")
    assert (done.state, done.is_final, done.outcome["output"]["text"]) == ("succeeded", True, "The letter is sent.")
    assert Desk.done == [("read", "letters"), ("send", "a letter")]
    assert [(each.sequence, each.state) for each in ada.runs.steps(1)] == [
        (1, "succeeded"),
        (2, "succeeded"),
        (3, "succeeded"),
    ]
    assert ada.runs.plan(1)["state"] == "accepted"
    assert {gate["action"] for gate in ada.runs.gates(1)} == {
        "plan.propose",
        "skill.invoke",
        "artifact.write",
        "step.finish",
    }
    assert [call["state"] for call in ada.runs.invocations(1)] == ["succeeded", "succeeded"]
    [artifact] = ada.runs.artifacts(1)
    assert ada.artifacts.content(artifact["id"]).decode() == REPORT
    assert list(ada.runs.burns(1)) == []
    story = list(ada.runs.events(1))
    told = [event.type for event in story]
    assert (
        told[-1] == "run.receive"
        and told.index("run.succeed") < told.index("gate.vote")
        and all(event.sentence for event in story)
    )
    assert [each.number for each in ada.runs.list(state="succeeded")] == [1] and list(
        ada.runs.list(state="failed")
    ) == []


def test_the_client_reads_policy_and_proves_what_happened(client_of, housed):
    olga = client_of("olga")
    client_of("ada").runs.create("Please")
    seal_all()

    assert {policy["scope"] for policy in olga.policies.active()} == {"platform", "acme"}
    assert olga.policies.check(POLICY)["valid"] is True
    with pytest.raises(ApiError) as wrong:
        olga.policies.check(POLICY + "\nsurprise: 1\n")
    assert wrong.value.code == "invalid_manifest" and any("surprise" in fault.message for fault in wrong.value.faults)
    [entry] = olga.audit.events(type="run.receive")
    assert olga.audit.proof(entry.raw["id"])["entry"]["id"] == entry.raw["id"]
    assert next(olga.audit.seals())["head"]["signature"]
    assert "desk.send" in {skill["name"] for skill in olga.skills()} and len(olga.agents()) == 3


def test_the_client_follows_what_happens(client_of, housed):
    ada = client_of("ada")
    heard, ready = [], threading.Event()

    def listen():
        for event in ada.stream(cursor=0, idle_s=10, repeat=False):
            heard.append(event)
            ready.set()
            if event.type == "run.cancel":
                return

    run = client_of("ada").runs.create("Please")
    seal_all()
    with ThreadPoolExecutor(1) as pool:
        listening = pool.submit(listen)
        assert ready.wait(10)
        client_of("dora").runs.cancel(run.id, because="enough")
        seal_all()
        listening.result(15)

    assert [event.type for event in heard] == ["run.receive", "run.cancel"]
    assert {event.run for event in heard} == {run.id}
    assert heard[0].position < heard[1].position


def test_the_client_says_what_is_wrong(client_of, web, keys):
    with pytest.raises(ApiError) as unknown:
        list(client_of("nobody").runs.list())
    assert (unknown.value.status, unknown.value.code) == (401, "unauthorized")
    with pytest.raises(ApiError) as gone:
        client_of("ada").runs.get(99)
    assert gone.value.code == "not_found"
    with pytest.raises(ApiError) as empty:
        client_of("ada").runs.create("")
    assert empty.value.code == "invalid" and empty.value.faults
    with Client("http://127.0.0.1:9", keys["ada"], sleep=lambda seconds: None) as nowhere, pytest.raises(Unreachable):
        nowhere.runs.get(1)


# The command line


def test_the_command_line_does_the_whole_journey(worka, housed):
    assert worka("ada", "runs", "list").stdout.strip() == "There are no runs."
    assert worka("bob", "approvals", "list").stdout.strip() == "Nothing waits for you."

    assert worka("ada", "runs", "start", "Answer the letters", "--key", "k").stdout == "run #1 is received\n"
    as_far_as_the_question(housed)

    assert "awaiting_approval" in worka("ada", "runs", "why", "1", "--json").stdout
    assert "operators" in worka("ada", "runs", "why", "1").stdout
    shown = worka("ada", "runs", "show", "1").stdout
    assert "Answer the letters" in shown and "ernest" in shown and "suspended" in shown
    listed = worka("bob", "approvals", "list").stdout
    assert "desk.send" in listed and "#1" in listed
    approval = worka("bob", "approvals", "show", "1").stdout
    assert "Exactly what will happen" in approval and '"a letter"' in approval and "it leaves the house" in approval
    worka("bob", "approvals", "approve", "1", "--because", "fine", answer="n\n", code=1)
    assert Desk.done == [("read", "letters")]
    approved = worka("bob", "approvals", "approve", "1", "--because", "fine", answer="y\n").stdout
    assert "your vote is in: the approval is approved" in approved
    to_the_end(housed)

    assert "succeeded" in worka("ada", "runs", "list").stdout
    assert "The letter is sent." in worka("ada", "runs", "show", "#1").stdout
    story = worka("ada", "runs", "events", "1").stdout.splitlines()
    assert len(story) > 10


def test_watching_shows_the_run_live_and_ends_with_it(worka, housed):
    worka("ada", "runs", "start", "Answer the letters")
    with ThreadPoolExecutor(1) as pool:
        watched = pool.submit(worka, "ada", "runs", "watch", "1")
        as_far_as_the_question(housed)
        housed.answer("approve")
        to_the_end(housed)
        shown = watched.result(30).stdout

    assert "The letter is sent." in shown


def test_rejecting_ends_the_run_and_watching_it_fails(worka, housed):
    worka("ada", "runs", "start", "Answer the letters")
    as_far_as_the_question(housed)

    done = worka("bob", "approvals", "reject", "1", "--because", "not now", "--yes", "--json")

    assert json.loads(done.stdout)["state"] == "rejected"
    run = json.loads(worka("ada", "runs", "show", "1", "--json").stdout)
    assert (run["state"], run["reason"], len(run["steps"])) == ("refused", "not now", 3)
    assert "refused" in worka("ada", "runs", "watch", "1", code=1).stdout
    assert Desk.done == [("read", "letters")]


def test_json_is_what_the_server_said(worka, housed):
    started = json.loads(worka("ada", "runs", "start", "Answer the letters", "--json").stdout)
    assert started == {
        "id": str(Run.objects.get().pk),
        "number": 1,
        "state": "received",
        "url": f"/v1/runs/{Run.objects.get().pk}",
    }
    as_far_as_the_question(housed)

    [listed] = json.loads(worka("ada", "runs", "list", "--json", "--state", "running").stdout)
    assert listed["why"]["code"] == "awaiting_approval"
    [asked] = json.loads(worka("bob", "approvals", "list", "--json").stdout)
    shown = json.loads(worka("bob", "approvals", "show", asked["id"], "--json").stdout)
    assert shown["payload_digest"] == asked["payload_digest"] and shown["payload"]["skill"] == "desk.send"
    assert len(json.loads(worka("ada", "runs", "events", "1", "--json").stdout)) > 10
    cancelled = json.loads(worka("ada", "runs", "cancel", "1", "--because", "enough", "--json").stdout)
    assert cancelled["state"] == "cancelled"


def test_refusals_are_exit_code_one_and_say_the_servers_code(worka, housed):
    worka("ada", "runs", "start", "Answer the letters")
    as_far_as_the_question(housed)
    gate = str(housed.gate().pk)
    add_approvers(housed.house.workspace, "operators", [housed.house.ada], by=SYSTEM, because="a test")

    own = worka("ada", "approvals", "approve", gate, "--because", "mine", "--yes", code=1)
    assert "own_request" in own.stderr
    changed = worka("bob", "approvals", "approve", gate, "--because", "x", "--digest", "0" * 64, code=1)
    assert "payload_changed" in changed.stderr
    assert json.loads(worka("ada", "runs", "show", "99", "--json", code=1).stderr)["code"] == "not_found"
    assert "unauthorized" in worka("nobody", "runs", "list", code=1).stderr
    assert "forbidden" in worka("bob", "runs", "cancel", "1", "--because", "x", code=1).stderr
    worka("ada", "runs", "cancel", "1", code=2)
    worka("ada", "runs", "list", "--url", "http://127.0.0.1:9", code=3)
    assert Run.objects.get().state == "running"


def test_a_refused_plan_ends_in_a_sentence_for_who_asked(worka, housed):
    from governance.actions.plans import propose_plan

    worka("ada", "runs", "start", "Do something")
    housed.run = Run.objects.get()
    housed.tick()
    propose_plan(housed.caller(), {"no_plan": "no playbook fits"})

    assert "no playbook fits" in worka("ada", "runs", "why", "1").stdout


def test_what_lies_outside_is_told_by_the_real_server(worka, client_of, housed):
    from gateway.models import MemoryEntry
    from tests.gateway.treasury.bank import plug
    from tests.modelling import POLICY as MODELS
    from tests.modelling import answered
    from tests.people import use_policy

    j = housed
    use_policy(j.house.workspace, MODELS)
    assert worka("dora", "models", "spend").stdout == "No model was asked.\n"
    assert worka("dora", "connections", "list").stdout == "Nothing is connected.\n"
    j.ask("Look at the letters")
    j.propose(step("look", ("a", "read", "letters")))
    answered(j)
    plug(j.house)
    MemoryEntry.objects.create(
        workspace=j.house.workspace, namespace="agent:hari", text="Asked: letters", run=j.run, agent_name="hari",
        created_by="system:worka", person_ids=list(j.run.requester_persons),
    )  # fmt: skip

    assert worka("ada", "models", "spend", "--by", "agent").stdout.split()[-10:] == [
        "ernest", "1", "100", "20", "0.003000", "together", "1", "100", "20", "0.003000",
    ]  # fmt: skip
    assert client_of("dora").model_spend(by="run")["items"][0]["run"] == str(j.run.pk)
    assert "acme-bot" in worka("dora", "connections", "list").stdout
    assert "Asked: letters" in worka("dora", "memories", "list", "--agent", "hari").stdout
    assert "forget memories" in worka("ada", "memories", "list", code=1).stderr
    assert (
        worka("dora", "memories", "forget", "--person", "ada", "--because", "asked", "-y").stdout
        == "1 memory is erased\n"
    )
    assert not MemoryEntry.objects.exists()
