import json
import unicodedata
from dataclasses import replace
from datetime import timedelta

from hypothesis import given, settings

from governance.core.explain import CODES, explain, explain_step
from governance.core.progress import next_moves
from tests.core.flow.builders import (
    NOW,
)
from tests.core.flow.strategies import runs

LAW = settings(max_examples=300, deadline=None)


@given(runs())
@LAW
def test_every_run_and_every_step_has_a_why_that_can_be_read_aloud(run):
    for told in (explain(run, NOW), *(explain_step(run, step, NOW) for step in run.steps)):
        assert told.code in CODES
        assert told.sentence.endswith(".")
        assert told.since <= NOW
        assert len(told.sentence) < 2500
        assert all(unicodedata.category(character) not in ("Cc", "Cf") for character in told.sentence)
        json.dumps(told.detail)


@given(runs())
@LAW
def test_finished_is_said_of_final_runs_and_of_no_others(run):
    assert (explain(run, NOW).code == "finished") == (not run.is_open)


@given(runs())
@LAW
def test_a_run_that_can_move_does_not_claim_to_wait_for_people_unless_somebody_is_asked(run):
    told = explain(run, NOW)

    if told.code == "awaiting_approval":
        gates = [run.gate, *(call.gate for step in run.steps for call in step.calls)]
        assert {each["id"] for each in told.detail["gates"]} <= {gate.id for gate in gates if gate and gate.is_waiting}
    if told.code in ("awaiting_retry", "awaiting_time", "awaiting_dependency") and not run.planning_job:
        due = next_moves(replace(run, deadline_at=None, max_age_at=None), NOW)
        assert not any(move.__class__.__name__ == "StartStep" for move in due)


@given(runs())
@LAW
def test_asking_later_says_the_same_of_a_wait_for_people(run):
    now, later = explain(run, NOW), explain(run, NOW + timedelta(days=3))

    if now.code in ("awaiting_approval", "awaiting_settlement", "frozen", "finished"):
        assert (now.code, now.since, now.detail) == (later.code, later.since, later.detail)
