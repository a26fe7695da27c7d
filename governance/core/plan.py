"""A planner's proposal: checked for everything at once, put into one normal form, and given real ids."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from audit.core.canonical import digest
from audit.core.refusals import Fault
from governance.core.instruction import normal_instruction
from governance.core.planning import Catalogue, CatalogueAgent, plan_faults
from governance.core.references import is_literal, renamed

__all__ = [
    "Catalogue",
    "CatalogueAgent",
    "ParsedPlan",
    "PlannedCall",
    "PlannedStep",
    "Playbook",
    "literal_calls",
    "parse_plan",
]


@dataclass(frozen=True, slots=True)
class PlannedCall:
    """A skill call named in a plan."""

    step_ref: str
    call_id: str
    skill: str
    input: Mapping[str, Any]

    @property
    def is_literal(self) -> bool:
        return is_literal(self.input)


@dataclass(frozen=True, slots=True)
class PlannedStep:
    """A step in normal form; `depends_on` and the references of its instruction hold step refs, or ids once rewritten."""

    step_ref: str
    agent_name: str
    objective: str
    instruction: Mapping[str, Any]
    allowed_skills: tuple[str, ...]
    depends_on: tuple[str, ...]

    @property
    def calls(self) -> tuple[PlannedCall, ...]:
        """Return the calls that a `direct` instruction names, in their order."""
        calls = self.instruction.get("calls", ()) if self.instruction["kind"] == "direct" else ()
        return tuple(PlannedCall(self.step_ref, call["call_id"], call["skill"], call["input"]) for call in calls)

    def as_json(self) -> dict[str, Any]:
        """Return the form that is hashed and stored."""
        return {
            "step_ref": self.step_ref, "agent_name": self.agent_name, "objective": self.objective,
            "instruction": dict(self.instruction), "allowed_skills": list(self.allowed_skills),
            "depends_on": list(self.depends_on),
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Playbook:
    """The playbook that a plan was made from."""

    name: str
    digest: str
    parameters: Mapping[str, Any]

    def as_json(self) -> dict[str, Any]:
        """Return the form that is hashed and stored."""
        return {"name": self.name, "digest": self.digest, "parameters": dict(self.parameters)}


@dataclass(frozen=True, slots=True)
class ParsedPlan:
    """A plan in normal form, its steps in an order in which they can be done; or, with `faults`, no plan at all."""

    summary: str = ""
    steps: tuple[PlannedStep, ...] = ()
    playbook: Playbook | None = None
    faults: tuple[Fault, ...] = ()

    @property
    def plan_hash(self) -> str:
        """Return the SHA-256 of the normal form: the same plan always has the same."""
        return digest(self.as_json())

    @property
    def skills(self) -> tuple[str, ...]:
        """Return the names of all skills that its steps may call, sorted."""
        return tuple(sorted({name for step in self.steps for name in step.allowed_skills}))

    def as_json(self) -> dict[str, Any]:
        """Return the normal form."""
        normal: dict[str, Any] = {"summary": self.summary, "steps": [step.as_json() for step in self.steps]}
        if self.playbook:
            normal["playbook"] = self.playbook.as_json()
        return normal

    def rewrite(self, ids: Mapping[str, str]) -> tuple[PlannedStep, ...]:
        """Return its steps with every dependency and reference by real id; a ref without an id is a KeyError."""
        return tuple(
            replace(
                step,
                instruction=renamed(step.instruction, ids),
                depends_on=tuple(ids[ref] for ref in step.depends_on),
            )
            for step in self.steps
        )


def parse_plan(body: Any, catalogue: Catalogue) -> ParsedPlan:
    """Read a proposal (canonical JSON values): the plan in normal form, or every fault of it at once.

    Codes of faults: `bad_schema unknown_agent unknown_skill skill_not_allowed unknown_ref duplicate_ref cycle
    too_many_steps too_deep bad_reference bad_input`.
    """
    faults = plan_faults(body, catalogue)
    if faults:
        return ParsedPlan(faults=tuple(faults))
    order = {ref: place for place, ref in enumerate(_doable_order(body["steps"]))}
    steps = sorted((_normal_step(step, order) for step in body["steps"]), key=lambda step: order[step.step_ref])
    return ParsedPlan(body["summary"].strip(), tuple(steps), _playbook(body.get("playbook")))


def literal_calls(steps: Iterable[PlannedStep]) -> tuple[PlannedCall, ...]:
    """Return the calls whose input stands in the plan as a whole: those that a yes to a held plan covers (policy.md §4)."""
    return tuple(call for step in steps for call in step.calls if call.is_literal)


def _playbook(value: Mapping[str, Any] | None) -> Playbook | None:
    return Playbook(value["name"], value["digest"], value.get("parameters", {})) if value else None


def _normal_step(step: Mapping[str, Any], order: Mapping[str, int]) -> PlannedStep:
    return PlannedStep(
        step_ref=step["step_ref"],
        agent_name=step["agent_name"],
        objective=step["objective"].strip(),
        instruction=normal_instruction(step["instruction"]),
        allowed_skills=tuple(sorted(set(step.get("allowed_skills", ())))),
        depends_on=tuple(sorted(set(step.get("depends_on", ())), key=lambda ref: order[ref])),
    )


def _doable_order(steps: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Yield the refs so that each comes after all it depends on, and otherwise as they were written."""
    waiting = {step["step_ref"]: set(step.get("depends_on", ())) for step in steps}
    while waiting:
        ref = next(ref for ref, needs in waiting.items() if not needs & waiting.keys())
        del waiting[ref]
        yield ref
