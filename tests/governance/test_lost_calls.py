"""Calls whose performer is gone, whose effect nobody knows, and deeds that may have been done before."""

from datetime import timedelta

import pytest

from audit.core.codes import Code
from audit.core.refusals import Refused
from audit.models import AuditEvent
from gateway.connector import SkillFailed
from gateway.tasks import perform_released, sweep_leases
from gateway.tools import perform
from governance.actions.outcomes import Performed, record_outcome, settle_call, take_expired_lease
from governance.actions.reserve import request_call, reserve_released
from governance.actions.runs import cancel_run
from governance.actions.votes import vote
from governance.models import Budget, Burn, Consent, EncryptedPayload, SkillInvocation
from governance.payloads import open_value, value_of
from runtime.core.jobs import Ended
from tests import desk
from tests.desk import Desk, step
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


# --- Lost performers ------------------------------------------------------------------------------------------------


def test_an_idempotent_call_whose_performer_is_gone_is_repeated_on_consent_and_reservation_it_has(j, clock):
    planned(j, ("r", "read", "x"), ("w", "write", "x"))
    j.call("work", "r")
    j.call("work", "w")
    call = agree(j)
    lost = reserve_released(call.pk)
    assert take_expired_lease(call.pk) == "running", "its lease is not over"
    clock.shift(LEASE)

    assert sweep_leases() == 1

    call.refresh_from_db()
    assert (call.state, budget(j)) == ("released", (1, 1))
    again = reserve_released(call.pk)
    assert again.lease_id != lost.lease_id and budget(j) == (1, 1)
    assert record_outcome(lost, Performed(output={"said": "late"})).state == "running"
    assert perform(again).state == "succeeded"
    assert Consent.objects.get().used_by == call.pk and budget(j) == (0, 2)


def test_an_answer_that_comes_too_late_is_kept_and_changes_nothing(j, clock):
    caller = planned(j, ("a", "stamp", "x"))
    work = request_call(caller, call_id="a").work
    clock.shift(LEASE)
    sweep_leases()

    record_outcome(work, Performed(output={"said": "late"}))

    call = SkillInvocation.objects.get()
    kept = EncryptedPayload.objects.get(kind="late_answer")
    assert (call.state, call.output) == ("unknown", None)
    assert value_of(kept)["output"] == {"said": "late"}
    assert AuditEvent.objects.get(type="invocation.answer_late").facts["payload"] == str(kept.pk)


@pytest.mark.parametrize(
    ("failure", "state"), [(SkillFailed("who knows", effect="maybe"), "unknown"), (ValueError("a bug"), "unknown")]
)
def test_a_deed_of_unknown_effect_asks_a_person(j, failure, state):
    planned(j, ("a", "stamp", "x"))
    Desk.fails = [failure]

    assert j.call("work", "a").state == "running"

    call = SkillInvocation.objects.get()
    assert (call.state, call.error["effect"], budget(j)) == (state, "maybe", (1, 0))
    assert Burn.objects.get().kind == "connector"
    assert j.call("work", "a").state == "unknown"
    refused = j.finish("work")
    assert (refused.code, refused.gate.state) == (Code.CALLS_OPEN, "denied")
    assert j.finish("work", "suspended", waits_for=["a"]).state == "suspended"


@pytest.mark.parametrize("outcome", ["succeeded", "failed"])
def test_an_unknown_call_is_settled_by_somebody_who_did_not_ask_for_the_run(j, outcome):
    planned(j, ("a", "stamp", "x"))
    Desk.fails = [SkillFailed("who knows", effect="maybe")]
    j.call("work", "a")
    j.finish("work", "suspended", waits_for=["a"])
    call = SkillInvocation.objects.get()
    settle = {
        "because": "I went and looked",
        "outcome": outcome,
        "output": {"said": "X"} if outcome == "succeeded" else None,
    }

    for who, code in (("ada", Code.OWN_REQUEST),):
        with pytest.raises(Refused) as refusal:
            settle_call(call.pk, by=j.house.by(who), **settle)
        assert refusal.value.code == code
    with pytest.raises(Refused) as unclear:
        settle_call(call.pk, by=j.house.by("dora"), because="hm", outcome="perhaps")
    assert unclear.value.code == Code.INVALID
    settled = settle_call(call.pk, by=j.house.by("dora"), **settle)
    with pytest.raises(Refused) as twice:
        settle_call(call.pk, by=j.house.by("dora"), **settle)

    assert (settled.state, twice.value.code, budget(j)) == (outcome, Code.TRANSITION_REFUSED, (0, 1))
    if outcome == "succeeded":
        assert open_value(j.run.pk, settled, "output") == {"said": "X"}
    else:
        assert settled.error == {"code": "settled_failed", "message": "I went and looked"}
    entry = AuditEvent.objects.get(type=f"invocation.settle_{outcome}")
    assert (entry.actor, entry.because) == ("user:dora", "I went and looked")
    j.tick()
    assert (j.step("work").state, j.step("work").attempt, j.step("work").retries) == ("running", 2, 0)
    assert j.call("work", "a").state == outcome


