"""Memory: written after a run has succeeded, told with its taint to the next one who may see it, and erased for good."""

from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils.timezone import now

from audit.core.refusals import Refused
from audit.models import AuditEvent
from audit.principals import SYSTEM
from gateway import health
from gateway.core.episodes import RunStory, StepStory, episode
from gateway.memory import Kept, Memory
from gateway.models import MemoryEntry, RememberedRun
from gateway.remembering import configured, recalling, writing
from gateway.remembering.forgetting import forget_namespace, forget_person, forget_run
from gateway.remembering.recalling import recall
from governance.actions.runs import cancel_run
from governance.approvals import evidence_before
from governance.context import context_for
from governance.models import Gate, Run, Step
from tests import desk
from tests.journeys import Journey, journey
from tests.people import build_house, use_policy
from worka_site.portal.provenance import readings_of

pytestmark = pytest.mark.django_db

POLICY = """\
version: 1
agents:
  hari: {actions: [context.read, plan.propose, llm.call, memory.read], models: ["claude-*"]}
  ernest: {actions: [context.read, skill.invoke, llm.call, memory.read, step.finish], skills: ["desk.*"], models: ["claude-*"]}
  daneel: {actions: [context.read, step.finish]}
rules:
  - hold: {tainted: true, side_effect: write, ask: operators, because: "the run has read text that strangers wrote"}
"""
LETTERS = "Sort the letters about harbour fees"
KEY = "ghp_" + "a1B2" * 8


@pytest.fixture
def j(monkeypatch):
    writing._resting.clear()
    return journey(monkeypatch, policy=POLICY)


def finish(j, text=LETTERS, who="ada", verb="read"):
    """Bring a run to its good end: ernest works, daneel tells."""
    run = j.ask(text, who)
    j.propose(desk.step("look", ("a", verb, "letters")), desk.step("tell", after=("look",), agent="daneel"))
    j.call("look", "a")
    j.finish("look", output={"fees": f"paid with {KEY}"})
    j.finish("tell", output={"text": "The harbour fees are paid."})
    run.refresh_from_db()
    assert run.state == "succeeded"
    return run


def told(j, step=None, memories=recall):
    """Return what the agent at work is told."""
    return context_for(j.caller(step), playbooks=list, model="claude-test", memories=memories)["memories"]


def agentic(j):
    """Ask for something that a model works on; return its step, at work."""
    j.ask("Please help")
    j.propose({**desk.step("think", ("b", "write", "a note")), "objective": "Look after letters about harbour fees",
               "instruction": {"kind": "agentic", "goal": "Do it"}})  # fmt: skip
    return j.step("think")


class Broken(Memory):
    """A memory that is down."""

    def keep(self, entries):
        raise OSError(f"no route for {entries[0].text}")

    def find(self, question):
        raise OSError(f"no route for {question.text}")

    def forget(self, ids):
        raise OSError("no route")


@pytest.fixture
def broken(monkeypatch, settings):
    settings.WORKA_MEMORY = "broken"
    monkeypatch.setattr(configured, "all_memories", lambda: {"broken": Broken})


# --- Written ----------------------------------------------------------------------------------------------------------


def test_a_run_that_succeeded_is_remembered_once_by_each_of_its_agents_with_where_it_comes_from(j):
    run = finish(j)
    j.ask("Another one, which goes nowhere")
    cancelled = cancel_run(j.run.pk, by=j.house.by("ada"), because="no more")

    assert writing.remember_runs() == 1 and writing.remember_runs() == 0

    found = {each.namespace: each for each in MemoryEntry.objects.all()}
    assert set(found) == {"agent:hari", "agent:ernest", "agent:daneel"}
    mine = found["agent:ernest"]
    assert mine.run == run and mine.step == Step.objects.get(run=run, ref="look") and mine.created_by == str(SYSTEM)
    assert mine.person_ids == [str(j.house.ada.pk)] and len(mine.manifest_digests) == 2
    assert mine.taint == ["reads_private", "untrusted_output"] == found["agent:hari"].taint
    assert f"Asked: {LETTERS}" in mine.text and "Plan: A plan" in mine.text and "with desk.read: do look" in mine.text
    assert (
        "The harbour fees are paid." in mine.text
        and "do tell" not in mine.text
        and "do tell" in found["agent:hari"].text
    )
    assert KEY not in " ".join(each.text for each in found.values())
    (entry,) = AuditEvent.objects.filter(type="memory.store")
    assert (entry.run, entry.actor, entry.facts["agents"]) == (run.pk, "system:worka", ["hari", "ernest", "daneel"])
    assert "harbour" not in str(entry.facts)
    assert not RememberedRun.objects.filter(run=cancelled).exists()
    assert mine.expires_at == run.finished_at + timedelta(days=365)


