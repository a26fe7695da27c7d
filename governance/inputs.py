"""Resolve the input of a call once, when it is first made: references, artifacts, and whether it fits the skill's schema."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from audit.core.codes import Code
from audit.core.ids import parse_id
from audit.core.refusals import Fault, Refused
from governance.core.references import ARTIFACT, is_literal, references, resolve
from governance.core.schemas import compiled, place_of
from governance.models import Artifact, Run, Skill, Step
from governance.payloads import open_value

MOST_ARTIFACTS = 50


@dataclass(frozen=True, slots=True)
class ResolvedInput:
    """What a call is really about. `taint` is that of the artifacts it carries; `faults` say where it does not fit."""

    skill: str
    input: dict[str, Any]
    taint: frozenset[str]
    faults: tuple[Fault, ...]


def resolve_input(
    run: Run, step: Step, call_id: str, skill: str | None, value: Mapping[str, Any] | None
) -> ResolvedInput:
    """Return the exact input of a call: of one the plan names when `skill` is None, else what the agent sent.

    Whatever names an artifact in it, also what a result only made look so, is checked and told in one form.
    """
    if skill is not None:
        exact, taint, faults = _with_artifacts(run, dict(value or {}))
        return ResolvedInput(skill, exact, taint, faults)
    named = next((call for call in calls_in_plan(run, step) if call["call_id"] == call_id), None)
    if named is None:
        return ResolvedInput("", {}, frozenset(), (Fault("/call", "not_found", f"the plan names no call {call_id}"),))
    if is_literal(named["input"]):
        return ResolvedInput(named["skill"], dict(named["input"]), frozenset(), ())
    artifacts = artifacts_of(run, step)
    try:
        resolved = resolve(
            named["input"], outputs_of(run, step), {key: told(row) for key, row in artifacts.items()}, at="/input"
        )
    except Refused as refusal:
        read = {(found.step, found.name) for found in references(named["input"])[0] if found.kind == "artifact"}
        taint = frozenset(label for key in read if key in artifacts for label in artifacts[key].taint)
        return ResolvedInput(named["skill"], dict(named["input"]), taint, refusal.faults)
    exact, taint, faults = _with_artifacts(run, resolved)
    return ResolvedInput(named["skill"], exact, taint, faults)


def artifacts_of(run: Run, step: Step) -> dict[tuple[str, str], Artifact]:
    """Return the newest artifact of each name that the steps this one depends on have made."""
    rows = Artifact.objects.filter(run=run, step__in=steps_before(step)).defer("content").order_by("created_at")
    return {(str(row.step_id), row.name): row for row in rows}


def told(artifact: Artifact) -> dict[str, Any]:
    """Return how a payload names an artifact: its id, and the SHA-256 that binds its content."""
    return {
        "id": str(artifact.pk),
        "name": artifact.name,
        "sha256": artifact.sha256,
        "media_type": artifact.media_type,
        "size": artifact.size,
    }


def calls_in_plan(run: Run, step: Step) -> list[dict[str, Any]]:
    instruction = open_value(run.pk, step, "instruction")
    return list(instruction.get("calls", ()))


def outputs_of(run: Run, step: Step) -> dict[str, Any]:
    """Return the outputs of the steps that this one depends on, directly or through others, by step id; only those."""
    done = Step.objects.filter(pk__in=steps_before(step), run=run).exclude(result=None)
    return {str(other.pk): open_value(run.pk, other, "result")["output"] for other in done}


def steps_before(step: Step) -> set[UUID]:
    """Return the ids of all steps that this one depends on, directly or through others."""
    needs = dict(Step.objects.filter(plan=step.plan_id).values_list("pk", "depends_on"))
    before: set[UUID] = set()
    coming = list(step.depends_on)
    while coming:
        pk = coming.pop()
        if pk not in before:
            before.add(pk)
            coming += needs[pk]
    return before


def taint_of(run: Run, value: Mapping[str, Any]) -> frozenset[str]:
    """Return the labels of all artifacts that a resolved input carries."""
    carried = Artifact.objects.filter(pk__in=artifact_ids(value), run=run).values_list("taint", flat=True)
    return frozenset(label for labels in carried for label in labels)


def faults_of(skill: Skill, value: Mapping[str, Any]) -> tuple[Fault, ...]:
    """Return every way in which an input does not fit the skill's schema."""
    return tuple(compiled(skill.input_schema).faults(value, at="/input", code="bad_input"))


def _with_artifacts(run: Run, value: Any) -> tuple[Any, frozenset[str], tuple[Fault, ...]]:
    """Replace what names an artifact by its id and SHA-256, so that people see, and consent binds, its exact content."""
    taint: set[str] = set()
    faults: list[Fault] = []
    looked_at = 0

    def walk(item: Any, *path: str | int) -> Any:
        if isinstance(item, dict):
            if ARTIFACT in item:
                return named(item, path)
            return {key: walk(each, *path, key) for key, each in item.items()}
        if isinstance(item, list):
            return [walk(each, *path, index) for index, each in enumerate(item)]
        return item

    def named(item: dict[str, Any], path: tuple[str | int, ...]) -> Any:
        nonlocal looked_at
        looked_at += 1
        if looked_at > MOST_ARTIFACTS:
            if looked_at == MOST_ARTIFACTS + 1:
                wrong(path, Code.TOO_LARGE, f"an input carries at most {MOST_ARTIFACTS} artifacts")
            return item
        reference = item[ARTIFACT]
        artifact = _artifact(run, reference) if len(item) == 1 else None
        if artifact is None:
            wrong(path, Code.NOT_FOUND, "the run has no such artifact")
            return item
        taint.update(artifact.taint)
        if reference.get("sha256", artifact.sha256) != artifact.sha256:
            wrong(path, Code.PAYLOAD_CHANGED, "the artifact has another SHA-256")
            return item
        return {ARTIFACT: told(artifact)}

    def wrong(path: tuple[str | int, ...], code: Code, message: str) -> None:
        faults.append(Fault(place_of(path), str(code), message))

    return walk(value, "input"), frozenset(taint), tuple(faults)


def _artifact(run: Run, reference: Any) -> Artifact | None:
    """Find an artifact of the run by id, or by the id of its step and its name (the newest of that name)."""
    if not isinstance(reference, dict):
        return None
    artifacts = Artifact.objects.filter(run=run).defer("content").order_by("-created_at")
    try:
        if "id" in reference:
            return artifacts.filter(pk=parse_id(reference["id"])).first()
        return artifacts.filter(step=parse_id(reference.get("step")), name=str(reference.get("name"))).first()
    except Refused:
        return None


def artifact_ids(value: Any) -> list[UUID]:
    """Return the ids of all artifacts that a resolved input carries."""
    match value:
        case {"$artifact": {"id": pk}} if (known := _uuid(pk)) is not None:
            return [known]
        case dict():
            return [pk for item in value.values() for pk in artifact_ids(item)]
        case list():
            return [pk for item in value for pk in artifact_ids(item)]
        case _:
            return []


def _uuid(text: Any) -> UUID | None:
    """Read an id as the data base would, in any way of writing it: what could be opened is what is shown."""
    try:
        return UUID(text) if isinstance(text, str) else UUID(int=text) if isinstance(text, int) else None
    except ValueError:
        return None
