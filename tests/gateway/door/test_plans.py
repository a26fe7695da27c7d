"""POST /plan: stored whole or refused whole, each refusal one of the run's attempts."""

import json

import pytest

from governance.actions.freezing import freeze_workspace
from governance.models import Gate, Plan, Step
from runtime.models import AgentJob
from tests.desk import POLICY, plan, step
from tests.people import use_policy
from worka_site.seed import POLICIES

GOOD = plan(step("look", ("a", "peek", "letters")))


def codes(answer):
    return {(error["path"], error["code"]) for error in answer.json()["errors"]}


def refusal(planner, planning, body, status=422, code="plan_refused"):
    answer = planner.post("/plan", body)
    gate = planner.denied(answer, status, code, "plan.propose")
    stored = Plan.objects.latest("version")
    assert stored.state == "rejected" and gate.plan_id == stored.pk
    assert not Step.objects.exists()
    planning.run.refresh_from_db()
    return answer


def test_an_accepted_plan_is_answered_with_201_and_the_job_is_done(planner, planning):
    answer = planner.post("/plan", GOOD)

    assert answer.status_code == 201
    stored = Plan.objects.get()
    assert answer.json() == {"state": "accepted", "plan": str(stored.pk), "gate": str(stored.gates.get().pk)}
    planning.run.refresh_from_db()
    assert (planning.run.state, planning.run.planning_attempts) == ("running", 0)
    assert AgentJob.objects.get(pk=planner.job.pk).result_digest


def test_an_identical_repeat_gets_the_first_answer_and_another_plan_comes_too_late(planner):
    first = planner.post("/plan", GOOD)
    gates = Gate.objects.count()

    assert planner.post("/plan", json.loads(json.dumps(GOOD, sort_keys=True))).json() == first.json()
    assert Gate.objects.count() == gates
    late = planner.post("/plan", GOOD | {"summary": "Another"})

    planner.denied(late, 409, "result_conflict", "plan.propose")
    assert (Plan.objects.count(), Step.objects.count(), Gate.objects.count()) == (1, 1, gates + 1)


def test_every_error_comes_at_once(planner, planning):
    bad = plan(
        step("one", ("a", "peek", "x"), after=("two",)),
        step("two", ("a", "peek", "x"), after=("one",)),
        step("three", ("a", "peek", "x"), after=("nowhere",)),
        step("four", ("a", "peek", "x"), agent="marvin"),
        step("five", ("a", "read", "x")) | {"allowed_skills": ["desk.read", "desk.fly"]},
        step("three", ("a", "peek", "x")),
    )

    found = {code for _, code in codes(refusal(planner, planning, bad))}

    assert {"cycle", "unknown_ref", "unknown_agent", "unknown_skill", "duplicate_ref"} <= found
    assert planning.run.planning_attempts == 1 and planning.run.state == "planning"


def test_a_plan_may_have_twenty_steps_and_not_twenty_one(planner, planning):
    def many(count):
        return plan(*(step(f"s{index}", ("a", "peek", "x")) for index in range(count)))

    assert {code for _, code in codes(refusal(planner, planning, many(21)))} == {"too_many_steps"}
    assert planner.post("/plan", many(20)).status_code == 201


def test_a_plan_that_is_too_deep_is_refused(planner, planning):
    chain = plan(*(step(f"s{at}", ("a", "peek", "x"), after=(f"s{at - 1}",) if at else ()) for at in range(9)))

    assert "too_deep" in {code for _, code in codes(refusal(planner, planning, chain))}


def with_step(**changes):
    return plan(step("look", ("a", "peek", "x")) | changes)


WRONG_TYPES = [
    [],
    "a plan",
    7,
    None,
    {},
    {"summary": "x"},
    {"summary": 1, "steps": []},
    {"summary": "x", "steps": {}},
    {"summary": "x", "steps": [7]},
    GOOD | {"extra": 1},
    {"no_plan": 7},
    {"no_plan": "x", "steps": []},
    with_step(depends_on="look"),
    with_step(step_ref=7),
    with_step(instruction={"kind": "dance"}),
    with_step(instruction="peek"),
    with_step(allowed_skills=[["desk.peek"]]),
    with_step(surprise=True),
]
NOT_CANONICAL = [
    b"",
    b"{",
    b'{"summary": "a", "summary": "b"}',
    b'{"n": 9007199254740993}',
    b'{"n": NaN}',
    b'{"s": "\\ud800"}',
    b'{"s": "a\\u0000b"}',
    b"\xff\xfe",
    b"[" * 70 + b"]" * 70,
]


@pytest.fixture
def patient(planner, planning):
    """A planner who may try often."""
    platform = (POLICIES / "platform.yaml").read_text()
    use_policy(None, platform.replace("attempts: 5}\n  run", "attempts: 20}\n  run"))
    use_policy(planning.house.workspace, POLICY.replace("limits:", "limits:\n  plan: {attempts: 20}"))
    return planner


