"""What people may see of the treasury: connections all of the workspace, secrets only who manages them; values nobody."""

from django.db.models import Prefetch, QuerySet

from gateway.core.states import ConnectionState, GrantState
from gateway.models import Connection, Grant, Secret, SecretVersion
from governance.core.permissions import Verb
from governance.people import Asker


def connections_visible_to(asker: Asker) -> QuerySet[Connection]:
    """Return the workspace's connections, without those that were ended."""
    rows = Connection.objects.filter(workspace=asker.workspace_id)
    return rows.exclude(state=ConnectionState.DISCONNECTED).select_related("workspace")


def secrets_visible_to(asker: Asker) -> QuerySet[Secret]:
    """Return the workspace's secrets with their versions (no ciphertext) and grants, for who manages them."""
    rows = (
        Secret.objects.filter(workspace=asker.workspace_id)
        if asker.may(Verb.MANAGE_CONNECTIONS)
        else Secret.objects.none()
    )
    given = Grant.objects.filter(state=GrantState.GIVEN).select_related("connection", "secret")
    return rows.select_related("workspace").prefetch_related(
        Prefetch("versions", SecretVersion.objects.defer("ciphertext")), Prefetch("grants", given)
    )


def secret_named(asker: Asker, name: str) -> Secret | None:
    """Return the secret that has this name now."""
    return secrets_visible_to(asker).filter(name=name, revoked_at=None).first()
