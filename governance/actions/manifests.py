"""Write policy, submit it, activate it; nobody activates their own."""

from uuid import UUID

from django.db import connection, transaction
from django.db.models import Max
from django.utils.timezone import now

from audit.core.codes import Code
from audit.core.refusals import Refused
from audit.principals import Principal, persons_behind
from audit.transition import born, transition
from governance.catalogue import policy_names
from governance.core.compiled import CompiledManifest
from governance.core.manifest import compile_manifest
from governance.core.states import ManifestState
from governance.models import PolicyManifest, Workspace

PLATFORM_LOCK = (
    0x9014  # the key of the advisory lock that stands for the workspace that the platform's policy does not have
)


def check_manifest(workspace_id: UUID | None, source: str) -> CompiledManifest:
    """Compile a manifest against the names that exist, or refuse with invalid_manifest and every error at its line."""
    names = policy_names(workspace_id)
    return compile_manifest(
        source,
        layer="workspace" if workspace_id else "platform",
        skills=names.skills,
        agents=names.agents,
        groups=names.groups,
    )


@transaction.atomic
def draft_manifest(workspace_id: UUID | None, source: str, *, by: Principal) -> PolicyManifest:
    """Store a new version as a draft; what does not compile is refused with invalid_manifest."""
    compiled = check_manifest(workspace_id, source)
    _lock_scope(workspace_id)
    last = PolicyManifest.objects.filter(workspace=workspace_id).aggregate(Max("version"))["version__max"] or 0
    manifest = PolicyManifest.objects.create(
        workspace_id=workspace_id,
        version=last + 1,
        source=source,
        compiled=compiled.as_json(),
        digest=compiled.digest,
        author=str(by),
        author_persons=sorted(persons_behind(by)),
        state=ManifestState.DRAFT,
    )
    born(manifest, by=by, because=f"version {manifest.version}", digest=manifest.digest)
    return manifest


@transaction.atomic
def submit_manifest(manifest_id: UUID, *, by: Principal, because: str) -> PolicyManifest:
    manifest = PolicyManifest.objects.select_for_update().get(pk=manifest_id)
    transition(manifest, "submit", by=by, because=because)
    return manifest


@transaction.atomic
def reject_manifest(manifest_id: UUID, *, by: Principal, because: str) -> PolicyManifest:
    """Turn a submitted version down; it stays to be read and copied."""
    manifest = PolicyManifest.objects.select_for_update().get(pk=manifest_id)
    transition(manifest, "reject", by=by, because=because)
    return manifest


@transaction.atomic
def activate_manifest(manifest_id: UUID, *, by: Principal, because: str) -> PolicyManifest:
    """Make a submitted version the active one and retire the one before; refuses with own_request for its author."""
    _lock_scope(PolicyManifest.objects.values_list("workspace_id", flat=True).get(pk=manifest_id))
    manifest = PolicyManifest.objects.select_for_update().get(pk=manifest_id)
    if persons_behind(by) & set(manifest.author_persons):
        raise Refused(
            "you wrote this version, so somebody else must activate it",
            code=Code.OWN_REQUEST,
            recovery="Ask another owner or admin of the workspace.",
        )
    for active in PolicyManifest.objects.select_for_update().filter(
        workspace=manifest.workspace_id, state=ManifestState.ACTIVE
    ):
        transition(active, "retire", by=by, because=f"version {manifest.version} takes its place: {because}")
    transition(
        manifest,
        "activate",
        by=by,
        because=because,
        activated_by=str(by),
        activated_because=because,
        activated_at=now(),
    )
    return manifest


def _lock_scope(workspace_id: UUID | None) -> None:
    """Lock what the policy belongs to before its versions are read: each of two at once would else not see the other's."""
    if workspace_id is None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [PLATFORM_LOCK])
    else:
        Workspace.objects.select_for_update(no_key=True).get(pk=workspace_id)
