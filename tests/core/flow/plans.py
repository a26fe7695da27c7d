"""A catalogue and a good plan, to be spoilt in one place at a time."""

import copy
from dataclasses import replace
from typing import Any

from governance.core.facts import SkillFact
from governance.core.plan import Catalogue, CatalogueAgent

LOG_SCHEMA = {
    "type": "object", "additionalProperties": False, "required": ["repository"],
    "properties": {"repository": {"type": "string"}, "limit": {"type": "integer", "minimum": 1}},
}  # fmt: skip
WRITE_SCHEMA = {
    "type": "object", "additionalProperties": False, "required": ["path", "content"],
    "properties": {
        "path": {"type": "string"}, "if_exists": {"enum": ["replace", "fail"]},
        "content": {"anyOf": [{"type": "string"}, {"type": "object", "required": ["$artifact"]}]},
    },
}  # fmt: skip

CATALOGUE = Catalogue(
    agents={
        "hari": CatalogueAgent("hari", "planner"),
        "ernest": CatalogueAgent("ernest", "worker", frozenset({"git.log", "files.write"})),
        "daneel": CatalogueAgent("daneel", "courier"),
    },
    skills={
        "git.log": SkillFact("git.log", "read_only", input_schema=LOG_SCHEMA),
        "files.write": SkillFact("files.write", "write", input_schema=WRITE_SCHEMA),
        "http.get": SkillFact("http.get", "read_only"),
    },
)

# Who may call http.get, so that references can be tried without a schema in the way.
FREE = replace(CATALOGUE, agents=CATALOGUE.agents | {
    "ernest": replace(CATALOGUE.agents["ernest"], skills=frozenset({"git.log", "files.write", "http.get"})),
})  # fmt: skip

GOOD: dict[str, Any] = {
    "summary": " Report on worka ",
    "steps": [
        {
            "step_ref": "history", "agent_name": "ernest", "objective": "Read the history\n",
            "instruction": {
                "kind": "direct",
                "calls": [{"call_id": "log", "skill": "git.log", "input": {"repository": "/srv/worka", "limit": 5}}],
            },
            "allowed_skills": ["git.log"],
        },
        {
            "step_ref": "report", "agent_name": "ernest", "objective": "Write the report",
            "instruction": {
                "kind": "render", "template": "repository-report",
                "data": {"log": {"$from": "history", "pointer": "/log/commits"}},
                "artifact": {"name": "report.md", "media_type": "text/markdown"},
            },
            "allowed_skills": [], "depends_on": ["history"],
        },
        {
            "step_ref": "file", "agent_name": "ernest", "objective": "File the report",
            "instruction": {
                "kind": "direct",
                "calls": [
                    {
                        "call_id": "write", "skill": "files.write",
                        "input": {"path": "r.md", "content": {"$artifact": {"step": "report", "name": "report.md"}}},
                    },
                ],
                "output": {"path": {"$from": "self", "pointer": "/write/path"}},
            },
            "allowed_skills": ["files.write"], "depends_on": ["report"],
        },
        {
            "step_ref": "answer", "agent_name": "daneel", "objective": "Tell the requester",
            "instruction": {
                "kind": "render", "template": "answer",
                "data": {"path": {"$from": "file", "pointer": "/path"}, "log": {"$from": "history", "pointer": ""}},
            },
            "depends_on": ["history", "file"],
        },
    ],
    "playbook": {"name": "repository-report", "digest": "0" * 64, "parameters": {"repository": "/srv/worka"}},
}  # fmt: skip


def good_plan() -> dict[str, Any]:
    return copy.deepcopy(GOOD)


def a_plan_step(ref: str, *needs: str, **facts: Any) -> dict[str, Any]:
    return {
        "step_ref": ref, "agent_name": "ernest", "objective": "Do it",
        "instruction": {"kind": "render", "template": "answer"}, "depends_on": list(needs),
    } | facts  # fmt: skip


def a_plan(*steps: dict[str, Any]) -> dict[str, Any]:
    return {"summary": "A plan", "steps": list(steps)}


def a_direct_step(ref: str, *inputs: Any, needs: tuple[str, ...] = (), **instruction: Any) -> dict[str, Any]:
    calls = [{"call_id": f"c{place}", "skill": "http.get", "input": value} for place, value in enumerate(inputs)]
    return a_plan_step(
        ref, *needs, instruction={"kind": "direct", "calls": calls} | instruction, allowed_skills=["http.get"]
    )
