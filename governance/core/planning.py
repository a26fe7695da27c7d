"""Everything that can be wrong with a plan, found in one look."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from audit.core.refusals import Fault
from governance.core.facts import SkillFact
from governance.core.instruction import DIRECT, RENDER, instruction_faults
from governance.core.references import SELF, BadReference, Reference, each_reference, tokens
from governance.core.schemas import Schema, compiled, place_of, shortened
from governance.core.wording import excerpt

PLANNER = "planner"
# Whatever a manifest says: beyond these, looking at a hostile plan would itself take too long.
MOST_STEPS_EVER = 200
MOST_FAULTS = 200
MOST_REFERENCES = 2000
"""References in one value of a plan."""
_MOST_LISTED = 500
_MOST_BYTES_OF_FAULTS = 180 * 1024

PLAN_SCHEMA: Mapping[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["summary", "steps"],
    "properties": {
        "summary": {"type": "string", "pattern": r"\S", "maxLength": 4000},
        "steps": {
            "type": "array",
            "minItems": 1,
            "maxItems": MOST_STEPS_EVER,
            "items": {
                "type": "object",
                "additionalProperties": False,
                "required": ["step_ref", "agent_name", "objective", "instruction"],
                "properties": {
                    "step_ref": {
                        "type": "string",
                        "pattern": r"^[A-Za-z][A-Za-z0-9_\-]{0,63}$",
                        "not": {"const": SELF},
                    },
                    "agent_name": {"type": "string", "minLength": 1, "maxLength": 48},
                    "objective": {"type": "string", "pattern": r"\S", "maxLength": 4000},
                    "instruction": {"type": "object"},
                    "allowed_skills": {
                        "type": "array",
                        "maxItems": 500,
                        "items": {"type": "string", "minLength": 1, "maxLength": 96},
                    },
                    "depends_on": {
                        "type": "array",
                        "maxItems": MOST_STEPS_EVER,
                        "items": {"type": "string", "maxLength": 64},
                    },
                },
            },
        },
        "playbook": {
            "type": "object",
            "additionalProperties": False,
            "required": ["name", "digest"],
            "properties": {
                "name": {"type": "string", "minLength": 1, "maxLength": 80},
                "digest": {"type": "string", "pattern": r"^[0-9a-f]{64}$"},
                "parameters": {"type": "object"},
            },
        },
    },
}

_SCHEMA = Schema(PLAN_SCHEMA)


@dataclass(frozen=True, slots=True)
class CatalogueAgent:
    """An agent that exists, and the skills that the manifests let it call."""

    name: str
    kind: str
    skills: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Catalogue:
    """What a plan may be made of, and how large it may get. `playbooks` maps those served to their digests; None: any."""

    agents: Mapping[str, CatalogueAgent]
    skills: Mapping[str, SkillFact]
    most_steps: int = 20
    most_depth: int = 8
    playbooks: Mapping[str, str] | None = None


@dataclass(slots=True)
class _Look:
    """One look at a proposal: what is readable of its steps, by ref, which known refs each needs, and what was found."""

    catalogue: Catalogue
    steps: list[tuple[int, Mapping[str, Any]]]
    by_ref: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    needs: dict[str, list[str]] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    before: dict[int, set[str]] = field(default_factory=dict)

    @property
    def is_full(self) -> bool:
        return len(self.faults) >= MOST_FAULTS

    def found(self, code: str, message: str, *path: str | int) -> None:
        if not self.is_full:
            self.faults.append(Fault(place_of(("steps", *path)), code, shortened(message)))


def plan_faults(body: Any, catalogue: Catalogue) -> list[Fault]:
    """Return everything wrong with a proposal. What has a wrong form is not looked at any further, the rest is."""
    faults = _SCHEMA.faults(body)
    steps = body.get("steps") if isinstance(body, dict) else None
    if not isinstance(steps, list):
        return faults
    if len(steps) > catalogue.most_steps:
        few = f"a plan has at most {catalogue.most_steps} steps, this one has {len(steps)}"
        faults.append(Fault("/steps", "too_many_steps", few))
    if len(steps) > MOST_STEPS_EVER:
        return faults
    faults += _playbook_faults(body.get("playbook"), catalogue.playbooks)
    look = _Look(catalogue, [(index, step) for index, step in enumerate(steps) if isinstance(step, dict)])
    _find_refs(look)
    _find_order(look)
    for index, step in look.steps:
        if look.is_full:
            break
        _find_people(look, index, step)
        _find_in_instruction(look, index, step)
    return list(_not_too_many(faults + look.faults))


def _playbook_faults(named: Any, served: Mapping[str, str] | None) -> Iterator[Fault]:
    """Find a playbook that nobody serves: its name would say that people have reviewed what they have not."""
    match named:
        case {"name": str(name), "digest": str(given)} if served is not None and served.get(name) != given:
            wrong = "has another digest now" if name in served else "is not among those served"
            yield Fault("/playbook", "bad_schema", f"the playbook {excerpt(name)} {wrong}")


def _not_too_many(faults: Sequence[Fault]) -> Iterator[Fault]:
    """Yield as many faults as an answer may carry."""
    size = 0
    for fault in faults[:MOST_FAULTS]:
        size += len(json.dumps(fault.as_json())) + 2
        if size > _MOST_BYTES_OF_FAULTS:
            return
        yield fault


def _find_refs(look: _Look) -> None:
    for index, step in look.steps:
        ref = step.get("step_ref")
        if not isinstance(ref, str):
            continue
        if ref in look.by_ref:
            look.found("duplicate_ref", f"there are two steps called {ref[:80]}", index, "step_ref")
        look.by_ref.setdefault(ref, step)
    for ref, step in look.by_ref.items():
        look.needs[ref] = [
            need for need in dict.fromkeys(need for _, need in _texts(step, "depends_on")) if need in look.by_ref
        ]


def _texts(step: Mapping[str, Any], name: str) -> list[tuple[int, str]]:
    listed = step.get(name, ())
    # What is longer has been found to be of a wrong form already.
    return (
        [(place, item) for place, item in enumerate(listed[:_MOST_LISTED]) if isinstance(item, str)]
        if isinstance(listed, list)
        else []
    )


def _find_order(look: _Look) -> None:
    for index, step in look.steps:
        for place, ref in _texts(step, "depends_on"):
            if ref not in look.by_ref:
                look.found("unknown_ref", f"there is no step called {ref[:80]}", index, "depends_on", place)
    broken: set[str] = set()
    depths, left = _depths(look, broken)
    # Each cycle found costs another look at everything, and nobody mends more than a few at a time.
    while left and len(broken) < look.catalogue.most_steps:
        circle = _circle(look, left)
        index = next(index for index, step in look.steps if step.get("step_ref") == circle[0])
        look.found("cycle", f"these steps wait for each other: {' → '.join([*circle, circle[0]])}", index, "depends_on")
        # Taken as done, so that the next cycle is found too.
        broken.update(circle)
        depths, left = _depths(look, broken)
    deepest = max(depths.values(), default=0)
    if deepest > look.catalogue.most_depth:
        ref = next(ref for ref, depth in depths.items() if depth == deepest)
        index = next(index for index, step in look.steps if step.get("step_ref") == ref)
        few = f"a chain of {deepest} steps ends here, and {look.catalogue.most_depth} is the most"
        look.found("too_deep", few, index, "depends_on")


def _depths(look: _Look, broken: set[str]) -> tuple[dict[str, int], set[str]]:
    """Return how long the chain up to each step is, and the steps that no order reaches (in a cycle, or behind one)."""
    depths = dict.fromkeys(broken, 0)
    left = look.by_ref.keys() - broken
    while ready := [ref for ref in look.by_ref if ref in left and left.isdisjoint(look.needs[ref])]:
        for ref in ready:
            depths[ref] = 1 + max((depths[need] for need in look.needs[ref]), default=0)
        left -= set(ready)
    return depths, left


def _circle(look: _Look, left: set[str]) -> list[str]:
    """Return one cycle among steps that each wait for another of them, from the one that was written first."""
    places = {ref: place for place, ref in enumerate(look.by_ref)}
    path = [min(left, key=places.__getitem__)]
    while (following := next(need for need in look.needs[path[-1]] if need in left)) not in path:
        path.append(following)
    circle = path[path.index(following) :]
    first = circle.index(min(circle, key=places.__getitem__))
    return circle[first:] + circle[:first]


def _find_people(look: _Look, index: int, step: Mapping[str, Any]) -> None:
    name = step.get("agent_name")
    if not isinstance(name, str):
        return
    agent = look.catalogue.agents.get(name)
    if agent is None:
        look.found("unknown_agent", f"there is no agent called {name[:80]}", index, "agent_name")
    elif agent.kind == PLANNER:
        look.found("unknown_agent", f"{name} is a planner, and planners do not work on steps", index, "agent_name")
        agent = None
    for place, skill in _texts(step, "allowed_skills"):
        if skill not in look.catalogue.skills:
            look.found("unknown_skill", f"there is no skill called {skill[:80]}", index, "allowed_skills", place)
        elif agent and skill not in agent.skills:
            look.found("skill_not_allowed", f"policy does not let {name} call {skill}", index, "allowed_skills", place)


def _find_in_instruction(look: _Look, index: int, step: Mapping[str, Any]) -> None:
    instruction = step.get("instruction")
    if not isinstance(instruction, dict):
        return
    faults = instruction_faults(instruction, place_of(("steps", index, "instruction")))
    if faults:
        look.faults += faults
        return
    if instruction["kind"] == RENDER:
        _find_references(look, instruction.get("data", {}), step, (), index, "data")
    elif instruction["kind"] == DIRECT:
        calls = [call["call_id"] for call in instruction["calls"]]
        for place, call in enumerate(instruction["calls"]):
            if call["call_id"] in calls[:place]:
                twice = f"there are two calls called {call['call_id']}"
                look.found("duplicate_ref", twice, index, "instruction", "calls", place, "call_id")
            _find_in_call(look, step, call, index, place)
        _find_references(look, instruction.get("output"), step, calls, index, "output")


def _find_in_call(look: _Look, step: Mapping[str, Any], call: Mapping[str, Any], index: int, place: int) -> None:
    name, at = call["skill"], ("instruction", "calls", place)
    skill = look.catalogue.skills.get(name)
    holes = _find_references(look, call["input"], step, (), index, "calls", place, "input")
    if skill is None:
        look.found("unknown_skill", f"there is no skill called {name[:80]}", index, *at, "skill")
        return
    if name not in [allowed for _, allowed in _texts(step, "allowed_skills")]:
        look.found("skill_not_allowed", f"{name} is not among the step's allowed_skills", index, *at, "skill")
    if holes is not None:
        inside = place_of(("steps", index, *at, "input"))
        look.faults += compiled(skill.input_schema).faults_beside(call["input"], holes, inside)


def _all_before(look: _Look, index: int, step: Mapping[str, Any]) -> set[str]:
    """Return every step that this one depends on, directly or through others."""
    if index in look.before:
        return look.before[index]
    before = look.before[index] = set()
    coming = [need for _, need in _texts(step, "depends_on") if need in look.by_ref]
    while coming:
        ref = coming.pop()
        if ref not in before:
            before.add(ref)
            coming += look.needs[ref]
    return before


def _find_references(
    look: _Look, value: Any, step: Mapping[str, Any], own_calls: Sequence[str], index: int, *path: str | int
) -> list[tuple[str | int, ...]] | None:
    """Judge the references in a value and return where they all stand; None when there are too many to judge."""
    places: list[tuple[str | int, ...]] = []
    for found in each_reference(value):
        if look.is_full or len(places) == MOST_REFERENCES:
            many = f"there are more than {MOST_REFERENCES} references in here"
            look.found("bad_reference", many, index, "instruction", *path)
            return None
        places.append(found.at)
        if isinstance(found, BadReference):
            look.found("bad_reference", found.message, index, "instruction", *path, *found.at)
            continue
        for message in _wrong_with(look, found, _all_before(look, index, step), own_calls):
            look.found("bad_reference", message, index, "instruction", *path, *found.at)
    return places


def _wrong_with(look: _Look, found: Reference, before: set[str], own_calls: Sequence[str]) -> Iterator[str]:
    call = tokens(found.name)[:1] if found.kind == "result" else ()
    if found.kind == "result" and found.step == SELF and own_calls:
        if not set(call) <= set(own_calls):
            yield f"this step has no call called {call[0][:80]}"
        return
    if found.step not in before:
        known = "not one that this step depends on" if found.step in look.by_ref else "no step of this plan"
        yield f"{found.step[:80]} is {known}"
        return
    match look.by_ref[found.step].get("instruction"):
        # Without an `output` of its own, the output of a direct step has its calls' ids as keys.
        case {"kind": "direct", "output": _}:
            return
        case {"kind": "direct", "calls": list(calls)} if found.kind == "result":
            named = [each.get("call_id") for each in calls if isinstance(each, dict)]
            if call and call[0] not in named:
                yield f"the step {found.step} has no call called {call[0][:80]}"
        case {"kind": "render", "artifact": {"name": name}} if found.kind == "artifact":
            if name != found.name:
                yield f"the artifact of the step {found.step} is called {str(name)[:120]}"
        case {"kind": "render"} if found.kind == "artifact":
            yield f"the step {found.step} makes no artifact"