def test_a_run_that_read_nothing_of_strangers_leaves_no_strangers_taint(j):
    finish(j, verb="peek")

    writing.remember_runs()

    assert set(map(tuple, MemoryEntry.objects.values_list("taint", flat=True))) == {("reads_private",)}


def test_a_memory_that_is_down_stops_no_run_shows_in_health_and_is_made_up_for(
    j, broken, settings, monkeypatch, caplog
):
    run = finish(j)
    monkeypatch.setattr(configured, "LATE", timedelta(seconds=-1))

    assert writing.remember_runs() == 0 and not MemoryEntry.objects.exists() and not RememberedRun.objects.exists()
    assert writing.remember_runs() == 0 and run.pk in writing._resting
    check = health._memory("memory")
    assert (check.healthy, check.essential) == (False, False) and "broken does not answer (OSError)" in check.detail
    j.ask(LETTERS)
    assert told(j) == [] and Gate.objects.filter(action="memory.read").count() == 0
    assert "memories_left_out" in caplog.text and "harbour" not in caplog.text

    settings.WORKA_MEMORY, _ = "builtin", monkeypatch.undo()
    writing._resting.clear()
    assert "1 run that succeeded wait" in _late()
    assert writing.remember_runs() == 1 and MemoryEntry.objects.count() == 3
    assert health._memory("memory").healthy


def _late():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(configured, "LATE", timedelta(seconds=-1))
        return configured.memory_problem()


def test_memories_whose_time_is_over_are_erased_and_the_run_is_not_remembered_again(j):
    finish(j)
    writing.remember_runs()
    MemoryEntry.objects.update(expires_at=now())
    j.ask(LETTERS)
    assert told(j) == []

    assert writing.remember_runs() == 0

    assert not MemoryEntry.objects.exists() and RememberedRun.objects.count() == 1
    assert AuditEvent.objects.get(type="memory.expire").facts["memories"] == 3


# --- Told -------------------------------------------------------------------------------------------------------------


def test_what_a_planner_remembers_taints_every_step_of_its_plan(j):
    run = finish(j)
    writing.remember_runs()
    j.ask("What do the letters say about harbour fees?")

    (memory,) = told(j)

    assert memory["run"] == run.number and LETTERS in memory["text"] and "untrusted_output" in memory["taint"]
    gate = Gate.objects.get(run=j.run, action="memory.read")
    assert (gate.effect, gate.subject, gate.agent_name) == ("allow", "1 memory", "hari")
    j.run.refresh_from_db()
    assert j.run.taint == ["reads_private", "untrusted_output"]
    j.propose(desk.step("note", ("b", "write", "a note")))
    assert j.step("note").taint == ["reads_private", "untrusted_output"]
    j.call("note", "b")
    assert j.gate().action == "skill.invoke"  # held: what is written rests on what strangers wrote in another run
    assert ("write", "a note") not in desk.Desk.done
    reading, this = readings_of(j.gate(), evidence_before(j.gate()))  # who is asked sees where it comes from
    assert (reading.what, reading.detail, reading.tone) == ("Memories of earlier runs", "The planner, 1 memory.", "odd")
    assert "untrusted_output" in reading.labels and "what strangers wrote" in this.detail


