"""Steps: begun in order, suspended, released, tried again, given up; and runs that end with them."""

from datetime import UTC, datetime, timedelta

import pytest

from audit.core.codes import Code
from audit.core.refusals import Refused
from audit.models import AuditEvent
from gateway.connector import SkillFailed
from governance.actions.burns import acknowledge_burn
from governance.actions.freezing import disable, enable
from governance.actions.reserve import request_call
from governance.actions.runs import cancel_run, finish_run
from governance.actions.steps import fail_attempt, finish_step, keep_checkpoint, release_step, start_step
from governance.caller import JobOver
from governance.core.result import parse_result
from governance.models import Agent, Burn, Gate, SkillInvocation, SkillLock, Step
from governance.payloads import open_value
from runtime import tasks
from runtime.actions import kill_job
from runtime.core.jobs import OPEN_JOB, Ended
from runtime.models import AgentJob
from tests import desk
from tests.desk import Desk, step
from tests.people import use_policy


def one_step(j, *calls):
    j.ask()
    j.propose(step("work", *calls or (("a", "peek", "x"),)))
    return j.step("work")


def states(j):
    return {each.ref: each.state for each in Step.objects.filter(run=j.run)}


def test_steps_begin_when_what_they_need_has_succeeded_and_inherit_what_it_has_read(j):
    j.ask()
    j.propose(step("one", ("a", "read", "x")), step("two", after=("one",)), step("three", after=("two",)))
    assert states(j) == {"one": "running", "two": "pending", "three": "pending"}
    j.call("one", "a")

    j.finish("one")

    assert states(j) == {"one": "succeeded", "two": "running", "three": "pending"}
    assert j.step("two").taint == j.step("one").taint == ["reads_private", "untrusted_output"]
    assert j.step("three").taint == []


def test_a_suspended_step_begins_again_only_when_what_it_waits_for_is_there_and_its_old_job_is_gone(j):
    one_step(j, ("a", "send", "x"), ("b", "send", "y"))
    j.call("work", "a"), j.call("work", "b")
    job = j.job(j.step("work"))
    finished = finish_step(
        j.caller(j.step("work")), parse_result({"status": "suspended", "summary": "s", "waits_for": ["a", "b"]})
    )
    from runtime.actions import accept_answer

    accept_answer(job.pk, digest="0" * 64, status=200, answer={})
    assert finished.state == "suspended"

    for gate in Gate.objects.filter(state="waiting").order_by("created_at"):
        assert j.step("work").state == "suspended"
        j.answer(gate=gate)
    assert Desk.done == [("send", "x"), ("send", "y")]
    assert j.step("work").state == "suspended", "its old job still lives"
    j.leave(job)
    j.tick()

    work = j.step("work")
    assert (work.state, work.attempt, work.retries, work.waits_for) == ("running", 2, 0, None)


def test_a_sleep_ends_at_its_time(j, later):
    one_step(j)
    until = datetime.now(UTC) + timedelta(minutes=3)
    j.finish("work", "suspended", waits_for=until.isoformat())

    later(170)
    assert j.step("work").state == "suspended"
    later(15)

    assert (j.step("work").state, j.step("work").attempt, j.step("work").retries) == ("running", 2, 0)


def test_a_failed_attempt_is_tried_again_after_a_while_that_doubles_and_then_the_run_fails(j, later):
    one_step(j)
    j.finish("work", "failed", summary="first")
    assert (j.step("work").state, j.step("work").retries, j.step("work").last_error) == ("ready", 1, "first")
    j.tick()
    assert j.step("work").state == "ready", "not at once"
    later(1.1)
    assert (j.step("work").state, j.step("work").attempt) == ("running", 2)
    j.finish("work", "failed", summary="second")
    later(1.1)
    assert j.step("work").state == "ready"
    later(1)
    j.finish("work", "failed", summary="third")

    work = j.step("work")
    assert (work.state, work.retries, work.attempt) == ("failed", 3, 3)
    assert (j.run.state, j.run.reason) == ("failed", "step 1 failed 3 times: third")
    assert [burn.kind for burn in Burn.objects.all()] == ["job_failed"] * 3


@pytest.mark.parametrize(
    ("ended", "code", "kind"),
    [(Ended.EXITED, 0, "bad_output"), (Ended.EXITED, 1, "job_failed"), (Ended.SIGNALLED, None, "job_failed"), (Ended.OOM, None, "oom"),
     (Ended.TIMED_OUT, None, "job_timeout"), (Ended.LOST, None, "job_lost"), (Ended.NOT_STARTED, None, "internal")],
)  # fmt: skip
def test_a_job_that_ends_without_a_result_spends_a_retry_and_burns(j, ended, code, kind):
    one_step(j)
    job = j.job(j.step("work"))

    j.leave(job, code, ended)
    j.tick()

    burn = Burn.objects.get()
    assert (burn.kind, burn.job_name, burn.step_id) == (kind, job.name, j.step("work").pk)
    assert (j.step("work").state, j.step("work").retries, j.run.state) == ("ready", 1, "running")


