"""Calls: decided, reserved, performed, repeated, lost and found."""

from datetime import timedelta

import pytest

from audit.core.codes import Code
from gateway.connector import SkillFailed
from gateway.tasks import due_calls, perform_released
from gateway.tools import perform
from governance.actions.artifacts import store_artifact
from governance.actions.freezing import disable, enable, freeze_workspace, thaw_workspace
from governance.actions.reserve import request_call, reserve_released
from governance.actions.votes import vote
from governance.caller import JobOver
from governance.models import Agent, Budget, Burn, Consent, Gate, Skill, SkillInvocation, SkillLock
from runtime.core.jobs import Ended
from tests import desk
from tests.desk import Desk, step
from tests.governance.conftest import FEW_CALLS
from tests.people import use_policy

LEASE = timedelta(seconds=36)


def planned(j, *calls):
    """A run with one step that makes these calls."""
    j.ask()
    j.propose(step("work", *calls))
    return j.caller(j.step("work"))


def agree(j):
    """Let the waiting call go, without performing it."""
    gate = j.gate()
    vote(
        gate.pk,
        by=j.house.by("bob"),
        user=j.house.bob,
        verdict="approve",
        because="go",
        payload_digest=gate.payload_digest,
        channel="api",
    )
    return SkillInvocation.objects.get(gate=gate)


def budget(j):
    row = Budget.objects.get(scope=j.run.pk, kind="invocations")
    return int(row.reserved), int(row.spent)


def crash(j):
    """Let the agent's process die, and its step be started again."""
    j.leave(j.job(j.step("work")), 1, Ended.SIGNALLED)
    j.tick(1)


# --- Deciding -------------------------------------------------------------------------------------------------------


def test_a_call_outside_the_steps_list_is_denied_and_says_so(j):
    caller = planned(j, ("a", "peek", "x"))

    answer = request_call(caller, call_id="own", skill="desk.write", value={"text": "x"})

    assert (answer.state, answer.code, answer.gate.state) == ("denied", Code.POLICY_DENIED, "denied")
    assert "not among the skills of the step" in answer.reason
    assert request_call(caller, call_id="own", skill="desk.write", value={"text": "x"}).gate == answer.gate


@pytest.mark.parametrize("skill", ["desk.nothing", "nowhere.to_be_found"])
def test_a_skill_that_does_not_exist_is_denied_and_leaves_a_gate_and_no_call(j, skill):
    answer = request_call(planned(j, ("a", "peek", "x")), call_id="own", skill=skill, value={})

    assert (answer.state, answer.code, answer.invocation) == ("refused", Code.POLICY_DENIED, None)
    assert answer.gate.state == "denied" and not SkillInvocation.objects.exists()


def test_a_call_that_the_plan_does_not_name_has_no_input_to_resolve(j):
    answer = request_call(planned(j, ("a", "peek", "x")), call_id="b")

    assert answer.state == "refused" and answer.gate.state == "denied"


def test_an_input_that_does_not_fit_is_a_denied_gate_and_leaves_the_id_free(j):
    caller = planned(j, ("a", "peek", "x"))

    answer = request_call(caller, call_id="own", skill="desk.peek", value={"txt": 1})

    assert (answer.state, answer.code, answer.gate.code) == ("refused", Code.BAD_INPUT, "bad_input")
    assert {fault.path for fault in answer.faults} <= {"/input", "/input/txt", "/input/text"} and answer.faults
    assert request_call(caller, call_id="own", skill="desk.peek", value={"text": "x"}).state == "running"


def test_one_call_id_stands_for_one_input(j):
    caller = planned(j, ("a", "peek", "x"))
    j.call("work", "a")

    answer = request_call(caller, call_id="a", skill="desk.peek", value={"text": "y"})

    assert (answer.code, answer.gate.state) == (Code.CALL_CONFLICT, "denied")
    assert SkillInvocation.objects.get().state == "succeeded"


def test_a_repeated_call_gets_its_answer_and_is_not_done_again(j):
    planned(j, ("a", "stamp", "x"))

    first, again = j.call("work", "a"), j.call("work", "a")

    assert (first.state, again.state, again.work) == ("running", "succeeded", None)
    assert Desk.done == [("stamp", "x")]
    assert Gate.objects.filter(action="skill.invoke").count() == 1


