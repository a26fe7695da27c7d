from dataclasses import replace

import pytest

from governance.core.explain import explain, explain_step
from governance.core.quorum import Threshold
from governance.core.snapshot import Waits
from tests.core.flow.builders import (
    FREEZE,
    NAMES,
    NOW,
    OPERATORS,
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
    vote,
)

STEP_1 = "tep 1 (“Read the history”)"


def why(run):
    told = explain(run, NOW)
    return told.code, told.sentence


# --- People are waited for


def test_a_held_call_says_who_is_asked_since_when_until_when_and_how_many_are_missing():
    told = explain(a_run(a_suspended_step()), NOW)

    assert (told.code, told.since) == ("awaiting_approval", before(minutes=5))
    assert told.sentence == (
        "Waiting for operators (approver or operator) to approve files.write: 1 approval is missing. "
        "Asked 5 minutes ago, expires in 23 hours."
    )
    assert told.detail["gates"] == [
        {
            "id": "gate-1", "what": "files.write", "asked_at": before(minutes=5).isoformat(),
            "expires_at": after(hours=23).isoformat(), "unmeetable": "",
            "thresholds": [{"group": "operators", "needed": 1, "missing": 1, "may_answer": ["approver", "operator"]}],
        }
    ]  # fmt: skip


def test_a_held_plan_waits_for_people():
    assert why(a_held_run()) == (
        "awaiting_approval",
        (
            "Waiting for operators (approver or operator) to approve the plan: 1 approval is missing. "
            "Asked 5 minutes ago, expires in 23 hours."
        ),
    )


def test_who_has_voted_is_not_asked_again():
    gate = a_gate(thresholds=(Threshold("operators", approve=2),), votes=(vote("2"),), expires_at=None)

    assert why(a_held_run(gate=gate))[1] == (
        "Waiting for operators (operator) to approve files.write: 1 approval is missing. Asked 5 minutes ago."
    )


def test_several_groups_are_told_apart():
    members = OPERATORS | {"legal": frozenset({"4", "5"})}
    gate = a_gate(thresholds=(Threshold("operators", 2), Threshold("legal")), members=members, names=NAMES)

    assert why(a_held_run(gate=gate))[1].startswith(
        "Waiting for operators (approver or operator) and legal (4 or 5) to approve files.write: "
        "3 approvals are missing (2 from operators, 1 from legal)."
    )


def test_a_gate_that_nobody_can_answer_says_so_at_once():
    gate = a_gate(members={}, expires_at=after(minutes=3))

    assert why(a_held_run(gate=gate))[1] == (
        "Waiting for operators to approve files.write, but nobody can approve it: the group operators has no members. "
        "Asked 5 minutes ago, expires in 3 minutes."
    )


def test_a_gate_that_asks_nobody_says_so():
    assert why(a_held_run(gate=a_gate(thresholds=())))[1].startswith(
        "Waiting for somebody to approve files.write, but nobody is asked, so nobody can approve it."
    )


def test_a_gate_with_enough_votes_is_about_to_be_decided():
    assert "enough have voted" in why(a_held_run(gate=a_gate(votes=(vote("2"),))))[1]


@pytest.mark.parametrize(("others", "sentence"), [(1, " 1 more approval waits."), (2, " 2 more approvals wait.")])
def test_of_several_gates_the_oldest_is_told_and_the_others_counted(others, sentence):
    old = a_suspended_step(1, calls=(a_held_call(gate=a_gate(what="git.push", asked_at=before(hours=2))),))
    run = a_run(*(a_suspended_step(number) for number in range(2, others + 2)), old)

    told = explain(run, NOW)

    assert told.sentence.startswith("Waiting for operators (approver or operator) to approve git.push:")
    assert told.sentence.endswith(sentence)
    assert len(told.detail["gates"]) == others + 1


def test_an_unknown_effect_comes_before_everything_else():
    lost = a_step(1, state="succeeded", calls=(a_call(state="unknown", error="the connection broke"),))
    run = a_run(
        lost, a_suspended_step(2, calls=(a_held_call(id="call-2"),)), a_step(3, state="running", live_job=a_job())
    )

    assert why(run) == (
        "awaiting_settlement",
        (
            "Nobody knows whether files.write (call write of step 1) took effect (the connection broke). Somebody who did not "
            "ask for this run has to look and settle it; open for 5 minutes."
        ),
    )


def test_a_step_with_an_unknown_call_says_so_itself():
    step = a_suspended_step(calls=(a_call(state="unknown"),))

    assert explain_step(a_run(step), step, NOW).code == "awaiting_settlement"
    assert "took effect. Somebody" in explain_step(a_run(step), step, NOW).sentence


def test_who_is_waited_for_comes_before_who_works():
    run = a_run(a_step(1, state="running", live_job=a_job()), a_suspended_step(2))

    assert why(run)[0] == "awaiting_approval"


