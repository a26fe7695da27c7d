"""Planning: attempts, refusals, what is stored of them, and how a run without a plan ends."""

import pytest

from audit.core.codes import Code
from audit.core.refusals import Refused
from governance.actions.freezing import disable, freeze_workspace, thaw_workspace
from governance.actions.plans import propose_plan, refuse_unread
from governance.actions.runs import request_run
from governance.caller import JobOver
from governance.models import Agent, Burn, Gate, Plan, Run, Skill, Step
from governance.payloads import open_value
from runtime.actions import kill_job, start_planning
from runtime.core.jobs import Ended
from runtime.models import AgentJob
from tests import desk
from tests.desk import plan, step
from tests.people import use_policy

BAD = plan(
    {**step("one", ("a", "peek", "x")), "agent_name": "nobody"}, step("two", ("a", "peek", "x"), after=("three",))
)


def test_a_plan_is_stored_whole_with_real_ids_or_not_at_all(j):
    j.ask()
    refused = propose_plan(j.caller(), BAD)

    assert (refused.state, refused.code, refused.gate.state) == ("refused", Code.PLAN_REFUSED, "denied")
    assert {fault.code for fault in refused.faults} == {"unknown_agent", "unknown_ref"}
    assert not Step.objects.exists()
    kept = Plan.objects.get()
    assert (
        kept.state == "rejected"
        and open_value(j.run.pk, kept, "raw") == BAD
        and len(kept.faults) == len(refused.faults)
    )

    accepted = j.propose(step("one", ("a", "peek", "x")), step("two", after=("one",)))

    assert accepted.state == "accepted" and accepted.plan.version == 2
    one, two = Step.objects.order_by("sequence")
    assert two.depends_on == [one.pk] and accepted.plan.plan_hash
    j.run.refresh_from_db()
    assert (j.run.planning_attempts, j.run.planning_refused) == (1, False)


def test_the_same_plan_has_the_same_hash(j):
    hashes = set()
    for _ in range(2):
        j.ask()
        hashes.add(j.propose(step("one", ("a", "peek", "x"))).plan.plan_hash)

    assert len(hashes) == 1


def test_the_last_refused_plan_refuses_the_run(j):
    j.ask()
    for attempt in (1, 2, 3):
        assert propose_plan(j.caller(), BAD).state == "refused"
        j.run.refresh_from_db()
        assert j.run.planning_attempts == attempt

    assert j.run.state == "refused" and "3 times" in j.run.reason
    assert set(Plan.objects.values_list("state", flat=True)) == {"rejected"}
    j.tick()
    assert AgentJob.objects.get().state == "cancelled"


def test_planning_jobs_that_end_without_a_word_fail_the_run_after_the_last(j, later):
    j.ask()
    for attempt in (1, 2, 3):
        later(60)
        job = AgentJob.objects.get(state="running")
        assert job.name.endswith(f"-plan-{attempt}")
        j.leave(job, 1)
        j.tick()

    assert j.run.state == "failed" and "3 times" in j.run.reason
    assert Burn.objects.count() == 3


def test_a_planner_that_crashed_is_started_again_after_a_while(j, later):
    j.ask()
    j.leave(j.job(), 1)
    j.tick()

    assert not AgentJob.objects.filter(state__in=["queued", "submitted", "running"]).exists()
    later(1.5)
    assert AgentJob.objects.get(state="running").attempt == 2


@pytest.mark.parametrize(
    "propose",
    [
        lambda j: propose_plan(j.caller(), BAD),
        lambda j: refuse_unread(j.caller(), code=Code.TOO_LARGE, message="a plan has at most 1 MiB"),
        lambda j: (
            use_policy(j.house.workspace, desk.POLICY.replace("[context.read, plan.propose]", "[context.read]"))
            or propose_plan(j.caller(), plan(step("one")))
        ),
    ],
)
def test_a_proposal_that_was_refused_and_the_end_of_its_job_count_once(j, later, propose):
    j.ask()
    assert propose(j).gate.state == "denied"

    j.leave(j.job(), 0)
    j.tick()

    assert j.run.planning_attempts == 1
    later(10)
    assert AgentJob.objects.filter(state="running", attempt=2).exists()


