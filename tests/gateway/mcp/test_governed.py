"""A tool of an MCP server within a run: decided by policy, held, approved for one payload, performed once, or suspended."""

import pytest

from audit.models import AuditEvent
from gateway.connectors.mcp import Mcp
from gateway.mcp.actions import accept_tool, add_server, discover
from gateway.models import McpTool
from governance.models import Burn, SkillInvocation
from tests import desk
from tests.journeys import journey

pytestmark = pytest.mark.django_db

POLICY = desk.POLICY.replace('skills: ["desk.*"]', 'skills: ["desk.*", "mcp.shelf.*"]')


def says(text):
    call = {"call_id": "a", "skill": "mcp.shelf.echo", "input": {"text": text}}
    asked = desk.step("say", ("x", "peek", "x"))
    return {**asked, "instruction": {"kind": "direct", "calls": [call]}, "allowed_skills": ["mcp.shelf.echo"]}


@pytest.fixture
def j(monkeypatch, shelf):
    """A journey in a house that has accepted the shelf's echo."""
    j = journey(monkeypatch, policy=POLICY)
    monkeypatch.setattr("gateway.tools.all_connectors", lambda: {"desk": desk.Desk, "mcp": Mcp})
    dora = j.house.by("dora")
    server = add_server("shelf", "http", by=dora, because="we need it", url=shelf.url)
    discover(server.pk, by=dora, because="what is there")
    tool = McpTool.objects.get(name="echo")
    accept_tool(tool.pk, by=dora, because="read it", digest=tool.digest)
    return j


def test_an_accepted_tool_is_held_as_what_leaves_the_house_and_performed_once_as_it_was_approved(j, shelf):
    j.ask()
    j.propose(says("hello"))
    held = j.call("say", "a")
    assert (held.state, shelf.called) == ("held", [])
    j.finish("say", "suspended", waits_for=["a"])

    j.answer("approve")

    call = SkillInvocation.objects.get(run=j.run)
    assert (call.state, call.skill_name) == ("succeeded", "mcp.shelf.echo")
    assert shelf.called == [("echo", {"text": "hello"})]
    assert set(j.step("say").taint) == {"reads_private", "untrusted_output"}


def test_a_tool_that_changes_while_people_decide_is_not_called_and_no_longer_a_skill(j, shelf):
    j.ask()
    j.propose(says("hello"))
    j.call("say", "a")
    j.finish("say", "suspended", waits_for=["a"])
    shelf.tools[0] = shelf.tools[0].model_copy(update={"description": "Mails it."})

    j.answer("approve")

    call = SkillInvocation.objects.get(run=j.run)
    assert (call.state, call.error["effect"], shelf.called) == ("failed", "none", [])
    assert "is suspended, and was not called: the server changed its description" in call.error["message"]
    assert McpTool.objects.get(name="echo").state == "suspended"
    entry = AuditEvent.objects.get(type="mcp_tool.suspend")
    assert (entry.actor, entry.because) == ("system:worka", "the server changed its description")
    assert Burn.objects.filter(run=j.run, kind="connector").count() == 1


def test_a_suspended_tool_is_refused_before_any_rule(j, shelf):
    from gateway.mcp.actions import suspend_tool

    j.ask()
    j.propose(says("hello"))
    suspend_tool(McpTool.objects.get(name="echo").pk, by=j.house.by("dora"), because="odd answers")

    answer = j.call("say", "a")

    assert (str(answer.code), shelf.called) == ("frozen", [])
    assert not SkillInvocation.objects.filter(run=j.run).exclude(state="denied").exists()