def test_a_step_that_a_model_works_on_takes_on_the_taint_of_what_it_remembers(j):
    finish(j)
    writing.remember_runs()
    step = agentic(j)
    assert step.taint == []  # the planner was asked for something else

    (memory,) = told(j, step)

    step.refresh_from_db()
    assert step.taint == memory["taint"] == ["reads_private", "untrusted_output"]
    assert Gate.objects.filter(run=j.run, step=step, action="memory.read", effect="allow").count() == 1


def test_who_has_no_model_or_no_leave_is_told_nothing(j):
    finish(j)
    writing.remember_runs()
    j.ask(LETTERS)
    without = context_for(j.caller(), playbooks=list, memories=recall)
    use_policy(j.house.workspace, POLICY.replace(", memory.read", ""))

    assert without["memories"] == [] and told(j) == []

    (gate,) = Gate.objects.filter(run=j.run, action="memory.read")
    assert (gate.effect, gate.code) == ("deny", "policy_denied")
    assert Run.objects.get(pk=j.run.pk).taint == []
    j.propose(desk.step("look", ("a", "peek", "harbour fees letters")))
    assert told(j, j.step("look")) == []  # no model reads it, so that it taints nothing


def test_nothing_is_remembered_of_another_workspace_of_another_agent_or_of_what_the_requester_may_not_see(
    j, monkeypatch
):
    finish(j)
    other = Journey(build_house("umbrella", policy=POLICY, skills=desk.SKILLS), j.backend)
    finish(other)
    finish(j, who="bob")
    writing.remember_runs()
    assert MemoryEntry.objects.count() == 9

    seen = {}
    for name in ("ada", "bob", "dora"):
        j.ask(LETTERS, name)
        seen[name] = sorted(memory["run"] for memory in told(j))

    # Ada and bob are told of their own; dora, who may see every run, of both; nobody of umbrella's.
    assert seen == {"ada": [1], "bob": [2], "dora": [1, 2]}
    everything = list(MemoryEntry.objects.values_list("pk", flat=True))

    class Leaky(Memory):
        keep = forget = lambda self, _: None

        def find(self, question):
            return everything

    monkeypatch.setattr(recalling, "configured_memory", Leaky)
    assert {each.run for each in recall(j.run, "hari", LETTERS)} == {1, 2}
    assert recall(j.run, "nobody", LETTERS) == []
    j.house.dora.memberships.all().delete()
    assert recall(Run.objects.get(pk=j.run.pk), "hari", LETTERS) == ()


def test_what_is_told_is_bounded_and_costs_as_much_with_many_memories(j):
    run = finish(j)
    writing.remember_runs()
    j.ask(LETTERS)
    with CaptureQueriesContext(connection) as few:
        told(j)
    model = MemoryEntry.objects.get(namespace="agent:hari")
    for number in range(20):
        other = Run.objects.get(pk=run.pk)
        other.pk, other.number = None, 100 + number
        other.id = type(run)().id
        other.save(force_insert=True)
        MemoryEntry.objects.create(**{
            name: getattr(model, name)
            for name in ("workspace", "namespace", "agent_name", "created_by", "person_ids", "taint", "expires_at")
        }, run=other, text=f"{LETTERS} {'x' * 5000}")  # fmt: skip
    with CaptureQueriesContext(connection) as many:
        memories = told(j)

    assert 1 < len(memories) <= 5 and sum(len(each["text"]) for each in memories) <= 6000
    assert max(len(each["text"]) for each in memories) == 1500
    assert len(many) <= len(few)


def test_an_episode_is_bounded_whatever_was_said_in_the_run():
    long = StepStory("ernest", "o" * 5000, ("desk.read",), {"summary": "s" * 5000, "output": {"a": "b" * 5000}})
    story = RunStory("q" * 20_000, "p" * 8000, "report", "hari", None, (long,) * 20)

    assert len(episode(story, "ernest")) <= 4000 and len(episode(story, "hari")) <= 4000
    assert story.agents == ("hari", "ernest") and "Playbook: report" in episode(story, "ernest")