def test_when_a_lost_job_ends_the_run_what_else_worked_for_it_is_stopped_at_once(j):
    j.ask()
    j.propose(step("one", ("a", "write", "forbidden")), step("two", ("b", "peek", "x")))
    assert j.call("one", "a").state == "denied"
    lost, other = j.job(j.step("one")), j.job(j.step("two"))
    j.leave(lost, ended=Ended.LOST)

    tasks.tick()

    j.run.refresh_from_db()
    other.refresh_from_db()
    assert (j.run.state, other.wanted, other.unwanted_because) == ("refused", False, "the run is refused")


def test_the_failure_of_an_older_attempt_changes_nothing(j, later):
    work = one_step(j)
    j.finish("work", "failed", summary="first")
    later(2)

    fail_attempt(work.pk, 1, job_name="x", kind="job_lost", reason="it is long gone")

    assert (j.step("work").state, j.step("work").attempt, j.step("work").retries) == ("running", 2, 1)
    assert Burn.objects.count() == 1


def test_a_failed_result_after_a_denied_call_refuses_and_tries_nothing_again(j):
    one_step(j, ("a", "write", "forbidden"))
    assert j.call("work", "a").state == "denied"

    j.finish("work", "failed", summary="policy says no")

    assert (j.step("work").state, j.step("work").retries, j.run.state) == ("refused", 0, "refused")
    assert j.run.reason == "step 1: policy says no"


def test_a_step_may_go_on_after_a_denial(j):
    one_step(j, ("a", "write", "forbidden"), ("b", "peek", "x"))
    j.call("work", "a"), j.call("work", "b")

    assert j.finish("work").state == "succeeded"
    assert j.run.state == "succeeded"


def test_a_failed_result_in_a_freeze_costs_no_try_and_the_step_goes_on_after_it(j, later):
    one_step(j)
    row = Agent.objects.get(name="ernest")
    disable(row, by=j.house.by("olga"), because="caution")
    assert j.call("work", "a").code == Code.FROZEN

    j.finish("work", "failed", summary="it is frozen")

    assert (j.step("work").state, j.step("work").retries) == ("suspended", 0)
    enable(row, by=j.house.by("olga"), because="all clear")
    later(1)
    assert (j.step("work").state, j.step("work").attempt, j.step("work").retries) == ("running", 2, 0)


def test_a_lock_that_was_taken_spends_a_retry_only(j):
    one_step(j, ("a", "stamp", "x"))
    assert j.call("work", "a").state == "running"
    SkillLock.objects.update(
        invocation=SkillInvocation.objects.get(), lease_until=datetime.now(UTC) + timedelta(minutes=1)
    )
    one_step(j, ("a", "stamp", "x"))
    assert j.call("work", "a").code == Code.LOCK_CONFLICT

    j.finish("work", "failed", summary="it is taken")

    assert (j.step("work").state, j.step("work").retries) == ("ready", 1)


def test_a_success_needs_its_calls_to_be_over(j):
    one_step(j, ("a", "peek", "x"), ("b", "stamp", "y"), ("c", "send", "z"), ("d", "peek", "w"))
    request_call(j.caller(j.step("work")), call_id="a")
    Desk.fails = [SkillFailed("who knows", effect="maybe"), SkillFailed("not now")]
    j.call("work", "b"), j.call("work", "d"), j.call("work", "c")

    finished = j.finish("work")

    assert (finished.code, finished.gate.state, finished.gate.code) == (Code.CALLS_OPEN, "denied", "calls_open")
    assert "a, b" in finished.reason and j.step("work").state == "running"


def test_a_step_that_succeeds_takes_back_what_it_had_asked_for(j):
    one_step(j, ("a", "send", "x"), ("b", "peek", "y"))
    j.call("work", "a")
    Desk.fails = [SkillFailed("not now")]
    j.call("work", "b")
    gate = j.gate()

    j.finish("work")

    gate.refresh_from_db()
    assert (j.step("work").state, gate.state) == ("succeeded", "withdrawn")
    assert set(SkillInvocation.objects.values_list("state", flat=True)) == {"cancelled"}
    assert j.run.state == "succeeded" and Desk.done == []


def test_nobody_waits_for_a_call_that_was_never_made(j):
    one_step(j)

    finished = j.finish("work", "suspended", waits_for=["b"])

    assert (finished.code, finished.gate.state) == (Code.BAD_OUTPUT, "denied")
    assert j.step("work").state == "running"


def test_a_result_needs_policy_too(j):
    one_step(j)
    use_policy(j.house.workspace, desk.POLICY.replace("artifact.write, step.finish]", "artifact.write]"))

    finished = j.finish("work")

    assert (finished.code, finished.gate.state, j.step("work").state) == (Code.POLICY_DENIED, "denied", "running")


def test_an_attempt_that_is_over_hands_nothing_in(j, later):
    one_step(j)
    old = j.caller(j.step("work"))
    j.finish("work", "failed", summary="first")
    later(2)
    gates = Gate.objects.count()

    for late in (
        lambda: finish_step(old, parse_result({"status": "succeeded"})),
        lambda: keep_checkpoint(old, seq=1, state={}),
        lambda: request_call(old, call_id="a"),
    ):
        with pytest.raises(JobOver):
            late()

    assert Gate.objects.count() == gates and not SkillInvocation.objects.exists()


