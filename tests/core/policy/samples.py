"""The world of these tests: skills, agents and groups, and the two layers around a few lines of rules."""

from collections.abc import Mapping
from typing import Any

import pytest

from audit.core.refusals import Refused
from governance.core.compiled import CompiledManifest
from governance.core.facts import Request, SkillFact
from governance.core.manifest import compile_manifest

AGENTS = ("hari", "ernest", "daneel")
GROUPS = {"operators": 3, "maintainers": 3, "empty": 0}


def _schema(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "additionalProperties": False}


TEXT: dict[str, Any] = {"type": "string"}
SKILLS = {
    fact.name: fact
    for fact in (
        SkillFact(
            "git.log", "read_only", frozenset({"reads_private", "untrusted_output"}), "d1",
            _schema(repository=TEXT, limit={"type": "integer"}), idempotent=True,
        ),
        SkillFact("files.list", "read_only", frozenset({"reads_private"}), "d2", _schema(prefix=TEXT), idempotent=True),
        SkillFact(
            "files.write", "write", frozenset(), "d3",
            _schema(path=TEXT, content=TEXT, limit={"type": "integer"}), idempotent=True,
        ),
        SkillFact(
            "mail.send", "external", frozenset({"sends_outside"}), "d4",
            _schema(
                to={"type": "array", "items": TEXT}, amount=TEXT, host=TEXT, urgent={"type": "boolean"},
                meta=_schema(repo=TEXT, size={"type": "number"}),
            ),
        ),
        SkillFact("repo.delete", "destructive", frozenset(), "d5", _schema(repository=TEXT)),
    )
}  # fmt: skip

OPEN_PLATFORM = 'version: 1\nagents: {"*": {actions: ["*"], skills: ["*"], models: ["*"]}}\n'
HEAD = """version: 1
agents:
  hari:   {actions: [context.read, plan.propose, llm.call], models: ["claude-*"]}
  ernest: {actions: [context.read, skill.invoke, llm.call, step.finish], skills: ["git.*", "files.*", "mail.*"], models: ["claude-*"]}
  daneel: {actions: [context.read, step.finish]}
"""
HEAD_LINES = HEAD.count("\n")


def compiled(text: str, layer: str = "workspace", skills: Mapping[str, SkillFact] = SKILLS) -> CompiledManifest:
    return compile_manifest(text, layer=layer, skills=skills, agents=AGENTS, groups=GROUPS)


PLATFORM = compiled(OPEN_PLATFORM, "platform")


def layers(rules: str = "", *, platform: str = OPEN_PLATFORM, head: str = HEAD) -> list[CompiledManifest]:
    """Compile an open platform (or another) and a workspace with these lines after its agents."""
    return [compiled(platform, "platform"), compiled(head + rules)]


def faults_of(text: str, layer: str = "workspace") -> list[tuple[str, str]]:
    """Return place and code of each fault of a manifest that must be refused."""
    with pytest.raises(Refused) as caught:
        compiled(text, layer)
    assert caught.value.code == "invalid_manifest"
    assert caught.value.recovery
    return [(fault.path, fault.code) for fault in caught.value.faults]


def warnings_of(text: str, layer: str = "workspace") -> list[str]:
    return [warning.code for warning in compiled(text, layer).warnings]


def call(skill: str = "files.write", args: Mapping[str, Any] | None = None, **facts: Any) -> Request:
    """Ask for a skill as Ernest, in a step that has it."""
    given: dict[str, Any] = {
        "action": "skill.invoke", "agent": "ernest", "agent_enabled": True, "skill": skill, "skill_fact": SKILLS.get(skill),
        "args": args or {}, "allowed_skills": frozenset({skill}), **facts,
    }  # fmt: skip
    return Request(**given)


def ask(action: str, agent: str = "ernest", **facts: Any) -> Request:
    return Request(**{"action": action, "agent": agent, "agent_enabled": True, **facts})
