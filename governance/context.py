"""The envelope that an agent starts from: what it is to do, and only what it needs for it."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import structlog
from django.conf import settings

from audit.core.codes import Code
from audit.core.refusals import Refused
from governance.actions.door import ask
from governance.actions.memories import read_memories
from governance.caller import Caller
from governance.core.evaluate import permitted_skills
from governance.core.facts import CALL_MODEL
from governance.core.references import resolve, sources
from governance.gather import active_manifests, limits_among, skill_fact
from governance.inputs import outputs_of
from governance.models import Agent, Artifact, Budget, Plan, Run, Skill, SkillInvocation, Step
from governance.payloads import open_value

log = structlog.get_logger(__name__)

MOST_TOKENS_AT_ONCE = 8192
"""What our agents ask for in one answer; it is reserved in full before each call."""


@dataclass(frozen=True, slots=True)
class Memory:
    """What an agent is told of an earlier run, and the labels of all that the run had read."""

    text: str
    run: int
    at: datetime
    taint: frozenset[str]


Recall = Callable[[Run, str, str], Sequence[Memory]]
"""Finds what an agent remembers (run, agent, what it is about): bounded, best first; it may fail."""


def _nothing(run: Run, agent: str, about: str) -> Sequence[Memory]:
    return ()


def context_for(
    caller: Caller, *, playbooks: Callable[[], list[dict[str, Any]]], model: str = "", memories: Recall = _nothing
) -> dict[str, Any]:
    """Return the envelope of a caller; refuses with policy_denied or frozen, the gate stored, or with job_over.

    `model` is the deployment's; an agent whose row names another is told that one. None is told of that it may not call.
    """
    gate = ask(caller, "context.read")
    if gate.effect != "allow":
        code = Code(gate.code) if gate.code in set(Code) else Code.POLICY_DENIED
        raise Refused(gate.reason, code=code, facts={"gate": str(gate.pk), "reason": gate.reason})
    run = Run.objects.get(pk=caller.run_id)
    about = {
        "id": str(run.pk),
        "number": run.number,
        "request": run.request_text if caller.step_id else _exact_request(run),
    }
    if caller.step_id is None:
        work = {"planning": _planning(caller, run, playbooks())}
    else:
        work = {"step": _step(run, Step.objects.get(pk=caller.step_id)), "limits": _limits_left(run)}
    offered = _model(caller, run, model)
    remembered = _memories(caller, run, work.get("step"), memories) if offered else []
    return {"run": about, **work, "model": offered, "memories": remembered}


def _memories(caller: Caller, run: Run, step: dict[str, Any] | None, recall: Recall) -> list[dict[str, Any]]:
    """Return what the agent remembers, where a model is there to read it; what nobody reads must not taint a step."""
    if step is not None and step["instruction"]["kind"] != "agentic":
        return []
    try:
        found = recall(run, caller.agent, step["objective"] if step else run.request_text)
    except Exception as error:  # noqa: BLE001 - a plug-in may raise anything
        # Memory may be down without stopping a run. What went wrong may quote what was asked, so only its kind is told.
        log.warning("memories_left_out", run=str(run.pk), agent=caller.agent, error=type(error).__name__)
        return []
    if not found:
        return []
    taint = frozenset[str]().union(*(memory.taint for memory in found))
    if read_memories(caller, count=len(found), taint=taint).effect != "allow":
        return []
    return [
        {"text": each.text, "run": each.run, "at": each.at.isoformat(), "taint": sorted(each.taint)} for each in found
    ]


def _model(caller: Caller, run: Run, configured: str) -> dict[str, Any] | None:
    if not configured:
        return None
    own = Agent.objects.filter(name=caller.agent).values_list("model", flat=True).first()
    name = own or configured
    permitted = all(
        manifest.permits(caller.agent, CALL_MODEL, model=name) for manifest in active_manifests(run.workspace_id)
    )
    return {"name": name, "max_tokens": MOST_TOKENS_AT_ONCE} if permitted else None


def _exact_request(run: Run) -> str:
    sealed = open_value(run.pk, run, "request_exact")
    return str(sealed["text"]) if sealed else run.request_text


def _planning(caller: Caller, run: Run, playbooks: list[dict[str, Any]]) -> dict[str, Any]:
    manifests = active_manifests(run.workspace_id)
    skills = {skill.name: skill for skill in Skill.objects.filter(enabled=True)}
    facts = {name: skill_fact(skill) for name, skill in skills.items()}
    agents = list(Agent.objects.filter(enabled=True).exclude(kind="planner"))
    allowed = {agent.name: permitted_skills(manifests, agent.name, facts) for agent in agents}
    last = Plan.objects.filter(run=run, state="rejected").order_by("-version").values_list("faults", flat=True).first()
    limits = limits_among(manifests).plan
    return {
        "attempt": run.planning_attempts + 1,
        "refused": last or [],
        "agents": [
            {
                "name": agent.name,
                "kind": agent.kind,
                "description": agent.description,
                "skills": sorted(allowed[agent.name]),
            }
            for agent in agents
        ],
        "skills": [
            {
                "name": name,
                "description": skill.description,
                "input_schema": skill.input_schema,
                "side_effect": skill.side_effect,
                "agents": sorted(agent for agent, names in allowed.items() if name in names),
            }
            for name, skill in sorted(skills.items())
            if any(name in names for names in allowed.values())
        ],
        "playbooks": playbooks,
        "repositories": [str(root) for root in settings.WORKA_REPOSITORY_ROOTS],
        "limits": {"steps": limits.steps, "depth": limits.depth, "attempts": limits.attempts},
    }


def _step(run: Run, step: Step) -> dict[str, Any]:
    instruction = open_value(run.pk, step, "instruction")
    if instruction["kind"] == "render":
        instruction = {**instruction, "data": resolve(instruction.get("data", {}), outputs_of(run, step))}
    skills = {skill.name: skill for skill in Skill.objects.filter(name__in=step.allowed_skills)}
    checkpoint = open_value(run.pk, step, "checkpoint")
    return {
        "id": str(step.pk),
        "sequence": step.sequence,
        "objective": step.objective,
        "attempt": step.attempt,
        "instruction": instruction,
        "allowed_skills": [
            {
                "name": name,
                "description": skill.description,
                "input_schema": skill.input_schema,
                "side_effect": skill.side_effect,
            }
            for name, skill in sorted(skills.items())
        ],
        "results": _results(run, [*step.depends_on, *map(UUID, sources(instruction.get("output")))]),
        "checkpoint": checkpoint,
        "calls": [_call(run, call) for call in SkillInvocation.objects.filter(step=step).order_by("created_at")],
    }


def _results(run: Run, steps: Sequence[UUID]) -> dict[str, Any]:
    """Return what steps have found, by ref; a stored instruction names them by id."""
    artifacts = defaultdict(list)
    for artifact in Artifact.objects.filter(step__in=steps, run=run).defer("content"):
        artifacts[artifact.step_id].append(
            {
                "id": str(artifact.pk),
                "name": artifact.name,
                "sha256": artifact.sha256,
                "media_type": artifact.media_type,
                "size": artifact.size,
            }
        )
    results = {}
    for other in Step.objects.filter(pk__in=steps, run=run):
        result = open_value(run.pk, other, "result") or {}
        results[other.ref] = {
            "id": str(other.pk),
            "summary": result.get("summary", ""),
            "output": result.get("output"),
            "artifacts": artifacts[other.pk],
        }
    return results


def _call(run: Run, call: SkillInvocation) -> dict[str, Any]:
    told: dict[str, Any] = {"call_id": call.call_id, "skill": call.skill_name, "state": call.state}
    if call.output is not None:
        told["output"] = open_value(run.pk, call, "output")
    if call.error:
        told["error"], told["reason"] = call.error, call.error.get("message", "")
    return told


def _limits_left(run: Run) -> dict[str, Any]:
    return {
        budget.kind: None if budget.limit is None else str((budget.limit - budget.spent - budget.reserved).normalize())
        for budget in Budget.objects.filter(scope=run.pk)
    }
