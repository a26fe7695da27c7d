"""A request, from the first word to the outcome, on a fake backend: the rows, the ledger, and nothing else."""

import pytest

from audit.models import AuditEvent
from governance.models import Burn, Consent, Gate, SkillInvocation
from runtime.models import AgentJob
from tests.desk import Desk, step
from tests.journeys import journey

pytestmark = pytest.mark.django_db


@pytest.fixture
def j(monkeypatch):
    return journey(monkeypatch)


def held(j):
    """A run whose second step waits for people: the first has read what strangers wrote."""
    j.ask()
    j.propose(step("look", ("a", "read", "letters")), step("note", ("b", "write", "a note"), after=("look",)))
    j.call("look", "a")
    j.finish("look", output={"a": "LETTERS"})
    answer = j.call("note", "b")
    assert answer.state == "held"
    j.finish("note", "suspended", waits_for=["b"])
    return answer


def test_a_held_call_is_performed_once_after_a_yes_and_the_run_succeeds(j):
    held(j)
    assert j.run.state == "running" and Desk.done == [("read", "letters")]

    j.answer("approve")
    j.tick()
    j.finish("note", output={"b": "A NOTE"})
    j.tick()

    assert j.run.state == "succeeded"
    assert Desk.done == [("read", "letters"), ("write", "a note")]
    assert j.run.outcome["output"] == {"b": "A NOTE"}
    consent = Consent.objects.get()
    assert consent.used_by == SkillInvocation.objects.get(call_id="b").pk
    assert set(AgentJob.objects.values_list("state", flat=True)) == {"succeeded"}
    assert not Burn.objects.exists()
    types = list(AuditEvent.objects.filter(run=j.run.pk).order_by("id").values_list("type", flat=True))
    assert types[0] == "run.receive"
    assert [name for name in types if name.startswith("gate.")].count("gate.vote") == 1
    assert types.count("run.succeed") == 1


def test_a_no_ends_the_run_whole_and_nothing_is_performed(j):
    held(j)

    j.answer("reject", because="not now")

    assert (j.run.state, j.run.reason) == ("refused", "not now")
    assert Desk.done == [("read", "letters")]
    assert SkillInvocation.objects.get(call_id="b").state == "denied"
    assert not Gate.objects.filter(state="waiting").exists()
    assert not Consent.objects.exists()