def test_a_plan_of_wrong_types_is_refused(patient, planning):
    for attempt, bad in enumerate(WRONG_TYPES, start=1):
        answer = patient.ask("POST", "/plan", content=json.dumps(bad), headers={"Content-Type": "application/json"})
        patient.denied(answer, 422, "plan_refused", "plan.propose")
        planning.run.refresh_from_db()
        assert codes(answer) and planning.run.planning_attempts == attempt
    assert set(Plan.objects.values_list("state", flat=True)) == {"rejected"}
    assert not Step.objects.exists()


def test_errors_say_where_with_a_pointer(planner, planning):
    bad = plan(step("look", ("a", "peek", "x")), step("tell", agent="marvin"))

    assert ("/steps/1/agent_name", "unknown_agent") in codes(refusal(planner, planning, bad))


def test_an_input_that_does_not_fit_its_skill_is_found_in_the_plan(planner, planning):
    bad = step("look", ("a", "peek", "x"))
    bad["instruction"]["calls"][0]["input"] = {"text": 7, "more": 1}

    assert any(
        path.startswith("/steps/0/instruction/calls/0/input")
        for path, _ in codes(refusal(planner, planning, plan(bad)))
    )


def test_a_skill_that_the_manifest_does_not_give_the_agent_is_refused(planner, planning):
    bad = step("look", ("a", "peek", "x")) | {"allowed_skills": ["desk.peek", "files.read"]}

    assert "skill_not_allowed" in {code for _, code in codes(refusal(planner, planning, plan(bad)))}


def test_two_megabytes_are_refused_unread_and_count_as_an_attempt(planner, planning):
    answer = refusal(planner, planning, GOOD | {"summary": "x" * 2 * 2**20}, 413, "too_large")

    assert planning.run.planning_attempts == 1
    assert Plan.objects.get().raw is None
    assert answer.json()["errors"] == [
        {"path": "", "code": "too_large", "message": answer.json()["errors"][0]["message"]}
    ]
    assert planner.post("/plan", GOOD).status_code == 201


def test_two_megabytes_without_a_length_are_refused_too(planner, planning):
    body = iter([b'{"summary": "', *[b"x" * 2**16] * 32, b'"}'])

    answer = planner.ask("POST", "/plan", content=body, headers={"Content-Type": "application/json"})

    planner.denied(answer, 413, "too_large", "plan.propose")


def test_what_is_not_canonical_counts_as_an_attempt(patient, planning):
    for attempt, text in enumerate(NOT_CANONICAL, start=1):
        answer = patient.ask("POST", "/plan", content=text, headers={"Content-Type": "application/json"})
        patient.denied(answer, 422, "not_canonical", "plan.propose")
        planning.run.refresh_from_db()
        assert planning.run.planning_attempts == attempt
    assert set(Plan.objects.values_list("state", flat=True)) == {"rejected"}


def test_the_context_tells_the_planner_what_was_wrong(planner, planning):
    refusal(planner, planning, plan(step("look", ("a", "peek", "x"), agent="marvin")))

    told = planner.get("/context").json()["planning"]

    assert told["attempt"] == 2
    assert [error["code"] for error in told["refused"]] == ["unknown_agent"]


def test_the_last_attempt_refuses_the_run_and_the_token_is_dead(planner, planning):
    for attempt in (1, 2, 3):
        planner.denied(planner.post("/plan", {"summary": "nothing"}), 422, "plan_refused", "plan.propose")
        planning.run.refresh_from_db()
        assert planning.run.planning_attempts == attempt

    assert planning.run.state == "refused" and "3 times" in planning.run.reason
    over = planner.post("/plan", GOOD)
    assert (over.status_code, over.json()["code"]) == (401, "job_over")
    assert Plan.objects.filter(state="rejected").count() == 3 and not Step.objects.exists()


def test_no_plan_ends_the_run_with_its_reason(planner, planning):
    answer = planner.post("/plan", {"no_plan": "no playbook fits"})

    assert (answer.status_code, answer.json()["state"]) == (201, "no_plan")
    planning.run.refresh_from_db()
    assert (planning.run.state, planning.run.reason) == ("failed", "no plan: no playbook fits")
    assert planner.post("/plan", {"no_plan": "no playbook fits"}).json() == answer.json()


def test_a_frozen_workspace_takes_no_plan_and_spends_no_attempt(planner, planning):
    freeze_workspace(planning.house.workspace.pk, by=planning.house.by("dora"), because="an incident")

    gate = planner.denied(planner.post("/plan", GOOD), 409, "frozen", "plan.propose")

    assert "an incident" in gate.reason
    planning.run.refresh_from_db()
    assert planning.run.planning_attempts == 0 and not Plan.objects.exists()