def test_a_freeze_names_who_and_why():
    assert why(a_run(a_suspended_step(), frozen=FREEZE)) == (
        "frozen",
        "user:olga stopped the workspace default 3 minutes ago: we look into an incident. Nothing new starts until that is lifted.",
    )


def test_a_freeze_without_a_reason_is_still_told():
    told = explain(a_run(a_step(frozen=replace(STOPPED, because=""))), NOW)

    assert told.sentence == "user:olga stopped the agent ernest 3 minutes ago. Nothing new starts until that is lifted."
    assert told.detail["step"] == 1


def test_a_step_that_waits_for_the_end_of_a_freeze_says_which():
    step = a_suspended_step(waits_for=Waits(frozen=True), calls=(), frozen=STOPPED)

    assert why(a_run(step))[0] == "frozen"
    assert explain_step(a_run(step, frozen=FREEZE), step, NOW).detail["what"] == "workspace default"


# --- Planning


def test_a_planner_at_work_is_told_with_its_sign_of_life():
    assert why(a_planning_run(planning_job=a_job())) == (
        "awaiting_planner",
        "hari has been planning for 12 seconds (attempt 1 of 3); last sign of life 2 seconds ago.",
    )


def test_a_planner_that_is_about_to_start():
    assert why(a_planning_run(state="received")) == (
        "awaiting_planner",
        "hari starts to plan in a moment (attempt 1 of 3).",
    )


def test_planning_again_says_when_and_what_went_wrong():
    run = a_planning_run(
        planning_attempts=1, planning_not_before=after(seconds=9), planning_error="the plan had 3 errors"
    )

    assert why(run) == (
        "awaiting_retry",
        "Planning is tried again in 9 seconds (attempt 2 of 3); the last error: the plan had 3 errors.",
    )


def test_planning_out_of_attempts_is_about_to_end():
    assert why(a_planning_run(planning_attempts=3)) == (
        "awaiting_planner",
        "Planning was tried 3 times, and the run ends in a moment.",
    )


def test_without_a_sandbox_nothing_can_start_to_plan():
    assert why(a_planning_run(no_capacity="no sandbox")) == (
        "awaiting_capacity",
        "hari cannot start to plan: no sandbox.",
    )
    assert why(a_planning_run(no_capacity="no sandbox", planning_job=a_job(state="queued"))) == (
        "awaiting_capacity",
        "The planner hari cannot start: no sandbox.",
    )


def test_a_silent_planner_is_stuck():
    job = a_job(last_sign_at=None, created_at=before(minutes=4))

    assert why(a_planning_run(planning_job=job)) == (
        "stuck",
        "The planner hari has given no sign of life for 4 minutes; 1 minute is the limit.",
    )


# --- Steps


def test_a_working_agent_is_told_with_its_step_and_sign_of_life():
    run = a_run(a_step(state="running", live_job=a_job()))

    assert why(run) == (
        "running",
        f"ernest has been working on s{STEP_1} for 10 minutes; last sign of life 2 seconds ago.",
    )


def test_an_agent_that_has_only_begun_has_given_no_sign_yet():
    run = a_run(a_step(state="running", live_job=a_job(last_sign_at=None)))

    assert why(run)[1].endswith("no sign of life yet.")


def test_an_agent_that_has_handed_in_is_leaving_and_never_stuck():
    run = a_run(a_step(state="running", live_job=a_job(accepted=True, last_sign_at=before(hours=1))))

    assert why(run)[0] == "running"
    assert why(run)[1].endswith("it has handed in, and is leaving.")


def test_a_silent_agent_is_stuck_since_its_last_sign():
    told = explain(a_run(a_step(state="running", live_job=a_job(last_sign_at=before(minutes=2)))), NOW)

    assert (told.code, told.since) == ("stuck", before(minutes=2))
    assert told.sentence == f"S{STEP_1}: ernest has given no sign of life for 2 minutes; 1 minute is the limit."


def test_a_queued_agent_without_room_waits_for_capacity():
    run = a_run(a_step(state="running", live_job=a_job(state="queued")), no_capacity="all 4 slots are taken")

    assert why(run) == ("awaiting_capacity", f"S{STEP_1}: ernest cannot start: all 4 slots are taken.")


def test_an_agent_that_has_gone_without_a_word_is_looked_after():
    assert why(a_run(a_step(state="running"))) == (
        "running",
        f"ernest has left s{STEP_1}; what it left behind is being looked at.",
    )


def test_a_retry_says_which_when_and_why():
    step = a_step(retries=1, not_before=after(seconds=8), last_error="job_timeout: killed")

    assert why(a_run(step)) == (
        "awaiting_retry",
        f"S{STEP_1} is tried again in 8 seconds (attempt 2 of 3); the last error: job_timeout: killed.",
    )
    assert why(a_run(replace(step, last_error="")))[1].endswith("(attempt 2 of 3).")