@pytest.mark.parametrize("what", ["workspace", "agent", "skill"])
def test_a_freeze_stops_a_call_at_the_door_and_spends_no_retry(j, what):
    caller, by = planned(j, ("a", "peek", "x")), j.house.by("olga")
    row = {"agent": lambda: Agent.objects.get(name="ernest"), "skill": lambda: Skill.objects.get(name="desk.peek")}.get(
        what
    )
    freeze_workspace(j.house.workspace.pk, by=by, because="caution") if row is None else disable(
        row(), by=by, because="caution"
    )

    answer = request_call(caller, call_id="a")
    finished = j.finish("work", "suspended", waits_for="frozen")

    assert (answer.code, answer.gate.code, answer.invocation) == (Code.FROZEN, "frozen", None)
    assert finished.state == "suspended"
    j.tick()
    assert (j.step("work").state, j.step("work").retries) == ("suspended", 0)
    thaw_workspace(j.house.workspace.pk, by=by, because="all clear") if row is None else enable(
        row(), by=by, because="all clear"
    )
    j.tick()
    assert (j.step("work").state, j.step("work").attempt, j.step("work").retries) == ("running", 2, 0)
    assert j.call("work", "a").state == "running" and Desk.done == [("peek", "x")]


def test_after_its_deadline_a_run_allows_nothing_even_before_the_tick_has_seen_it(j, clock):
    caller = planned(j, ("a", "peek", "x"))
    clock.shift(timedelta(days=1))

    with pytest.raises(JobOver):
        request_call(caller, call_id="a")

    assert not SkillInvocation.objects.exists()


# --- Taint ----------------------------------------------------------------------------------------------------------


def test_what_is_written_keeps_the_taint_of_the_artifacts_it_carries(j, monkeypatch):
    """A step that read nothing itself writes what a tainted one has made: the deed has the artifact's taint, and the step too."""
    j.ask()
    j.propose(step("read", ("r", "read", "x")), step("write", ("w", "stamp", "x")))
    j.call("read", "r")
    made, _ = store_artifact(
        j.caller(j.step("read")), name="a.txt", media_type="text/plain", content=b"theirs", sha256="0" * 64
    )
    seen = []
    monkeypatch.setattr(
        Desk, "call", lambda self, verb, arguments, context: seen.append(context.taint) or desk.Outcome({})
    )
    monkeypatch.setattr("governance.actions.reserve.faults_of", lambda *args: ())
    answer = request_call(
        j.caller(j.step("write")),
        call_id="own",
        skill="desk.stamp",
        value={"text": {"$artifact": {"id": str(made.pk)}}},
    )

    assert answer.state == "held" and j.step("write").taint == []
    perform_released(agree(j).pk)

    assert seen == [frozenset({"reads_private", "untrusted_output"})]
    assert j.step("write").taint == ["reads_private", "untrusted_output"]


# --- Locks and budgets ----------------------------------------------------------------------------------------------


def test_a_lock_that_is_taken_is_a_denial_at_the_door_and_no_reason_to_refuse_the_step(j):
    first = planned(j, ("a", "stamp", "x"))
    busy = request_call(first, call_id="a").work
    caller = planned(j, ("a", "stamp", "x"))

    answer = request_call(caller, call_id="a")

    assert (answer.code, answer.gate.code, answer.retry_after_s, answer.invocation) == (
        Code.LOCK_CONFLICT,
        "lock_conflict",
        1,
        None,
    )
    assert budget(j) == (0, 0)
    perform(busy)
    assert SkillLock.objects.get().invocation is None
    j.finish("work", "failed", summary="it was busy")
    assert (j.step("work").state, j.step("work").retries, j.run.state) == ("ready", 1, "running")


def test_the_performer_waits_for_a_lock_without_asking_or_recording_anew(j, clock):
    use_policy(
        j.house.workspace,
        desk.POLICY.replace("rules:", 'rules:\n  - hold: {skill: desk.stamp, ask: operators, because: "stamps"}'),
    )
    planned(j, ("a", "stamp", "x"))
    j.call("work", "a")
    first = reserve_released(agree(j).pk)
    planned(j, ("a", "stamp", "x"))
    j.call("work", "a")
    call = agree(j)
    gates = Gate.objects.count()

    assert reserve_released(call.pk) is None
    assert reserve_released(call.pk) is None

    call.refresh_from_db()
    assert (call.state, call.not_before is not None, Gate.objects.count()) == ("released", True, gates)
    assert call.pk not in due_calls() and budget(j) == (0, 0)
    perform(first)
    clock.shift(timedelta(seconds=2))
    assert perform_released(call.pk).state == "succeeded"
    assert Consent.objects.filter(used_by=call.pk).count() == 1


