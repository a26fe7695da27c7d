from collections import Counter
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from governance.core.progress import (
    Ending,
    FinishRun,
    ReleaseStep,
    StartPlanning,
    StartStep,
    after_failed_attempt,
    backoff,
    deadline_on_release,
    next_moves,
    only_gates_since,
    run_ending,
    step_ending,
)
from governance.core.snapshot import PlanFact
from governance.core.states import RUN, STEP, InvocationState, StepState
from tests.core.flow.builders import (
    FREEZE,
    NOW,
    a_call,
    a_gate,
    a_held_run,
    a_job,
    a_run,
    a_step,
    a_suspended_step,
)
from tests.core.flow.strategies import runs

LAW = settings(max_examples=150, deadline=None)


def moves(run):
    return next_moves(run, NOW)


# --- Attempts


@pytest.mark.parametrize(
    ("retries", "denied", "verdict"),
    [
        (0, False, "retry"),
        (1, False, "retry"),
        (2, False, "fail"),
        (7, False, "fail"),
        (0, True, "refuse"),
        (2, True, "refuse"),
    ],
)
def test_three_attempts_are_three_attempts_and_a_denial_is_none(retries, denied, verdict):
    assert after_failed_attempt(retries, 3, denied) == verdict


def test_back_off_doubles_up_to_ten_minutes():
    base = timedelta(seconds=10)

    assert [backoff(retries, base).total_seconds() for retries in (0, 1, 2, 5, 6, 7, 1_000_000)] == [
        10, 20, 40, 320, 600, 600, 600,
    ]  # fmt: skip
    assert backoff(5, timedelta(hours=1)) == timedelta(hours=1)


@given(st.integers(0, 10**9), st.timedeltas(timedelta(0), timedelta(days=30)))
@LAW
def test_back_off_never_shrinks_and_never_grows_out_of_hand(retries, base):
    assert base <= backoff(retries, base) <= backoff(retries + 1, base) <= max(base, timedelta(minutes=10))


# --- Runs end whole


def test_a_run_that_ends_takes_everything_with_it_but_what_is_under_way():
    never = a_step(1, state="ready")
    again = a_step(2, state="ready", attempt=1)
    waits = a_suspended_step(3)
    works = a_step(4, state="running", attempt=1, calls=(a_call(id="call-2", state="running"),), live_job=a_job())
    done = a_step(5, state="succeeded", attempt=1)
    run = a_run(never, again, waits, works, done)

    assert run_ending(run) == Ending(
        skip_steps=("step-1",), cancel_steps=("step-2", "step-3", "step-4"), cancel_calls=("call-1",),
        withdraw_gates=("gate-1",),
    )  # fmt: skip


def test_a_held_run_that_ends_rejects_its_plan_and_withdraws_its_gate():
    assert run_ending(a_held_run()) == Ending(
        reject_plan=True, skip_steps=("step-1", "step-2"), withdraw_gates=("gate-1",)
    )


def test_an_accepted_plan_and_an_answered_gate_stay_as_they_are():
    run = a_held_run(plan=PlanFact("plan-1", 1, "accepted"), gate=a_gate(state="approved"), steps=())

    assert run_ending(run) == Ending()


def test_a_step_that_ends_takes_its_own_calls_with_it():
    states = ["requested", "held", "released", "running", "unknown", "succeeded"]
    calls = tuple(a_call(id=state, state=state, gate=a_gate(id=f"gate of {state}")) for state in states)

    ending = step_ending(a_step(calls=calls))

    assert ending.cancel_calls == ("requested", "held", "released")
    assert "gate of held" in ending.withdraw_gates


# --- Laws


@given(runs())
@LAW
def test_a_final_run_has_no_moves_and_an_open_one_never_two_for_one_thing(run):
    found = moves(run)

    subjects = Counter(getattr(move, "step_id", "run") for move in found)
    assert not found or not RUN.is_final(run.state)
    assert max(subjects.values(), default=0) <= 1
    assert len(found) == 1 or not any(isinstance(move, FinishRun) for move in found)


@given(runs())
@LAW
def test_every_move_is_one_that_the_machines_allow(run):
    for move in moves(run):
        match move:
            case FinishRun(_, event, _):
                RUN.after(run.state, event)
            case StartPlanning():
                assert run.planning_job is None
                assert run.state in ("received", "planning")
            case StartStep(step_id, attempt):
                step = next(each for each in run.steps if each.id == step_id)
                assert STEP.after(step.state, "start") == StepState.RUNNING
                assert (step.live_job, attempt) == (None, step.attempt + 1)
            case ReleaseStep(step_id):
                step = next(each for each in run.steps if each.id == step_id)
                assert STEP.after(step.state, "release") == StepState.READY


@given(runs())
@LAW
def test_nothing_starts_while_it_is_frozen(run):
    started = [
        move for move in next_moves(replace(run, frozen=FREEZE), NOW) if isinstance(move, StartPlanning | StartStep)
    ]

    assert started == []


@given(runs())
@LAW
def test_after_its_ending_nothing_of_a_run_is_open_but_calls_under_way(run):
    ending = run_ending(run)

    ended = set(ending.skip_steps) | set(ending.cancel_steps)
    assert {step.id for step in run.steps if step.is_open} == ended
    assert not set(ending.skip_steps) & set(ending.cancel_steps)
    for step in run.steps:
        if step.id in ending.skip_steps and step.state != StepState.RUNNING:
            STEP.after(step.state, "skip")
        for call in step.calls:
            assert call.id in ending.cancel_calls or not call.is_open or call.is_under_way
            assert not call.gate or not call.gate.is_waiting or call.gate.id in ending.withdraw_gates


@given(runs(), st.timedeltas(timedelta(0), timedelta(days=2)))
@LAW
def test_a_deadline_never_moves_back(run, later):
    moved = deadline_on_release(run, NOW + later)

    assert (moved is None) == (run.deadline_at is None)
    assert moved is None or moved >= run.deadline_at


@given(runs())
@LAW
def test_waiting_for_gates_only_means_that_a_gate_waits(run):
    if only_gates_since(run) is not None and run.state == "running":
        assert any(call.waiting_gate for step in run.steps for call in step.calls)
        assert not any(
            call.state in (InvocationState.RUNNING, InvocationState.RELEASED, InvocationState.UNKNOWN)
            for step in run.steps for call in step.calls
        )  # fmt: skip
