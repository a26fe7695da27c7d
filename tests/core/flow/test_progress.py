from dataclasses import replace

import pytest

from governance.core.progress import (
    FinishRun,
    ReleaseStep,
    StartPlanning,
    StartStep,
    deadline_on_release,
    next_moves,
    only_gates_since,
    waits_over,
)
from governance.core.snapshot import LimitFacts, Waits
from tests.core.flow.builders import (
    FREEZE,
    NOW,
    STOPPED,
    a_call,
    a_gate,
    a_held_call,
    a_held_run,
    a_job,
    a_planning_run,
    a_run,
    a_step,
    a_suspended_step,
    after,
    before,
)


def moves(run):
    return next_moves(run, NOW)


# --- Planning


def test_a_received_run_is_planned():
    assert moves(a_planning_run(state="received")) == (StartPlanning("run-1", 1),)


def test_planning_that_brought_nothing_is_tried_again_after_its_pause():
    run = a_planning_run(planning_attempts=1, planning_not_before=after(seconds=5))

    assert moves(run) == ()
    assert next_moves(run, after(seconds=5)) == (StartPlanning("run-1", 2),)


def test_a_run_has_one_live_planning_job():
    assert moves(a_planning_run(planning_job=a_job())) == ()


def test_nothing_is_planned_in_a_frozen_workspace():
    assert moves(a_planning_run(state="received", frozen=FREEZE)) == ()


def test_out_of_attempts_after_a_refused_plan_the_run_is_refused():
    run = a_planning_run(planning_attempts=3, last_plan_refused=True, frozen=FREEZE)

    assert moves(run) == (FinishRun("run-1", "refuse", "none of 3 attempts brought an acceptable plan"),)


def test_out_of_attempts_without_a_plan_the_run_fails_with_the_last_error():
    run = a_planning_run(planning_attempts=3, planning_error="the job was killed")

    assert moves(run) == (FinishRun("run-1", "fail", "planning ended 3 times without a plan: the job was killed"),)
    assert moves(replace(run, planning_error="")) == (
        FinishRun("run-1", "fail", "planning ended 3 times without a plan"),
    )


def test_the_last_attempt_is_left_to_end():
    assert moves(a_planning_run(planning_attempts=3, planning_job=a_job())) == ()


def test_the_limit_of_attempts_is_the_manifests():
    run = a_planning_run(planning_attempts=1, limits=LimitFacts(plan_attempts=1))

    assert [type(move) for move in moves(run)] == [FinishRun]


def test_a_held_run_waits():
    assert moves(a_held_run()) == ()


# --- Steps


def test_a_step_without_dependencies_is_released():
    assert moves(a_run(a_step(state="pending"))) == (ReleaseStep("step-1"),)


def test_a_step_waits_for_all_that_it_depends_on():
    done, late = a_step(1, state="succeeded"), a_step(2, state="running", live_job=a_job())
    last = a_step(3, state="pending", depends_on=("step-1", "step-2"))

    assert moves(a_run(done, late, last)) == ()
    assert moves(a_run(done, replace(late, state="succeeded"), last)) == (ReleaseStep("step-3"),)


def test_a_ready_step_starts_its_next_attempt():
    assert moves(a_run(a_step(attempt=2))) == (StartStep("step-1", 3),)


@pytest.mark.parametrize("facts", [{"not_before": after(seconds=1)}, {"live_job": a_job()}, {"frozen": STOPPED}])
def test_a_ready_step_waits_for_its_pause_its_old_job_and_its_agent(facts):
    assert moves(a_run(a_step(**facts))) == ()


def test_nothing_starts_in_a_frozen_workspace_but_what_is_over_moves_on():
    run = a_run(a_step(1), a_step(2, state="pending"), frozen=FREEZE)

    assert moves(run) == (ReleaseStep("step-2"),)


def test_independent_steps_start_together():
    assert moves(a_run(a_step(1), a_step(2))) == (StartStep("step-1", 1), StartStep("step-2", 1))


def test_a_running_step_is_left_alone():
    assert moves(a_run(a_step(state="running", live_job=a_job()))) == ()


@pytest.mark.parametrize("state", ["held", "released", "running", "unknown"])
def test_a_suspended_step_waits_while_its_call_is_not_over(state):
    assert moves(a_run(a_suspended_step(calls=(a_call(state=state),)))) == ()


@pytest.mark.parametrize("state", ["succeeded", "failed", "denied", "cancelled", "requested"])
def test_a_suspended_step_goes_on_when_its_call_is_over_or_its_own_to_repeat(state):
    assert moves(a_run(a_suspended_step(calls=(a_call(state=state),)))) == (ReleaseStep("step-1"),)


def test_a_suspended_step_does_not_wait_for_calls_it_did_not_name():
    step = a_suspended_step(calls=(a_call(state="succeeded"), a_call(call_id="other", state="running")))

    assert moves(a_run(step)) == (ReleaseStep("step-1"),)


def test_consent_that_comes_before_the_old_job_has_gone_waits_for_it():
    step = a_suspended_step(calls=(a_call(state="succeeded"),), live_job=a_job(accepted=True))

    assert moves(a_run(step)) == ()


