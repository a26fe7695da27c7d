"""Keep what agents produce as evidence."""

from uuid import UUID

from django.db import transaction

from audit.core.codes import Code
from audit.ledger import record
from governance.actions.decisions import as_denial, store_gate
from governance.actions.locks import lock_attempt
from governance.actions.taint import grow_taint
from governance.caller import Caller
from governance.gather import judge
from governance.models import Artifact, Gate
from governance.payloads import content_of, keep

MEDIA_TYPES = frozenset({"text/markdown", "text/plain", "application/json", "text/csv"})
LARGEST = 5 * 2**20
MOST_PER_STEP = 20


@transaction.atomic
def store_artifact(
    caller: Caller, *, name: str, media_type: str, content: bytes, sha256: str
) -> tuple[Artifact | None, Gate]:
    """Store an artifact with the taint of its step; the same name and content again is the same artifact.

    Returns None and the denied gate when policy or the limits say no.
    """
    run, step = lock_attempt(caller)
    request, decision, micros = judge(caller, run, step, "artifact.write")
    if decision.effect == "allow" and (problem := _problem(caller, media_type, content)):
        decision = as_denial(decision, *problem)
    gate = store_gate(caller, run, step, request, decision, subject=name, decision_us=micros)
    if decision.effect != "allow":
        return None, gate
    same = Artifact.objects.filter(run=run, step=step, name=name, sha256=sha256).first()
    if same is not None:
        return same, gate
    kept = keep(run.workspace_id, run.pk, "artifact", content, sha256)
    artifact = Artifact.objects.create(
        workspace_id=run.workspace_id,
        run=run,
        step=step,
        name=name,
        media_type=media_type,
        size=len(content),
        sha256=sha256,
        content=kept,
        produced_by=caller.agent,
        attempt=caller.attempt,
        taint=step.taint if step else [],
    )
    record("artifact.store", artifact, by=caller.principal, because=name, sha256=sha256, size=len(content))
    return artifact, gate


@transaction.atomic
def read_artifact(caller: Caller, artifact_id: UUID) -> tuple[tuple[Artifact, bytes] | None, Gate]:
    """Give an agent an artifact of its own run; its step takes on the artifact's taint."""
    run, step = lock_attempt(caller)
    artifact = Artifact.objects.filter(pk=artifact_id, run=run).select_related("content").first()
    request, decision, micros = judge(caller, run, step, "artifact.read")
    if decision.effect == "allow" and artifact is None:
        decision = as_denial(decision, Code.NOT_FOUND, "the run has no such artifact")
    gate = store_gate(
        caller,
        run,
        step,
        request,
        decision,
        subject=artifact.name if artifact else str(artifact_id),
        decision_us=micros,
    )
    if decision.effect != "allow" or artifact is None:
        return None, gate
    if step is not None:
        grow_taint(step, artifact.taint)
    return (artifact, content_of(artifact.content)), gate


def _problem(caller: Caller, media_type: str, content: bytes) -> tuple[Code, str] | None:
    if media_type not in MEDIA_TYPES:
        return Code.UNSUPPORTED_MEDIA_TYPE, f"artifacts are one of {', '.join(sorted(MEDIA_TYPES))}"
    if len(content) > LARGEST:
        return Code.TOO_LARGE, f"an artifact has at most {LARGEST} bytes"
    if Artifact.objects.filter(step=caller.step_id, run=caller.run_id).count() >= MOST_PER_STEP:
        return Code.TOO_LARGE, f"a step has at most {MOST_PER_STEP} artifacts"
    return None
