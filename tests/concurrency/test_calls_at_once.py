"""Agents, performers and ticks at the same moment: each deed once, each budget and lock held."""

import pytest

from audit.core.codes import Code
from audit.models import AuditEvent
from governance.actions import outcomes, reserve, steps
from governance.actions.outcomes import Performed, record_outcome, settle_call, take_expired_lease
from governance.actions.plans import propose_plan
from governance.actions.reserve import request_call, reserve_released
from governance.actions.steps import finish_step
from governance.core.result import parse_result
from governance.models import Budget, Consent, EncryptedPayload, Gate, SkillInvocation, SkillLock, Step
from runtime import actions, tasks
from runtime.models import AgentJob
from tests import desk
from tests.concurrency.conftest import ONE_CALL, released_letter, running_call
from tests.concurrency.meeting import Halfway, at_once
from tests.desk import step

pytestmark = pytest.mark.concurrency


def budget():
    row = Budget.objects.get(kind="invocations", limit__isnull=False)
    return int(row.reserved), int(row.spent)


def test_two_performers_start_a_released_call_once(j, monkeypatch):
    """Guard: run and call are locked before the call's state is read. Without that both find it released."""
    call = released_letter(j)
    Halfway(monkeypatch, reserve, "_judge")

    answers = at_once(*[lambda: reserve_released(call.pk)] * 2)

    assert sorted(type(each).__name__ for each in answers) == ["NoneType", "Work"]
    assert Consent.objects.get().used_by == call.pk
    assert budget() == (1, 0)
    assert AuditEvent.objects.filter(type="invocation.start").count() == 1


def test_one_call_id_twice_at_once_is_one_call(j, monkeypatch):
    """Guard: the run's lock, taken before the call is looked for; behind it the constraint of one call per step and id."""
    j.ask()
    j.propose(step("look", ("a", "stamp", "x")))
    caller = j.caller(j.step("look"))
    Halfway(monkeypatch, reserve, "_judge")

    answers = at_once(*[lambda: request_call(caller, call_id="a")] * 2)

    assert sorted(each.state for each in answers) == ["running", "running"]
    assert [each.work is None for each in answers].count(False) == 1
    assert SkillInvocation.objects.count() == 1 and budget() == (1, 0)
    assert Gate.objects.filter(action="skill.invoke").count() == 1


def test_of_two_runs_that_want_the_same_thing_one_has_to_wait(j, monkeypatch):
    """Guard: the condition in the UPDATE that takes the lock. Read first and written then, both would hold it."""
    callers = []
    for _ in range(2):
        j.ask()
        j.propose(step("look", ("a", "stamp", "x")))
        callers.append(j.caller(j.step("look")))
    SkillLock.objects.create(workspace=j.house.workspace, key="stamp:x")  # as after an earlier call
    Halfway(monkeypatch, reserve, "take_lock", after=False)

    answers = at_once(*[lambda caller=caller: request_call(caller, call_id="a") for caller in callers])

    won, lost = sorted(answers, key=lambda each: each.work is None)
    assert (won.state, lost.state, lost.code) == ("running", "refused", Code.LOCK_CONFLICT)
    assert lost.gate.state == "denied" and lost.retry_after_s
    assert SkillLock.objects.get().invocation_id == SkillInvocation.objects.get().pk == won.work.invocation_id


def test_a_budget_of_one_call_is_not_spent_twice(begin, monkeypatch):
    """Guard: the condition in the UPDATE that reserves (and the run's lock before it)."""
    j = begin(ONE_CALL)
    j.ask()
    j.propose(step("one", ("a", "peek", "x")), step("two", ("a", "peek", "x")))
    callers = [j.caller(j.step(ref)) for ref in ("one", "two")]
    Halfway(monkeypatch, reserve, "_judge")

    answers = at_once(*[lambda caller=caller: request_call(caller, call_id="a") for caller in callers])

    assert sorted(str(each.code) for each in answers) == ["None", "budget_exceeded"]
    assert budget() == (1, 0) and SkillInvocation.objects.count() == 1
    assert Gate.objects.filter(code="budget_exceeded", state="denied").count() == 1


