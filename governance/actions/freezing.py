"""Stop new work at the next decision: freeze a workspace, disable an agent or a skill."""

from uuid import UUID

from django.db import transaction
from django.utils.timezone import now

from audit.core.codes import Code
from audit.core.refusals import Refused
from audit.ledger import record
from audit.principals import Principal
from governance.models import Agent, Skill, Workspace


@transaction.atomic
def freeze_workspace(workspace_id: UUID, *, by: Principal, because: str) -> Workspace:
    """Freeze a workspace: what runs may finish, nothing new is allowed. Freezing twice keeps the first reason."""
    workspace = Workspace.objects.select_for_update().get(pk=workspace_id)
    _demand_reason(because)
    if workspace.frozen_at is None:
        workspace.frozen_at, workspace.frozen_by, workspace.frozen_because = now(), str(by), because
        workspace.save(update_fields=["frozen_at", "frozen_by", "frozen_because"])
        record("workspace.freeze", workspace, by=by, because=because)
    return workspace


@transaction.atomic
def thaw_workspace(workspace_id: UUID, *, by: Principal, because: str) -> Workspace:
    """End a freeze; suspended steps that wait for it go on by themselves."""
    workspace = Workspace.objects.select_for_update().get(pk=workspace_id)
    _demand_reason(because)
    if workspace.frozen_at is not None:
        workspace.frozen_at, workspace.frozen_by, workspace.frozen_because = None, "", ""
        workspace.save(update_fields=["frozen_at", "frozen_by", "frozen_because"])
        record("workspace.thaw", workspace, by=by, because=because)
    return workspace


@transaction.atomic
def disable(thing: Agent | Skill, *, by: Principal, because: str) -> Agent | Skill:
    """Disable an agent or a skill everywhere, from the next decision on."""
    _demand_reason(because)
    locked = type(thing)._base_manager.select_for_update().get(pk=thing.pk)
    if locked.enabled:
        locked.enabled, locked.disabled_at, locked.disabled_by, locked.disabled_because = False, now(), str(by), because
        locked.save(update_fields=["enabled", "disabled_at", "disabled_by", "disabled_because"])
        record(f"{type(thing).__name__.lower()}.disable", locked, by=by, because=because)
    return locked


@transaction.atomic
def enable(thing: Agent | Skill, *, by: Principal, because: str) -> Agent | Skill:
    """Let an agent or a skill work again."""
    _demand_reason(because)
    locked = type(thing)._base_manager.select_for_update().get(pk=thing.pk)
    if not locked.enabled:
        locked.enabled, locked.disabled_at, locked.disabled_by, locked.disabled_because = True, None, "", ""
        locked.save(update_fields=["enabled", "disabled_at", "disabled_by", "disabled_because"])
        record(f"{type(thing).__name__.lower()}.enable", locked, by=by, because=because)
    return locked


def _demand_reason(because: str) -> None:
    if not because.strip():
        raise Refused("say why", code=Code.INVALID, recovery="Send a reason in `because`.")
