"""Which connection a call goes out through: the workspace's one of the skill's service, or the one that its input names."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from audit.core.canonical import digest
from gateway.connector import service_of
from gateway.core.states import ConnectionState
from gateway.models import Connection
from governance.connections import ConnectionFact, NoConnection


def resolve(
    workspace_id: UUID, skill: str, side_effect: str, value: Mapping[str, Any]
) -> ConnectionFact | NoConnection | None:
    """Return the connection for a call, why there is none, or None when the skill needs none (and nothing is asked)."""
    service = service_of(skill)
    if service is None:
        return None
    rows = list(
        Connection.objects.filter(workspace=workspace_id, service=service.name).exclude(
            state=ConnectionState.DISCONNECTED
        )
    )
    named = value.get("connection")
    if isinstance(named, str) and named:
        rows = [row for row in rows if row.account == named]
        if not rows:
            return NoConnection(service.name, f"{service.name} is not connected as {named[:64]}")
    working = [row for row in rows if row.state == ConnectionState.CONNECTED]
    fit = [row for row in working if side_effect == "read_only" or row.access == "write"]
    if len(fit) == 1:
        return fact_of(fit[0])
    return NoConnection(service.name, _because(service.name, rows, working, fit))


def fact_of(connection: Connection) -> ConnectionFact:
    """Return a connection as a value."""
    return ConnectionFact(
        str(connection.pk),
        connection.service,
        connection.account,
        connection.base_url,
        connection.access,
        digest(connection.settings),
    )


def _because(service: str, rows: list[Connection], working: list[Connection], fit: list[Connection]) -> str:
    if not rows:
        return f"{service} is not connected in this workspace"
    if not working:
        return f"{service} is connected, and disabled: {rows[0].disabled_because}"
    if not fit:
        return f"{service} is connected for reading only"
    names = ", ".join(sorted(row.account for row in fit))
    return f"{service} is connected more than once: the input says which in `connection` ({names})"
