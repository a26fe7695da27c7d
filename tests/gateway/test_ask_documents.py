"""A question is answered from the workspace's documents by the playbook, with quotations and without a model."""

from uuid import uuid4

import pytest

from gateway.connector import all_connectors
from gateway.documents import write_document
from gateway.playbooks import playbooks
from governance.actions.plans import propose_plan
from governance.context import context_for
from governance.models import Gate, SkillInvocation
from governance.payloads import open_value
from runtime import actions as runtime_actions
from runtime.agents.hari import Planned, planned
from runtime.agents.rendering import render
from tests.journeys import journey
from tests.people import POLICIES, build_house
from worka.contract import Context

pytestmark = pytest.mark.django_db

FEES = "# Harbour\n\nShips pay by length.\nThe fee of the harbour is due in June, says \u202ethe <b>master</b>.\nNothing else.\n"


@pytest.fixture
def j(monkeypatch):
    found = journey(monkeypatch, policy=(POLICIES / "default.yaml").read_text())
    monkeypatch.setattr("gateway.tools.all_connectors", all_connectors)
    return found


def write(house, path, text, *taint):
    write_document(house.workspace.pk, path, text.encode(), invocation_id=uuid4(), taint=frozenset(taint))


def answer(j, request):
    """Let Hari plan it, Ernest search and Daneel answer; return what Daneel says."""
    j.ask(request)
    job, caller = j.job(), j.caller()
    found = planned(Context.from_json(context_for(caller, playbooks=playbooks)))
    assert isinstance(found, Planned) and found.plan["playbook"]["name"] == "ask-documents"
    served = {each["name"]: each["digest"] for each in playbooks()}
    assert propose_plan(caller, found.plan, playbooks=served).state == "accepted"
    runtime_actions.accept_answer(job.pk, digest="0" * 64, status=201, answer={"state": "accepted"})
    j.leave(job)
    j.tick()
    j.call("search", "find")
    call = SkillInvocation.objects.get(run=j.run, call_id="find")
    j.finish("search", output={"find": open_value(j.run.pk, call, "output")})
    told = context_for(j.caller(j.step("answer")), playbooks=playbooks)["step"]["instruction"]
    said = render(told["template"], told["data"])
    j.finish("answer", output={"text": said})
    j.tick()
    return said


def test_a_question_is_answered_with_quotations_and_the_names_of_the_documents(j):
    write(j.house, "rules/fees.md", "An older text about a harbour fee.")
    write(j.house, "rules/fees.md", FEES, "untrusted_output")
    write(j.house, "letters.txt", "Dear master,\nthe HARBOURS took no fees in May.\r\nYours")
    write(j.house, "garden.md", "The harbour is far, roses are red.")
    write(j.house, "logo.png", "\x00harbour fees")
    write(build_house("umbrella"), "secret.md", "Secret harbour fees")

    said = answer(j, "What do the documents say about harbour fees?")

    assert j.run.state == "succeeded" and j.run.outcome is not None
    assert said.startswith("2 documents say something about “harbour fees”:\n")
    assert (
        "rules/fees.md\n- line 1: “# Harbour”\n- line 4: “The fee of the harbour is due in June, says the <b>master</b>.”"
        in said
    )
    assert "letters.txt\n- line 2: “the HARBOURS took no fees in May.”" in said
    for absent in ("older", "garden", "roses", "logo", "ecret", "Nothing else", "\u202e"):
        assert absent not in said
    assert j.step("answer").taint == ["reads_private", "untrusted_output"]  # it quotes what strangers wrote
    assert not Gate.objects.filter(run=j.run).exclude(effect="allow").exists()


def test_a_topic_that_no_document_has_is_said_so(j):
    write(j.house, "garden.md", "Roses are red.")

    said = answer(j, "Search the documents for harbour fees")

    assert said == "No document of this workspace has all the words of “harbour fees”.\n"
    assert j.step("answer").taint == ["reads_private"]