@pytest.mark.parametrize("what", ["workspace", "agent", "skill"])
def test_the_performer_waits_for_the_end_of_a_freeze(j, clock, what):
    planned(j, ("a", "send", "x"))
    j.call("work", "a")
    call, by = agree(j), j.house.by("olga")
    row = {"agent": lambda: Agent.objects.get(name="ernest"), "skill": lambda: Skill.objects.get(name="desk.send")}.get(
        what
    )
    freeze_workspace(j.house.workspace.pk, by=by, because="caution") if row is None else disable(
        row(), by=by, because="caution"
    )

    assert reserve_released(call.pk) is None

    call.refresh_from_db()
    assert (call.state, Desk.done, Gate.objects.filter(effect="deny").count()) == ("released", [], 0)
    thaw_workspace(j.house.workspace.pk, by=by, because="all clear") if row is None else enable(
        row(), by=by, because="all clear"
    )
    clock.shift(timedelta(seconds=6))
    assert perform_released(call.pk).state == "succeeded"


def test_a_budget_that_is_used_up_denies_at_the_door_and_refuses_what_was_released(begin):
    j = begin(FEW_CALLS)
    planned(j, ("a", "send", "x"), ("b", "peek", "x"), ("c", "peek", "y"), ("d", "peek", "z"))
    j.call("work", "a")
    assert [j.call("work", name).code for name in "bcd"] == [None, None, Code.BUDGET_EXCEEDED]
    assert Gate.objects.filter(code="budget_exceeded", state="denied").count() == 1
    assert budget(j) == (0, 2)

    call = agree(j)
    assert reserve_released(call.pk) is None

    call.refresh_from_db()
    j.run.refresh_from_db()
    assert (call.state, call.error["code"], j.run.state) == ("denied", "budget_exceeded", "refused")
    assert Desk.done == [("peek", "x"), ("peek", "y")]


# --- Failing and trying again ---------------------------------------------------------------------------------------


def test_a_failure_without_effect_leaves_the_call_to_be_tried_again_under_a_reservation_of_its_own(j):
    planned(j, ("a", "peek", "x"))
    Desk.fails = [SkillFailed("not now"), SkillFailed("not now")]

    j.call("work", "a")
    call = SkillInvocation.objects.get()
    assert (call.state, call.tries, budget(j)) == ("requested", 1, (0, 0))
    assert j.call("work", "a").state == "running"
    assert (j.call("work", "a").state, j.call("work", "a").state) == ("running", "succeeded")

    assert Desk.done == [("peek", "x")] and budget(j) == (0, 1)
    assert Gate.objects.filter(action="skill.invoke", state="allowed").count() == 3


def test_the_third_failure_is_final(j):
    planned(j, ("a", "peek", "x"))
    Desk.fails = [SkillFailed("not now")] * 3
    for _ in range(4):
        answer = j.call("work", "a")

    assert (answer.state, answer.reason, budget(j)) == ("failed", "not now", (0, 1))
    assert Burn.objects.get().kind == "connector"


def test_what_will_never_work_is_not_tried_again(j):
    planned(j, ("a", "peek", "x"))
    Desk.fails = [SkillFailed("there is no such thing", code=Code.NOT_FOUND)]

    j.call("work", "a")

    assert SkillInvocation.objects.get().state == "failed"


def test_a_held_call_that_fails_without_effect_goes_on_with_its_consent_when_repeating_is_harmless(j, clock):
    planned(j, ("r", "read", "x"), ("w", "write", "x"))
    j.call("work", "r")
    j.call("work", "w")
    call = agree(j)
    Desk.fails = [SkillFailed("not now")]

    assert perform_released(call.pk).state == "released"
    assert perform_released(call.pk) is None, "not at once"
    clock.shift(timedelta(seconds=3))
    assert perform_released(call.pk).state == "succeeded"

    assert Consent.objects.get().used_by == call.pk and budget(j) == (0, 2)
    assert Desk.done == [("read", "x"), ("write", "x")]


def test_a_letter_that_was_turned_away_for_certain_goes_out_on_the_consent_it_has(j, clock):
    planned(j, ("a", "send", "x"))
    j.call("work", "a")
    call = agree(j)
    Desk.fails = [SkillFailed("nobody opened")]

    assert perform_released(call.pk).state == "released"
    clock.shift(timedelta(seconds=3))
    assert perform_released(call.pk).state == "succeeded"

    assert Desk.done == [("send", "x")] and Consent.objects.get().used_by == call.pk
    assert due_calls() == [] and budget(j) == (0, 1)