def test_two_ticks_at_once_start_each_step_once(j, monkeypatch):
    """Guard: run and step are locked before the step's state is read; behind it the constraint of one live job per step."""
    j.ask()
    propose_plan(j.caller(), desk.plan(step("one", ("a", "peek", "x")), step("two", ("a", "peek", "y"))))
    ready = [row.pk for row in Step.objects.all() if steps.release_step(row.pk, because="a test")]
    Halfway(monkeypatch, actions, "_has_live_job")

    made = at_once(*[lambda pk=pk: actions.start_step_job(pk, 1) for pk in ready for _ in range(2)])

    assert sorted(type(each).__name__ for each in made) == ["AgentJob", "AgentJob", "NoneType", "NoneType"]
    assert [row.attempt for row in Step.objects.all()] == [1, 1]


def test_two_ticks_at_once_bring_a_run_where_one_does(j, monkeypatch):
    """Whole ticks on one snapshot. Guards: each move reads again under the run's lock (watched above); what is moved is swapped."""
    j.ask()
    j.propose(*[step(f"s{number}", ("a", "peek", "x")) for number in range(3)])

    Halfway(monkeypatch, tasks, "snapshots")
    broken = []
    monkeypatch.setattr(tasks.log, "exception", lambda *args, **kwargs: broken.append((args, kwargs)))

    for _ in range(3):
        answers = at_once(tasks.advance_runs, tasks.advance_runs)
        assert all(isinstance(each, int) for each in answers)

    assert AgentJob.objects.filter(purpose="step").count() == 3
    assert AuditEvent.objects.filter(type="step.start").count() == 3
    assert broken == []


def test_two_results_at_once_count_once(j, monkeypatch):
    """Guard: the run's lock in `lock_attempt`. Without it both find the step running, and one is overtaken half-way."""
    j.ask()
    j.propose(step("look", ("a", "peek", "x")))
    caller = j.caller(j.step("look"))
    Halfway(monkeypatch, steps, "_problem")
    done, gave_up = (parse_result({"status": status, "summary": "x"}) for status in ("succeeded", "failed"))

    answers = at_once(lambda: finish_step(caller, done), lambda: finish_step(caller, gave_up))

    refused = [each for each in answers if isinstance(each, Exception)]
    assert [each.code for each in refused] == [Code.JOB_OVER]
    assert j.step("look").state in ("succeeded", "ready")
    assert Gate.objects.filter(action="step.finish").count() == 1


def test_settling_and_a_late_answer_at_once_leave_what_the_person_said(j, monkeypatch):
    """Guard: run and call are locked, and an answer counts only for the lease it was given under."""
    call, work = running_call(j)
    assert take_expired_lease(call.pk) == "unknown"
    Halfway(monkeypatch, outcomes, "lock_step")

    settled, late = at_once(
        lambda: settle_call(call.pk, by=j.house.by("dora"), because="it did not arrive", outcome="failed"),
        lambda: record_outcome(work, Performed(output={"said": "HELLO"})),
    )

    assert settled.state == "failed" and isinstance(late, SkillInvocation)
    call.refresh_from_db()
    assert (call.state, call.output) == ("failed", None)
    assert EncryptedPayload.objects.filter(kind="late_answer").count() == 1
    assert budget() == (0, 1)


@pytest.mark.parametrize(("verb", "swept"), [("send", "unknown"), ("peek", "released")])
def test_an_outcome_and_the_sweep_of_its_lease_at_once_agree(j, monkeypatch, verb, swept):
    """Guard: both lock the run and read the call then. Without it both move it, and one fails with `overtaken`."""
    call, work = running_call(j, verb)
    Halfway(monkeypatch, outcomes, "lock_run")

    outcome, state = at_once(
        lambda: record_outcome(work, Performed(output={"said": "HELLO"})), lambda: take_expired_lease(call.pk)
    )

    assert isinstance(outcome, SkillInvocation) and isinstance(state, str), (outcome, state)
    call.refresh_from_db()
    late = EncryptedPayload.objects.filter(kind="late_answer").count()
    assert (call.state, state, late) in [("succeeded", "succeeded", 0), (swept, swept, 1)]
    assert budget() == ((0, 1) if call.state == "succeeded" else (1, 0))
