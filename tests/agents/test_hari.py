"""Hari: a plan by a playbook, or a helpful no."""

import pytest

from gateway.documents import check_path
from runtime.agents import hari
from runtime.agents.hari import NotPlanned, Planned, planned
from tests.agents.contexts import digest_of, planning, shipped
from tests.sdk.door_double import problem
from worka.contract import Context
from worka.errors import ApiError, WorkaError

REQUEST = "Report on the repository /srv/repos/orders since v2.3.0"


def decided(request: str, **more):
    return planned(Context.from_json(planning(request, **more)))


def test_a_matching_request_is_proposed_as_the_playbook_says(agent, door):
    door.context = planning(REQUEST)

    hari.work(agent)

    (plan,) = door.plans
    assert plan["summary"] == "Report on orders since v2.3.0"
    assert plan["playbook"] == {
        "name": "repository-report", "digest": digest_of(shipped("repository-report")),
        "parameters": {"repository": "/srv/repos/orders", "since": "v2.3.0"},
    }  # fmt: skip
    assert [(step["step_ref"], step["agent_name"], step["depends_on"]) for step in plan["steps"]] == [
        ("history", "ernest", []), ("report", "ernest", ["history"]), ("file", "ernest", ["report"]),
        ("answer", "daneel", ["history", "file"]),
    ]  # fmt: skip
    assert [call["input"] for call in plan["steps"][0]["instruction"]["calls"]] == [
        {"repository": "/srv/repos/orders", "since": "v2.3.0"}
    ] * 3
    assert plan["steps"][2]["instruction"]["calls"][0]["input"] == {
        "path": "reports/orders-since-v2.3.0.md",
        "content": {"$artifact": {"step": "report", "name": "report.md"}},
        "if_exists": "replace",
    }


@pytest.mark.parametrize(
    "request_text",
    [
        "Compare v2.2.0 with v2.3.0 in the repository /srv/repos/orders",
        "compare v2.2.0 and v2.3.0 in orders",
        "Compare the revisions v2.2.0 and v2.3.0 of the repository /srv/repos/orders.",
        "What is the difference between v2.2.0 and v2.3.0 in the repository orders?",
    ],
)
def test_a_comparison_has_its_own_playbook(request_text):
    found = decided(request_text)

    assert isinstance(found, Planned)
    assert found.plan["playbook"]["name"] == "compare-revisions"
    assert found.plan["playbook"]["parameters"] == {"repository": "/srv/repos/orders", "from": "v2.2.0", "to": "v2.3.0"}
    first = found.plan["steps"][0]["instruction"]["calls"][0]
    assert first["input"] == {"repository": "/srv/repos/orders", "since": "v2.2.0", "until": "v2.3.0"}
    path = found.plan["steps"][2]["instruction"]["calls"][0]["input"]["path"]
    assert path == "comparisons/orders-v2.2.0-to-v2.3.0.md"


@pytest.mark.parametrize("revision", ["v" * 200, "feature/" + "x/" * 80 + "y", "a" * 47 + "-" + "b" * 99])
def test_a_document_has_a_short_path_however_long_the_names_are(revision):
    found = decided(f"Compare {revision} with {revision} in the repository /srv/repos/{'r' * 150}")

    assert isinstance(found, Planned)
    path = found.plan["steps"][2]["instruction"]["calls"][0]["input"]["path"]
    assert check_path(path) == path
    assert path.count("/") == 1


def test_the_same_request_always_gets_the_same_plan():
    assert decided(REQUEST) == decided(REQUEST)


def test_a_request_that_no_playbook_reads_is_told_how_to_ask(agent, door):
    door.context = planning("Make me a sandwich")

    hari.work(agent)

    (said,) = door.plans
    assert set(said) == {"no_plan"}
    assert "“Report on the repository {repository} since {since}” (repository-report)" in said["no_plan"]
    assert "(compare-revisions)" in said["no_plan"]


@pytest.mark.parametrize(
    ("request_text", "says"),
    [
        ("Report on the repository /etc since v1", "/etc is not under /srv/repos"),
        ("Report on the repository /srv/repos/../../etc since v1", "/etc is not under /srv/repos"),
        ("Report on the repository /srv/repos/orders since --output=/tmp/x", "neither a revision"),
        ("Report on the repository /srv/repos/orders since v1\n\nand then delete it", "neither a revision"),
        ("Compare v1..v2 and v3 in the repository orders", "v1..v2 is no revision"),
    ],
)
def test_a_value_that_is_refused_is_explained(request_text, says):
    found = decided(request_text)

    assert isinstance(found, NotPlanned)
    assert says in found.reason
    assert found.reason.isprintable()


def test_without_playbooks_the_no_says_so():
    found = decided(REQUEST, playbooks=[])

    assert found == NotPlanned("No playbook is installed and no model is configured, so nothing can be planned.")


def test_a_broken_playbook_does_not_keep_the_others_from_working():
    found = decided(REQUEST, playbooks=[{"name": "broken", "match": 3}, shipped("repository-report")])

    assert isinstance(found, Planned)
    assert found.plan["playbook"]["name"] == "repository-report"


def test_a_refused_plan_is_not_tried_again_and_its_faults_are_told(agent, door):
    door.context = planning(REQUEST)
    fault = {
        "path": "/steps/2/allowed_skills/0",
        "code": "skill_not_allowed",
        "message": "ernest may not use files.write",
    }
    door.plan_answers = [problem(422, "plan_refused", "the plan has 1 fault", errors=[fault])]

    hari.work(agent)

    assert len(door.plans) == 2
    assert door.plans[1] == {
        "no_plan": "The plan of the playbook repository-report was refused: "
        "/steps/2/allowed_skills/0: ernest may not use files.write (skill_not_allowed)"
    }


def test_a_plan_that_policy_denies_is_told_with_the_reason(agent, door):
    door.context = planning(REQUEST)
    door.plan_answers = [problem(403, "policy_denied", gate="g", reason="the owner forbids reports")]

    hari.work(agent)

    assert door.plans[1]["no_plan"].endswith("was refused: the owner forbids reports")


def test_the_next_attempt_knows_that_the_plan_was_refused():
    found = decided(REQUEST, refused=[{"path": "/steps", "code": "too_many_steps", "message": "20 are allowed"}])

    assert isinstance(found, NotPlanned)
    assert "20 are allowed" in found.reason


def test_a_held_plan_ends_the_job_quietly(agent, door):
    door.context = planning(REQUEST)
    door.plan_answers = [(201, {"state": "held"})]

    hari.work(agent)

    assert len(door.plans) == 1


def test_hari_leaves_politely_when_planning_meets_a_freeze(agent, door, capsys):
    door.context = planning(REQUEST)
    door.plan_answers = [problem(409, "frozen", "owner froze acme")]

    hari.work(agent)

    assert "planning stops for a freeze: owner froze acme" in capsys.readouterr().err


def test_another_refusal_while_planning_is_an_error_of_the_attempt(agent, door):
    door.context = planning(REQUEST)
    door.plan_answers = [problem(409, "result_conflict", "another plan was accepted")]

    with pytest.raises(ApiError) as refused:
        hari.work(agent)

    assert refused.value.code == "result_conflict"


def test_hari_does_not_work_steps(agent, door):
    door.context = {"run": {"id": "r", "number": 1, "request": "x"}}

    with pytest.raises(WorkaError):
        hari.work(agent)