# --- Erased -----------------------------------------------------------------------------------------------------------


def test_what_is_erased_is_gone_is_written_down_and_does_not_come_back(j):
    run, of_bob = finish(j), finish(j, who="bob")
    writing.remember_runs()
    fresh = finish(j)  # not remembered yet when ada is forgotten
    workspace, dora = j.house.workspace, j.house.by("dora")

    assert forget_person(workspace, [str(j.house.ada.pk)], by=dora, because="she asked") == 3

    assert writing.remember_runs() == 0
    assert set(MemoryEntry.objects.values_list("run", flat=True)) == {of_bob.pk}
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM gateway_memoryentry WHERE run_id IN (%s, %s)", [run.pk, fresh.pk])
        assert cursor.fetchone() == (0,)
    entry = AuditEvent.objects.get(type="memory.forget")
    assert (entry.actor, entry.because, entry.workspace) == ("user:dora", "she asked", workspace.pk)
    assert (entry.facts["of"], entry.facts["memories"], entry.facts["runs"]) == ("person", 3, 1)
    assert forget_namespace(workspace, "agent:ernest", by=dora, because="tidy") == 1
    assert forget_run(of_bob, by=dora, because="tidy") == 2 and not MemoryEntry.objects.exists()
    assert forget_run(of_bob, by=dora, because="again") == 0
    assert AuditEvent.objects.filter(type="memory.forget").count() == 4


def test_a_run_that_is_forgotten_while_it_is_being_remembered_stays_forgotten(j):
    run = finish(j)
    forgotten = []

    class Slow(Memory):
        def keep(self, entries):
            assert all(isinstance(each, Kept) for each in entries)
            forget_run(run, by=j.house.by("dora"), because="at once")

        def find(self, question):
            return []

        def forget(self, ids):
            forgotten.extend(ids)

    assert writing.remember(Run.objects.get(pk=run.pk), Slow()) is False
    assert not MemoryEntry.objects.exists() and len(forgotten) == 3


def test_only_who_runs_the_workspace_erases_with_a_reason_and_with_the_memory_up(j, settings, broken):
    settings.WORKA_MEMORY = "off"
    run = finish(j)
    assert writing.remember_runs() == 0
    settings.WORKA_MEMORY = "broken"
    other = build_house("umbrella", policy=POLICY)

    for by, because, code in [
        (j.house.by("ada"), "mine", "forbidden"), (other.by("dora"), "not hers", "forbidden"),
        (j.house.by("dora"), " ", "invalid"), (j.house.by("dora"), "down", "unavailable"),
    ]:  # fmt: skip
        with pytest.raises(Refused) as refused:
            forget_run(run, by=by, because=because)
        assert refused.value.code == code
    assert not RememberedRun.objects.exists() and not AuditEvent.objects.filter(type="memory.forget").exists()


def test_the_same_from_the_shell(j, capsys):
    finish(j)
    writing.remember_runs()
    who = ("--by", "dora", "--because", "they asked")

    for wrong, says_ in (
        (("--person", "nobody"), "nobody called"), (("--run", "99"), "no run 99"),
        (("--run", "1", "--workspace", "elsewhere"), "no workspace elsewhere"),
    ):  # fmt: skip
        with pytest.raises(CommandError, match=says_):
            call_command("forget", *wrong, *who)
    with pytest.raises(CommandError, match="forget memories"):
        call_command("forget", "--run", "1", "--by", "ada", "--because", "x")
    call_command("forget", "--namespace", "agent:hari", *who)
    call_command("forget", "--run", "1", *who)
    call_command("forget", "--person", "ada", *who)

    said = capsys.readouterr().out
    assert said.splitlines() == ["1 memory is erased.", "2 memories are erased.", "0 memories are erased."]
    build_house("umbrella")
    with pytest.raises(CommandError, match="several workspaces"):
        call_command("forget", "--run", "1", *who)