def test_a_sleeping_step_wakes_at_its_time():
    run = a_run(a_suspended_step(waits_for=Waits(until=after(minutes=2)), calls=()))

    assert moves(run) == ()
    assert next_moves(run, after(minutes=2)) == (ReleaseStep("step-1"),)


@pytest.mark.parametrize("facts", [{"frozen": FREEZE}, {}])
def test_a_step_that_waits_for_a_freeze_goes_on_when_it_is_lifted(facts):
    step = a_suspended_step(waits_for=Waits(frozen=True), calls=())

    assert moves(a_run(step, **facts)) == (() if facts else (ReleaseStep("step-1"),))
    assert moves(a_run(replace(step, frozen=STOPPED))) == ()


def test_a_step_that_waits_for_nothing_goes_on():
    step = a_suspended_step(waits_for=None)

    assert waits_over(a_run(step), step, NOW)


# --- The end


def test_a_run_succeeds_when_every_step_has():
    assert moves(a_run(a_step(1, state="succeeded"), a_step(2, state="succeeded"))) == (
        FinishRun("run-1", "succeed", "every step succeeded"),
    )


@pytest.mark.parametrize("state", ["running", "unknown"])
def test_a_run_does_not_succeed_over_a_call_that_is_not_over(state):
    assert moves(a_run(a_step(state="succeeded", calls=(a_call(state=state),)))) == ()


@pytest.mark.parametrize(
    ("state", "event"), [("failed", "fail"), ("refused", "refuse"), ("skipped", "fail"), ("cancelled", "fail")]
)
def test_a_step_that_ended_badly_ends_a_run_left_behind(state, event):
    run = a_run(a_step(1, state=state), a_step(2, state="running", live_job=a_job()))

    assert moves(run) == (FinishRun("run-1", event, f"step 1: it was {state}"),)


def test_a_refusal_names_its_step_and_error_even_after_a_failure():
    run = a_run(a_step(1, state="failed"), a_step(2, state="refused", last_error="operators said no"))

    assert moves(run) == (FinishRun("run-1", "refuse", "step 2: operators said no"),)


# --- Deadlines


@pytest.mark.parametrize("run", [a_planning_run(state="received"), a_planning_run(), a_run(a_step())])
def test_a_passed_deadline_fails_the_run(run):
    late = replace(run, deadline_at=NOW)

    assert moves(late) == (FinishRun("run-1", "fail", "the run took longer than a run may take"),)
    assert FinishRun not in {type(move) for move in moves(replace(run, deadline_at=after(seconds=1)))}


def test_waiting_for_people_does_not_count_towards_the_deadline():
    assert moves(a_held_run(deadline_at=before(hours=1))) == ()
    assert moves(a_run(a_suspended_step(), deadline_at=before(hours=1))) == ()


@pytest.mark.parametrize("run", [a_held_run(), a_run(a_suspended_step()), a_planning_run(state="received")])
def test_the_highest_age_counts_always(run):
    old = replace(run, max_age_at=NOW, deadline_at=after(days=1))

    assert moves(old) == (FinishRun("run-1", "fail", "the run is older than a run may get"),)


@pytest.mark.parametrize(
    "busy",
    [
        a_step(2, state="running", live_job=a_job()),
        a_step(2, state="ready"),
        a_suspended_step(2, waits_for=Waits(until=after(days=1)), calls=()),
        a_suspended_step(2, live_job=a_job()),
        a_suspended_step(2, calls=(a_held_call(), a_call(call_id="other", state="running"))),
        a_suspended_step(2, calls=(a_call(state="released"),)),
        a_suspended_step(2, calls=(a_held_call(gate=a_gate(state="approved")),)),
        a_suspended_step(2, waits_for=None),
        a_suspended_step(2, waits_for=Waits(calls=("write",), frozen=True)),
    ],
)
def test_as_soon_as_anything_else_keeps_it_open_the_time_counts(busy):
    assert only_gates_since(a_run(a_suspended_step(), busy)) is None


def test_a_run_that_waits_for_nobody_has_no_such_time():
    assert only_gates_since(a_run(a_step(state="pending"))) is None
    assert only_gates_since(a_planning_run()) is None


def test_the_time_begins_when_the_last_other_thing_ended():
    run = a_run(
        a_step(1, state="succeeded", state_changed_at=before(minutes=4)),
        a_suspended_step(2, state_changed_at=before(minutes=9)),
        a_step(3, state="pending", depends_on=("step-2",)),
    )

    assert only_gates_since(run) == before(minutes=4)
    assert only_gates_since(a_held_run()) == before(minutes=30)


def test_the_deadline_moves_on_release_by_the_time_spent_waiting():
    run = a_run(a_suspended_step(state_changed_at=before(minutes=7)), deadline_at=after(minutes=1))

    assert deadline_on_release(run, NOW) == after(minutes=6)
    assert deadline_on_release(a_held_run(deadline_at=after(minutes=1)), NOW) == after(minutes=31)


def test_the_deadline_stays_where_other_things_went_on_or_none_is_set():
    busy = a_run(a_step(), deadline_at=after(minutes=1))

    assert deadline_on_release(busy, NOW) == after(minutes=1)
    assert deadline_on_release(a_held_run(), NOW) is None
    assert deadline_on_release(a_held_run(deadline_at=after(hours=1), state_changed_at=NOW), NOW) == after(hours=1)
