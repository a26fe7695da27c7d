"""What a decision may look at. Plain values, gathered once, so that deciding needs no data base and can be replayed."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

Action = Literal[
    "context.read",
    "plan.propose",
    "skill.invoke",
    "llm.call",
    "artifact.read",
    "artifact.write",
    "memory.read",
    "step.finish",
]
SideEffect = Literal["read_only", "write", "external", "destructive"]
Label = Literal["reads_private", "untrusted_output", "sends_outside"]

ACTIONS: tuple[str, ...] = get_args(Action)
SIDE_EFFECTS: tuple[str, ...] = get_args(SideEffect)
LABELS: tuple[str, ...] = get_args(Label)
TAINTS: frozenset[str] = frozenset({"reads_private", "untrusted_output"})

INVOKE = "skill.invoke"
CALL_MODEL = "llm.call"
PROPOSE = "plan.propose"
FINISH = "step.finish"
TAINTED = "untrusted_output"


@dataclass(frozen=True, slots=True)
class SkillFact:
    """A skill as the decision sees it; `digest` is what names its schemas and annotations.

    `input_schema` serves the compiler of manifests only: no decision reads it, so it is neither compared nor stored.
    """

    name: str
    side_effect: str
    labels: frozenset[str] = frozenset()
    digest: str = ""
    input_schema: Mapping[str, Any] = field(default_factory=dict, compare=False, repr=False)
    idempotent: bool = False
    enabled: bool = True

    def as_json(self) -> dict[str, Any]:
        """Return the form that is stored with a gate."""
        return {
            "name": self.name,
            "side_effect": self.side_effect,
            "labels": sorted(self.labels),
            "digest": self.digest,
            "idempotent": self.idempotent,
            "enabled": self.enabled,
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "SkillFact":
        """Read what `as_json` wrote."""
        return cls(
            name=value["name"],
            side_effect=value["side_effect"],
            labels=frozenset(value["labels"]),
            digest=value["digest"],
            idempotent=value["idempotent"],
            enabled=value["enabled"],
        )


@dataclass(frozen=True, slots=True)
class Request:
    """One thing an agent asks for, and every fact that policy may weigh.

    `taint` holds the labels of all that the step has read, the skill's own included. `allowed_skills` is the step's list
    (None when there is no step). `frozen_because` is empty when nothing is frozen. `ungathered` names facts that could
    not be found out: a decision without them is a denial.
    """

    action: str
    agent: str
    agent_enabled: bool
    skill: str = ""
    skill_fact: SkillFact | None = None
    args: Mapping[str, Any] = field(default_factory=dict)
    model: str = ""
    allowed_skills: frozenset[str] | None = None
    taint: frozenset[str] = frozenset()
    workspace: str = ""
    requester: str = ""
    frozen_because: str = ""
    run_source: str = ""
    possible_repeat: bool = False
    ungathered: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Return the form that is stored with a gate, from which the decision can be replayed."""
        return {
            "action": self.action,
            "agent": self.agent,
            "agent_enabled": self.agent_enabled,
            "skill": self.skill,
            "skill_fact": self.skill_fact.as_json() if self.skill_fact else None,
            "args": dict(self.args),
            "model": self.model,
            "allowed_skills": None if self.allowed_skills is None else sorted(self.allowed_skills),
            "taint": sorted(self.taint),
            "workspace": self.workspace,
            "requester": self.requester,
            "frozen_because": self.frozen_because,
            "run_source": self.run_source,
            "possible_repeat": self.possible_repeat,
            "ungathered": list(self.ungathered),
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "Request":
        """Read what `as_json` wrote."""
        rest = dict(value)
        fact, listed = rest.pop("skill_fact"), rest.pop("allowed_skills")
        return cls(
            skill_fact=None if fact is None else SkillFact.from_json(fact),
            allowed_skills=None if listed is None else frozenset(listed),
            taint=frozenset(rest.pop("taint")),
            ungathered=tuple(rest.pop("ungathered")),
            **rest,
        )


@dataclass(frozen=True, slots=True)
class PlannedStep:
    """One step of a proposed plan: who would do it, with which skills."""

    ref: str
    agent: str
    skills: tuple[SkillFact, ...] = ()


@dataclass(frozen=True, slots=True)
class PlanFacts:
    """A proposed plan, and every fact that policy may weigh about it."""

    agent: str
    agent_enabled: bool
    steps: tuple[PlannedStep, ...]
    taint: frozenset[str] = frozenset()
    workspace: str = ""
    requester: str = ""
    frozen_because: str = ""
    run_source: str = ""
    ungathered: tuple[str, ...] = ()

    def request(self) -> Request:
        """Return the proposal itself as a request, which the rules judge like any other."""
        return Request(
            action=PROPOSE,
            agent=self.agent,
            agent_enabled=self.agent_enabled,
            taint=self.taint,
            workspace=self.workspace,
            requester=self.requester,
            frozen_because=self.frozen_because,
            run_source=self.run_source,
            ungathered=self.ungathered,
        )

    def as_json(self) -> dict[str, Any]:
        """Return the form that is stored with a gate, from which the decision can be replayed."""
        steps = [
            {"ref": step.ref, "agent": step.agent, "skills": [fact.as_json() for fact in step.skills]}
            for step in self.steps
        ]
        return {
            "agent": self.agent,
            "agent_enabled": self.agent_enabled,
            "steps": steps,
            "taint": sorted(self.taint),
            "workspace": self.workspace,
            "requester": self.requester,
            "frozen_because": self.frozen_because,
            "run_source": self.run_source,
            "ungathered": list(self.ungathered),
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "PlanFacts":
        """Read what `as_json` wrote."""
        rest = dict(value)
        steps = tuple(
            PlannedStep(step["ref"], step["agent"], tuple(SkillFact.from_json(fact) for fact in step["skills"]))
            for step in rest.pop("steps")
        )
        return cls(steps=steps, taint=frozenset(rest.pop("taint")), ungathered=tuple(rest.pop("ungathered")), **rest)