def test_an_unknown_call_is_settled_after_the_end_of_its_run_as_well(j):
    planned(j, ("a", "stamp", "x"))
    Desk.fails = [SkillFailed("who knows", effect="maybe")]
    j.call("work", "a")
    cancel_run(j.run.pk, by=j.house.by("ada"), because="enough")

    settled = settle_call(
        SkillInvocation.objects.get().pk, by=j.house.by("dora"), because="it was done", outcome="succeeded"
    )

    assert settled.state == "succeeded"
    j.run.refresh_from_db()
    assert j.run.state == "cancelled" and budget(j) == (0, 1)


@pytest.mark.parametrize(("verb", "state"), [("peek", "failed"), ("write", "unknown"), ("stamp", "unknown")])
def test_a_call_that_outlives_its_run_is_not_repeated_and_asks_a_person_only_if_it_may_have_changed_something(
    j, clock, verb, state
):
    caller = planned(j, ("a", verb, "x"))
    request_call(caller, call_id="a")
    cancel_run(j.run.pk, by=j.house.by("ada"), because="enough")
    clock.shift(LEASE)

    sweep_leases()

    assert SkillInvocation.objects.get().state == state
    assert budget(j) == ((0, 1) if state == "failed" else (1, 0))


def test_a_requeued_call_of_a_run_that_ends_gives_its_reservation_back(j, clock):
    caller = planned(j, ("a", "peek", "x"))
    request_call(caller, call_id="a")
    clock.shift(LEASE)
    sweep_leases()
    assert (SkillInvocation.objects.get().state, budget(j)) == ("released", (1, 0))

    cancel_run(j.run.pk, by=j.house.by("ada"), because="enough")

    assert (SkillInvocation.objects.get().state, budget(j)) == ("cancelled", (0, 1))


def test_a_call_that_needed_nobody_is_repeated_after_a_crash_by_right_of_policy(j, clock):
    caller = planned(j, ("a", "peek", "x"))
    request_call(caller, call_id="a")
    clock.shift(LEASE)
    sweep_leases()

    assert perform_released(SkillInvocation.objects.get().pk).state == "succeeded"


def test_a_call_that_needed_nobody_is_not_repeated_when_policy_asks_people_by_now(j, clock):
    caller = planned(j, ("a", "peek", "x"))
    request_call(caller, call_id="a")
    clock.shift(LEASE)
    sweep_leases()
    use_policy(
        j.house.workspace,
        desk.POLICY.replace("rules:", 'rules:\n  - hold: {skill: desk.peek, ask: operators, because: "careful"}'),
    )

    assert perform_released(SkillInvocation.objects.get().pk) is None

    call = SkillInvocation.objects.get()
    j.run.refresh_from_db()
    assert (call.state, call.error["code"], j.run.state, budget(j)) == (
        "denied",
        "policy_denies_now",
        "refused",
        (0, 1),
    )


# --- Deeds that may have been done before ---------------------------------------------------------------------------


def test_an_old_deed_under_a_new_id_is_held_in_the_next_attempt(j, clock):
    caller = planned(j, ("a", "stamp", "x"))
    perform(request_call(caller, call_id="own1", skill="desk.stamp", value={"text": "x"}).work)
    crash(j)
    clock.shift(timedelta(seconds=2))
    j.tick()
    caller = j.caller(j.step("work"))
    assert caller.attempt == 2

    again = request_call(caller, call_id="own2", skill="desk.stamp", value={"text": "x"})
    other = request_call(caller, call_id="own3", skill="desk.stamp", value={"text": "y"})

    assert (again.state, other.state) == ("held", "running")
    assert "earlier attempt" in again.reason
    assert Desk.done == [("stamp", "x")]
    assert perform_released(agree(j).pk).state == "succeeded"
    assert Desk.done == [("stamp", "x"), ("stamp", "x")], "a person said so"


def test_within_one_attempt_an_agent_may_do_the_same_twice(j):
    caller = planned(j, ("a", "stamp", "x"))

    answers = [
        request_call(caller, call_id=f"own{number}", skill="desk.stamp", value={"text": "x"}) for number in range(1)
    ]
    perform(answers[0].work)
    assert request_call(caller, call_id="own9", skill="desk.stamp", value={"text": "x"}).state == "running"


def test_a_deed_that_had_no_effect_is_no_repeat_of_itself(j, clock):
    planned(j, ("a", "stamp", "x"))
    Desk.fails = [SkillFailed("not now")]
    j.call("work", "a")
    crash(j)
    clock.shift(timedelta(seconds=2))
    j.tick()

    answer = j.call("work", "a")

    assert answer.state == "running" and Desk.done == [("stamp", "x")]
    assert SkillInvocation.objects.get().attempt == 2
