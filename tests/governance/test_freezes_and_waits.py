"""A freeze costs no tries, and sleeping for what is over already is no way to try without end."""

import pytest

from audit.core.codes import Code
from audit.core.refusals import Refused
from governance.actions.decisions import request_in
from governance.actions.freezing import freeze_workspace, thaw_workspace
from governance.actions.reserve import request_call
from governance.context import context_for
from governance.models import Burn, Gate, Run, Step
from governance.payloads import value_of
from runtime.models import AgentJob
from tests.desk import step
from tests.journeys import journey

pytestmark = pytest.mark.django_db


@pytest.fixture
def j(monkeypatch):
    return journey(monkeypatch)


@pytest.fixture
def working(j):
    j.ask()
    j.propose(step("look", ("a", "peek", "x")))
    return j


def freeze(j):
    freeze_workspace(j.house.workspace.pk, by=j.house.by("olga"), because="caution")


def thaw(j):
    thaw_workspace(j.house.workspace.pk, by=j.house.by("olga"), because="all is well")
    j.tick()


def test_an_attempt_that_a_freeze_stopped_spends_no_retry_and_goes_on_when_thawed(working):
    freeze(working)
    for attempt in (1, 2, 3, 4):
        assert working.call("look", "a").code == Code.FROZEN
        working.leave(working.job(working.step("look")), exit_code=1)
        working.tick()
        asleep = working.step("look")
        assert (asleep.state, asleep.retries, asleep.waits_for["frozen"]) == ("suspended", 0, True)
        thaw(working)
        assert (working.step("look").state, working.step("look").attempt) == ("running", attempt + 1)
        freeze(working)
    assert not Burn.objects.exists()
    thaw(working)
    assert working.call("look", "a").work is not None


def test_a_denied_call_counts_though_a_freeze_came_after_it(working):
    caller = working.caller(working.step("look"))
    assert (
        request_call(caller, call_id="own", skill="desk.write", value={"text": "forbidden"}).code == Code.POLICY_DENIED
    )
    freeze(working)
    assert working.call("look", "a").code == Code.FROZEN
    working.leave(working.job(working.step("look")), exit_code=1)
    working.tick()
    assert working.run.state == "refused"


def test_planning_that_a_freeze_stopped_is_no_attempt(j):
    j.ask()
    for _ in range(4):
        freeze(j)
        with pytest.raises(Refused) as refused:
            context_for(j.caller(), playbooks=list)
        assert refused.value.code == Code.FROZEN
        j.leave(j.job())
        j.tick()
        assert (j.run.state, j.run.planning_attempts) == ("planning", 0)
        thaw(j)
        assert not AgentJob.objects.filter(run=j.run, state="running").exists(), "it is tried again a little later"
        Run.objects.filter(pk=j.run.pk).update(planning_not_before=None)
        j.tick()
    assert not Burn.objects.exists()
    assert j.job().attempt == 1 and AgentJob.objects.filter(run=j.run).count() == 5
    assert j.propose(step("look", ("a", "peek", "x"))).state == "accepted"


@pytest.mark.parametrize("waits_for", [["a"], "2020-01-01T00:00:00Z", "frozen"])
def test_sleeping_for_what_is_over_is_allowed_three_times(working, waits_for):
    working.call("look", "a")
    for number in (1, 2, 3):
        assert working.finish("look", "suspended", waits_for=waits_for).code is None
        assert working.step("look").empty_waits == number
        working.tick()
    refused = working.finish("look", "suspended", waits_for=waits_for)
    assert refused.code == Code.BAD_OUTPUT and refused.gate.state == "denied"
    assert working.step("look").state == "running"
    assert working.finish("look").code is None


def test_sleeping_for_what_is_to_come_is_never_counted(j):
    j.ask()
    j.propose(step("look", ("s", "send", "x")))
    j.call("look", "s")
    assert j.finish("look", "suspended", waits_for=["s"]).code is None
    assert j.step("look").empty_waits == 0
    Step.objects.filter(run=j.run).update(empty_waits=3)
    j.answer()
    assert j.finish("look", "suspended", waits_for="2999-01-01T00:00:00Z").code is None
    freeze(j)
    assert j.step("look").empty_waits == 3


def test_what_was_refused_is_kept_once_and_beyond_four_kib_as_its_digest(working):
    caller = working.caller(working.step("look"))
    small, large = {"text": "forbidden"}, {"text": "y" * 20_000}
    for call_id, value in (("small", small), ("large", large)):
        request_call(caller, call_id=call_id, skill="desk.write", value=value)
    kept = {gate.call_id: gate.payload for gate in Gate.objects.filter(effect="deny").select_related("payload")}

    assert request_in(value_of(kept["small"])).args == small
    assert value_of(kept["small"])["payload"]["input"] == small
    assert value_of(kept["small"])["facts"]["args"] == {"$payload": "input"}
    assert kept["large"].size < 4096
    evidence = value_of(kept["large"])
    assert evidence["facts"]["args"]["size"] > 20_000 and request_in(evidence) is None
    assert len(evidence["facts"]["args"]["digest"]) == 64


def test_what_was_allowed_is_kept_whole_for_a_replay(working):
    working.call("look", "a")
    gate = Gate.objects.get(action="skill.invoke")
    evidence = value_of(gate.payload)
    assert request_in(evidence).args == {"text": "x"} == evidence["payload"]["input"]
