"""The playbooks and the agents agree with what the server takes: plans, instructions, skills, results."""

import pytest
import yaml

from gateway.connector import all_skills
from governance.core.facts import SkillFact
from governance.core.plan import Catalogue, CatalogueAgent, parse_plan
from governance.core.result import parse_result
from runtime.agents.hari import Planned, planned
from runtime.agents.rendering import render, template_names
from tests.agents.contexts import PLAYBOOKS, figures, page, planning, shipped
from tests.sdk.door_double import DoorDouble
from worka.contract import Context

REQUESTS = {
    "repository-report": "Report on the repository /srv/repos/orders since v2.3.0",
    "compare-revisions": "Compare v2.2.0 with v2.3.0 in the repository /srv/repos/orders",
    "page-summary": "Fetch https://example.com/orders and file a summary",
    "ask-documents": "What do the documents say about harbour fees?",
}


FOUND = {
    "matches": [{"path": "rules/fees.md", "line": 4, "text": "The fee of the harbour is due in June."}],
    "truncated": True,
}


@pytest.fixture(scope="module")
def catalogue():
    skills = {
        name: SkillFact(
            name, spec.side_effect, frozenset(spec.labels), "0" * 64, spec.input_schema, spec.idempotent, True
        )
        for name, spec in all_skills().items()
    }
    return Catalogue({
        "hari": CatalogueAgent("hari", "planner"),
        "ernest": CatalogueAgent("ernest", "worker", frozenset(skills)),
        "daneel": CatalogueAgent("daneel", "courier"),
    }, skills)  # fmt: skip


def plan_of(request: str):
    found = planned(Context.from_json(planning(request)))
    assert isinstance(found, Planned)
    return found.plan


@pytest.mark.parametrize("name", [path.stem for path in sorted(PLAYBOOKS.glob("*.yaml"))])
def test_every_shipped_playbook_makes_a_plan_that_the_server_accepts(catalogue, name):
    parsed = parse_plan(plan_of(REQUESTS[name]), catalogue)

    assert parsed.faults == ()
    assert parsed.playbook is not None
    assert parsed.playbook.name == name
    assert [step.step_ref for step in parsed.steps][-1] == "answer"


@pytest.mark.parametrize("name", [path.stem for path in sorted(PLAYBOOKS.glob("*.yaml"))])
def test_every_reference_of_a_playbook_points_into_what_the_skill_gives_back(name):
    skills = all_skills()
    plan = plan_of(REQUESTS[name])
    calls = {
        (step["step_ref"], call["call_id"]): skills[call["skill"]]
        for step in plan["steps"] for call in step["instruction"].get("calls", ())
    }  # fmt: skip
    pointers = [
        (value["$from"], value["pointer"].split("/")[1:])
        for step in plan["steps"] for value in step["instruction"].get("data", {}).values() if isinstance(value, dict)
    ]  # fmt: skip

    assert pointers
    for step_ref, (call_id, *inside) in pointers:
        schema = calls[step_ref, call_id].output_schema
        for key in inside:
            assert key in schema["required"]
            schema = schema["properties"][key]


@pytest.mark.parametrize("name", [path.stem for path in sorted(PLAYBOOKS.glob("*.yaml"))])
def test_every_template_of_a_playbook_is_shipped_and_gets_all_it_needs(name):
    known = {**figures(), "page": page(), "document": "reports/x.md", "found": FOUND}

    for step in plan_of(REQUESTS[name])["steps"]:
        instruction = step["instruction"]
        if instruction["kind"] == "render":
            assert instruction["template"] in template_names()
            data = {key: known[key] if isinstance(value, dict) else value for key, value in instruction["data"].items()}
            assert len(render(instruction["template"], data)) > 100


def test_what_the_tests_know_has_the_shape_that_the_skills_give_back():
    from governance.core.schemas import schema_faults

    skills = all_skills()

    for key in ("log", "diffstat", "shortlog"):
        assert schema_faults(skills[f"git.{key}"].output_schema, figures()[key]) == ()
    assert schema_faults(skills["http.get"].output_schema, page()) == ()
    assert schema_faults(skills["files.search"].output_schema, FOUND) == ()


def test_what_ernest_hands_in_is_a_result_as_it_stands(agent, door: DoorDouble):
    for waits_for in (["c1"], "frozen", "2026-11-21T10:00:00+00:00"):
        door.is_over = False
        agent.result("suspended", summary="waiting", output={}, waits_for=waits_for)
    door.is_over = False
    agent.result("succeeded", summary="done", output={"a": 1})

    for body in door.results:
        parsed = parse_result(body)
        assert parsed.as_json() == body


def test_playbooks_are_plain_yaml_without_surprises():
    for path in PLAYBOOKS.glob("*.yaml"):
        assert yaml.safe_load(path.read_text()) == shipped(path.stem)
        assert "\t" not in path.read_text()