def test_a_planner_that_is_killed_by_a_person_counts_once(j, later):
    j.ask()

    kill_job(j.job().pk, by=j.house.by("dora"), because="it takes long")
    j.tick()

    assert j.run.planning_attempts == 1 and "user:dora" in j.run.planning_error
    later(10)
    assert AgentJob.objects.get(state="running").attempt == 2


def test_no_plan_fails_the_run_with_the_planners_reason(j):
    j.ask()

    assert propose_plan(j.caller(), {"no_plan": "no playbook fits"}).state == "no_plan"

    j.run.refresh_from_db()
    assert (j.run.state, j.run.reason) == ("failed", "no plan: no playbook fits")
    assert not Plan.objects.exists()


def test_a_plan_that_policy_denies_is_refused_with_its_code(j):
    j.ask()
    Skill.objects.filter(name="desk.peek").update(enabled=False)

    proposed = propose_plan(j.caller(), plan(step("one", ("a", "peek", "x"))))

    assert proposed.state == "refused" and proposed.gate.state == "denied"
    assert not Step.objects.exists()


def test_a_freeze_counts_no_attempt_and_planning_goes_on_after_it(j):
    j.ask()
    freeze_workspace(j.house.workspace.pk, by=j.house.by("olga"), because="caution")

    proposed = propose_plan(j.caller(), plan(step("one", ("a", "peek", "x"))))

    assert (proposed.state, proposed.code, proposed.gate.code) == ("denied", Code.FROZEN, "frozen")
    j.run.refresh_from_db()
    assert j.run.planning_attempts == 0
    thaw_workspace(j.house.workspace.pk, by=j.house.by("olga"), because="all clear")
    assert j.propose(step("one", ("a", "peek", "x"))).state == "accepted"


def test_a_plan_comes_once(j):
    j.ask()
    caller = j.caller()
    j.propose(step("one", ("a", "peek", "x")))

    with pytest.raises(JobOver):
        propose_plan(caller, plan(step("one", ("a", "peek", "x"))))

    assert Plan.objects.count() == 1


def test_nobody_plans_twice_at_once_or_for_an_attempt_that_is_over(j):
    j.ask()

    assert start_planning(j.run.pk, 1) is None
    assert start_planning(j.run.pk, 2) is None
    disable(Agent.objects.get(name="hari"), by=j.house.by("olga"), because="caution")
    assert start_planning(j.run.pk, 1) is None


# --- Asking ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["", "   ", "x" * 20_001])
def test_a_request_has_words_and_not_too_many(j, text):
    with pytest.raises(Refused) as refusal:
        request_run(j.house.workspace.pk, by=j.house.by("ada"), user=j.house.ada, text=text, source="api")

    assert refusal.value.code == Code.INVALID and not Run.objects.exists()


def test_a_frozen_workspace_takes_no_request_and_gives_no_number_away(j):
    freeze_workspace(j.house.workspace.pk, by=j.house.by("olga"), because="caution")
    with pytest.raises(Refused) as refusal:
        request_run(j.house.workspace.pk, by=j.house.by("ada"), user=j.house.ada, text="Please", source="api")
    thaw_workspace(j.house.workspace.pk, by=j.house.by("olga"), because="all clear")

    assert refusal.value.code == Code.FROZEN and "olga" in str(refusal.value)
    assert j.ask().number == 1


def test_without_policy_nothing_may_run(j):
    from audit.principals import SYSTEM
    from governance.actions.people import create_workspace

    bare = create_workspace("bare", "Bare", by=SYSTEM, because="a test")

    with pytest.raises(Refused) as refusal:
        request_run(bare.pk, by=j.house.by("ada"), user=j.house.ada, text="Please", source="api")

    assert refusal.value.code == Code.UNAVAILABLE


def test_numbers_count_for_each_workspace_alone(j):
    from tests.people import build_house

    other = build_house("other", policy=desk.POLICY, skills=desk.SKILLS)
    numbers = [
        request_run(house.workspace.pk, by=house.by("ada"), user=house.ada, text="Please", source="api").number
        for house in (j.house, other, j.house)
    ]

    assert numbers == [1, 1, 2]


def test_a_lost_planner_is_no_trace_but_a_burn(j):
    j.ask()
    j.backend.vanish(j.job().name)
    j.tick()

    assert Burn.objects.get().kind == "job_lost" and AgentJob.objects.filter(state="lost").count() == 1
    assert Gate.objects.count() == 0
    assert Ended.LOST  # what the backend would say
