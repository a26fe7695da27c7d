"""An agent that needs a service which nobody has connected yet: it sleeps, people see why, and it goes on by itself."""

import pytest

from gateway.connector import all_connectors
from governance.models import Burn, Gate, SkillInvocation
from governance.payloads import open_value
from runtime.agents import ernest, hari
from tests.agents.modelled import api, at_the_door, at_work, upstream
from tests.desk import Desk
from tests.gateway.fixtures import door_socket, planning, stages
from tests.gateway.treasury.bank import equip
from tests.people import use_policy
from tests.wire.github import github_stub
from tests.wire.messages_api import says, uses

__all__ = ["api", "at_work", "door_socket", "planning", "stages", "upstream"]

POLICY = """\
version: 1
agents:
  hari: {actions: [context.read, plan.propose, llm.call], models: ["claude-*"]}
  ernest: {actions: [context.read, skill.invoke, llm.call, step.finish], skills: ["github.*"], models: ["claude-*"]}
"""
LOOK = {"repo": "acme/orders", "number": 5}


def step(instruction):
    return {
        "step_ref": "look", "agent_name": "ernest", "objective": "Look at the issue", "depends_on": [],
        "instruction": instruction, "allowed_skills": ["github.get_issue"],
    }  # fmt: skip


@pytest.fixture
def github():
    with github_stub() as stub:
        yield stub


@pytest.fixture
def begin(planning, api, at_work, monkeypatch):
    """A function that lets a plan of one step be made, and its agent meet that nothing is connected."""
    monkeypatch.setattr("gateway.tools.all_connectors", lambda: {**all_connectors(), "desk": Desk})
    use_policy(planning.house.workspace, POLICY)

    def begun(instruction, *said, works=True):
        api.will(uses(("propose_plan", {"summary": "Look", "steps": [step(instruction)]})))
        at_work(planning, hari)
        assert planning.run.state == "running", planning.run.reason
        api.asked.clear()
        api.will(*said)
        if works:
            at_work(planning, ernest, "look")
        return planning

    return begun


def asleep(j, call_id):
    found, call = j.step("look"), SkillInvocation.objects.get(run=j.run)
    denied = Gate.objects.get(run=j.run, action="skill.invoke")
    assert (found.state, found.attempt, found.waits_for["calls"]) == ("suspended", 1, [call_id])
    assert (call.call_id, call.state, call.error["code"]) == (call_id, "requested", "no_connection")
    assert (denied.effect, denied.code) == ("deny", "no_connection")
    return True


def test_calls_of_a_plan_are_made_when_their_service_is_connected(begin, at_work, github):
    calls = [{"call_id": "c1", "skill": "github.get_issue", "input": LOOK}]
    j = begin({"kind": "direct", "calls": calls}, says("not asked"))
    assert asleep(j, "c1")

    equip(j.house, github.url)
    j.tick()
    at_work(j, ernest, "look")

    done = j.step("look")
    assert (done.state, done.attempt, done.retries) == ("succeeded", 2, 0)
    assert open_value(j.run.pk, done, "result")["output"]["c1"]["title"] == "Issue 5"
    assert (j.run.state, Burn.objects.exists()) == ("succeeded", False)


def test_an_agent_of_somebody_else_is_told_what_to_do(begin, door_socket):
    calls = [{"call_id": "c1", "skill": "github.get_issue", "input": LOOK}]
    j = begin({"kind": "direct", "calls": calls}, works=False)

    with at_the_door(door_socket, j.job(j.step("look"))) as agent:
        asked, looked = agent.call("c1"), agent.wait_call("c1", wait_s=0)

    for outcome in (asked, looked):
        assert (outcome.state, outcome.code, outcome.is_waiting) == ("unconnected", "no_connection", True)
        assert outcome.reason == "github is not connected in this workspace"


def test_a_model_does_not_have_to_say_it_again(begin, api, at_work, github):
    turn = uses(("github__get_issue", LOOK), text="I look")
    j = begin({"kind": "agentic", "goal": "Look"}, turn, says("It is about orders."))
    assert asleep(j, "t1.1") and len(api.asked) == 1

    equip(j.house, github.url)
    j.tick()
    at_work(j, ernest, "look")

    assert (j.step("look").state, len(api.asked)) == ("succeeded", 2)
    assert "Issue 5" in str(api.asked[1]["messages"][-1])
    assert SkillInvocation.objects.get().state == "succeeded"
