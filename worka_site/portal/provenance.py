"""Where text came from: what a step could have read before it asked, drawn downwards to the call itself."""

from governance.approvals import Evidence
from governance.models import Artifact, Gate, SkillInvocation
from worka_site.portal.links import to
from worka_site.portal.shapes import Reading
from worka_site.portal.wording import deed

STRANGERS = "untrusted_output"


def readings_of(gate: Gate, evidence: Evidence) -> list[Reading]:
    """Return what was read and made in order of time, then the call; what outsiders could have written is marked."""
    dated = [(call.created_at, _call(call, evidence)) for call in evidence.calls]
    dated += [(artifact.created_at, _artifact(artifact, evidence)) for artifact in evidence.artifacts]
    dated += [(recall.created_at, _recall(gate, recall, evidence)) for recall in evidence.recalls]
    readings = [reading for _, reading in sorted(dated, key=lambda pair: pair[0])]
    return [*readings, _this(gate)]


def _call(call: SkillInvocation, evidence: Evidence) -> Reading:
    labels = evidence.labels.get(call.skill_name, ())
    step = evidence.steps[call.step_id]
    return Reading(
        deed(call.skill_name, call.input_redacted),
        f"Step {step.sequence}, call {call.call_id}.",
        labels,
        _tone(labels),
        to("governance_skillinvocation_change", call.pk),
        "Look at what it read",
    )


def _artifact(artifact: Artifact, evidence: Evidence) -> Reading:
    step = evidence.steps[artifact.step_id]
    instruction = step.instruction_redacted
    is_template = isinstance(instruction, dict) and instruction.get("kind") == "render"
    made = "made by a fixed template, without a model" if is_template else f"made by {artifact.produced_by}"
    return Reading(
        artifact.name,
        f"Step {step.sequence}, {made}.",
        tuple(artifact.taint),
        _tone(artifact.taint),
        to("governance_artifact_change", artifact.pk),
        "Look at it",
    )


def _recall(gate: Gate, recall: Gate, evidence: Evidence) -> Reading:
    """Draw what was remembered: of a planner it taints the run, of a step the step."""
    step = evidence.steps.get(recall.step_id)
    labels = tuple(step.taint if step else gate.run.taint)
    who = f"Step {step.sequence}" if step else "The planner"
    return Reading("Memories of earlier runs", f"{who}, {recall.subject}.", labels, _tone(labels))


def _this(gate: Gate) -> Reading:
    labels = tuple(gate.step.taint) if gate.step else ()
    if STRANGERS in labels:
        return Reading(
            "This call", "would carry on what strangers wrote: whatever it makes is tainted too.", (), "wait"
        )
    return Reading("This call", "rests on nothing that strangers wrote.", (), "idle")


def _tone(labels: object) -> str:
    return "odd" if isinstance(labels, (list, tuple)) and STRANGERS in labels else "idle"