@pytest.mark.parametrize("state", ["ready", "pending"])
def test_what_can_start_starts_in_a_moment_or_says_what_lacks(state):
    step = a_step(state=state)
    how = "is ready" if state == "ready" else "is next"

    assert why(a_run(step)) == ("awaiting_capacity", f"S{STEP_1} {how}, and starts in a moment.")
    assert why(a_run(step, no_capacity="no sandbox")) == (
        "awaiting_capacity",
        f"S{STEP_1} {how}, and no job can start: no sandbox.",
    )


def test_a_step_behind_others_names_them():
    first, second = a_step(1, state="succeeded"), a_step(2, state="running", objective="Write")
    last = a_step(3, state="pending", depends_on=("step-1", "step-2"), objective="File")
    run = a_run(first, second, last)

    told = explain_step(run, last, NOW)

    assert (told.code, told.detail["waits_for"]) == ("awaiting_dependency", [2])
    assert told.sentence == "Step 3 (“File”) waits for step 2 (“Write”) (running)."


def test_a_sleeping_step_says_until_when():
    step = a_suspended_step(waits_for=Waits(until=after(hours=2)), calls=())

    assert why(a_run(step)) == ("awaiting_time", f"S{STEP_1} sleeps, and goes on in 2 hours.")


@pytest.mark.parametrize("waits", [Waits(until=before(seconds=1)), Waits(frozen=True), None])
def test_a_step_whose_waits_are_over_starts_in_a_moment(waits):
    step = a_suspended_step(waits_for=waits, calls=())

    assert why(a_run(step)) == ("awaiting_capacity", f"S{STEP_1} has all that it waited for, and starts in a moment.")
    assert why(a_run(replace(step, live_job=a_job()))) == (
        "running",
        f"S{STEP_1} goes on as soon as its last job has gone.",
    )


@pytest.mark.parametrize(
    ("call", "code", "sentence"),
    [
        (a_call(state="running"), "running", "files.write (call write of step 1) has been going on for 5 minutes."),
        (
            a_call(state="released"), "running",
            "files.write (call write of step 1) is allowed, and is performed in a moment.",
        ),
        (
            a_call(state="released", not_before=after(seconds=30), delayed_by="the lock repo:x"), "awaiting_capacity",
            (
                "files.write (call write of step 1) is allowed, and is put off because of the lock repo:x; "
                "it is tried again in 30 seconds."
            ),
        ),
        (
            a_call(state="released", not_before=after(seconds=30)), "awaiting_capacity",
            "files.write (call write of step 1) is allowed, and is put off; it is tried again in 30 seconds.",
        ),
        (
            a_call(state="requested", service="slack", unconnected="slack is not connected in this workspace"),
            "awaiting_connection",
            (
                "files.write (call write of step 1) waits for a connection: slack is not connected in this workspace. "
                "An admin or owner of the workspace can see to that."
            ),
        ),
        (
            a_held_call(gate=None), "stuck",
            "files.write (call write of step 1) is held, and nobody is asked: an operator has to look at this run.",
        ),
    ],
)  # fmt: skip
def test_a_step_that_waits_for_a_call_says_where_the_call_is(call, code, sentence):
    assert why(a_run(a_suspended_step(calls=(call,)))) == (code, sentence)


# --- The end


@pytest.mark.parametrize(
    ("state", "sentence"),
    [
        ("succeeded", "The run succeeded 30 minutes ago."),
        ("failed", "The run failed 30 minutes ago: step 2 broke."),
        ("refused", "The run was refused 30 minutes ago: step 2 broke."),
        ("cancelled", "The run was cancelled 30 minutes ago: step 2 broke."),
    ],
)
def test_a_final_run_says_how_it_ended_and_why(state, sentence):
    assert why(a_run(state=state, reason="step 2 broke", frozen=FREEZE)) == ("finished", sentence)


def test_a_final_step_says_how_it_ended():
    step = a_step(state="skipped")

    assert explain_step(a_run(step, state="failed"), step, NOW).sentence == f"S{STEP_1} was skipped 10 minutes ago."


def test_a_run_whose_steps_are_over_ends_in_a_moment_or_names_the_call_that_goes_on():
    done = a_step(state="succeeded")

    assert why(a_run(done)) == ("running", "Every step is over, and the run ends in a moment.")
    assert why(a_run(replace(done, calls=(a_call(state="succeeded"), a_call())))) == (
        "running",
        "files.write (call write of step 1) has been going on for 5 minutes.",
    )


def test_a_held_run_that_asks_nobody_is_stuck():
    assert why(a_held_run(gate=None))[0] == "stuck"
    assert why(a_held_run(gate=a_gate(state="approved")))[0] == "stuck"