def test_the_newest_checkpoint_is_kept(j):
    one_step(j)
    caller = j.caller(j.step("work"))

    for seq in (1, 3, 2):
        keep_checkpoint(caller, seq=seq, state={"turn": seq})

    work = j.step("work")
    assert open_value(j.run.pk, work, "checkpoint") == {"seq": 3, "state": {"turn": 3}}
    for seq in (-1, 2**31):
        with pytest.raises(Refused) as refusal:
            keep_checkpoint(caller, seq=seq, state={})
        assert refusal.value.code == Code.INVALID


def test_a_planner_has_no_step_to_finish_or_to_check_in(j):
    j.ask()

    for wrong in (
        lambda: finish_step(j.caller(), parse_result({"status": "succeeded"})),
        lambda: keep_checkpoint(j.caller(), seq=1, state={}),
    ):
        with pytest.raises(Refused) as refusal:
            wrong()
        assert refusal.value.code == Code.FORBIDDEN


def test_a_cancel_ends_everything_in_one_moment(j):
    j.ask()
    j.propose(
        step("one", ("a", "send", "x"), ("b", "peek", "y")),
        step("two", ("c", "peek", "x")),
        step("three", after=("one", "two")),
    )
    j.call("one", "a")
    j.finish("one", "suspended", waits_for=["a"])
    caller, job = j.caller(j.step("two")), j.job(j.step("two"))

    cancel_run(j.run.pk, by=j.house.by("ada"), because="not needed")

    j.run.refresh_from_db()
    assert (j.run.state, j.run.reason) == ("cancelled", "not needed")
    assert states(j) == {"one": "cancelled", "two": "cancelled", "three": "skipped"}
    assert SkillInvocation.objects.get().state == "cancelled"
    assert not Gate.objects.filter(state="waiting").exists()
    with pytest.raises(JobOver):
        request_call(caller, call_id="c")
    j.tick()
    job.refresh_from_db()
    assert (job.wanted, job.state, job.name in j.backend.killed) == (False, "cancelled", True)
    with pytest.raises(Refused) as again:
        cancel_run(j.run.pk, by=j.house.by("ada"), because="again")
    assert again.value.code == Code.TRANSITION_REFUSED
    assert not Burn.objects.exists(), "being cancelled is no failure"


def test_what_is_final_is_neither_released_nor_started_nor_finished(j):
    work = one_step(j)
    assert not release_step(work.pk, because="again")
    assert finish_run(j.run.pk, "succeed", because="hm").state == "running", "a step still runs"
    cancel_run(j.run.pk, by=j.house.by("ada"), because="enough")

    assert not release_step(work.pk, because="again")
    j.run.refresh_from_db()
    with pytest.raises(JobOver):
        start_step(j.run, j.step("work"), because="again")
    assert finish_run(j.run.pk, "fail", because="again").state == "cancelled"


def test_a_run_succeeds_with_the_last_word_of_its_courier(j):
    j.ask()
    j.propose(step("tell", agent="daneel"), step("look", ("a", "peek", "x"), after=("tell",)))
    j.finish("tell", output={"text": "Dear Ada"})
    j.call("look", "a")
    j.finish("look", output={"a": 1})

    assert j.run.state == "succeeded" and j.run.outcome["output"] == {"text": "Dear Ada"}
    assert AuditEvent.objects.filter(run=j.run.pk, type="run.succeed").count() == 1


def test_a_person_who_kills_a_job_spends_a_retry_and_is_named(j, later):
    one_step(j)
    job = j.job(j.step("work"))

    kill_job(job.pk, by=j.house.by("dora"), because="it looks odd")

    assert (j.step("work").state, j.step("work").retries) == ("ready", 1)
    assert "user:dora" in j.step("work").last_error and "it looks odd" in j.step("work").last_error
    later(2)
    job.refresh_from_db()
    assert job.state == "cancelled" and AgentJob.objects.filter(step=j.step("work"), state__in=OPEN_JOB).count() == 1
    with pytest.raises(Refused) as again:
        kill_job(job.pk, by=j.house.by("dora"), because="again")
    assert again.value.code == Code.TRANSITION_REFUSED


def test_a_burn_is_acknowledged_once_with_what_was_found(j):
    one_step(j)
    j.finish("work", "failed", summary="first")
    burn = Burn.objects.get()

    with pytest.raises(Refused) as silent:
        acknowledge_burn(burn.pk, by=j.house.by("dora"), because=" ")
    acknowledge_burn(burn.pk, by=j.house.by("dora"), because="a typing error")
    with pytest.raises(Refused) as twice:
        acknowledge_burn(burn.pk, by=j.house.by("olga"), because="me too")

    burn.refresh_from_db()
    assert (silent.value.code, twice.value.code) == (Code.INVALID, Code.TRANSITION_REFUSED)
    assert (burn.acknowledged_by, burn.acknowledged_because) == ("user:dora", "a typing error")
    assert AuditEvent.objects.get(type="burn.acknowledge").because == "a typing error"
