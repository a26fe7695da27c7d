"""Which connection a call goes out through: the workspace's one of the skill's service, or the one that its input names."""

from collections.abc import Collection, Iterable, Mapping
from functools import cache
from typing import Any
from uuid import UUID

from audit.core.canonical import digest
from gateway.connector import service_of
from gateway.core.states import ConnectionState
from gateway.models import Connection
from gateway.treasury.connections import ACCOUNT
from gateway.treasury.expanding import why_unusable
from governance.connections import ConnectionFact, Need, NoConnection


def resolve(
    workspace_id: UUID, skill: str, side_effect: str, value: Mapping[str, Any]
) -> ConnectionFact | NoConnection | None:
    """Return the connection for a call, why there is none, or None when the skill needs none (and nothing is asked)."""
    service = service_of(skill)
    if service is None:
        return None
    named = value.get("connection") if service.takes_account else ""
    account = named if isinstance(named, str) else ""
    need = Need(workspace_id, skill, service.name, account, "read" if side_effect == "read_only" else "write")
    found = _choose(need, _connections([need]), takes_account=service.takes_account)
    return found if isinstance(found, NoConnection) else _fact_of(found, need)


def lacking(needs: Collection[Need]) -> dict[Need, str]:
    """Return which of these needs have no connection now that may use its secrets, and why.

    It asks once for all, and once for each connection and skill among them.
    """
    rows = list(_connections(needs))
    unusable, takes_account = cache(why_unusable), cache(_takes_account)
    found = {}
    for need in needs:
        chosen = _choose(need, rows, takes_account=takes_account(need.skill))
        if isinstance(chosen, NoConnection):
            found[need] = "" if chosen.is_choice else chosen.because
        else:
            found[need] = unusable(chosen, need.skill)
    return {need: because for need, because in found.items() if because}


def _takes_account(skill: str) -> bool:
    service = service_of(skill)
    return service is not None and service.takes_account


def _connections(needs: Iterable[Need]) -> Iterable[Connection]:
    services, workspaces = {need.service for need in needs}, {need.workspace_id for need in needs}
    rows = Connection.objects.filter(workspace__in=workspaces, service__in=services)
    return rows.exclude(state=ConnectionState.DISCONNECTED).order_by("account")


def _fact_of(connection: Connection, need: Need) -> ConnectionFact:
    return ConnectionFact(
        str(connection.pk),
        connection.service,
        connection.account,
        connection.base_url,
        connection.access,
        digest(connection.settings),
        need,
    )


def _choose(need: Need, among: Iterable[Connection], *, takes_account: bool = True) -> Connection | NoConnection:
    """Return the one connection that meets a need, or why there is none."""
    rows = [row for row in among if (row.workspace_id, row.service) == (need.workspace_id, need.service)]
    working = [row for row in rows if row.state == ConnectionState.CONNECTED]
    fit = [row for row in working if need.access == "read" or row.access == "write"]
    if not need.account:
        if len(fit) == 1:
            return fit[0]
        if len(fit) > 1 and not takes_account:
            why = f"{need.service} is connected more than once ({_accounts(fit)}): disable all of these but one"
            return NoConnection(need, why)
        return NoConnection(need, _because(need.service, rows, working, fit), is_choice=len(fit) > 1)
    named = [row for row in fit if row.account == need.account]
    if named:
        return named[0]
    if any(row.account == need.account for row in rows):
        rows, working = ([row for row in each if row.account == need.account] for each in (rows, working))
        return NoConnection(need, _because(need.service, rows, working, []))
    because = f"{need.service} is not connected as {need.account[:64]}"
    if fit:
        return NoConnection(need, f"{because}, but as {_accounts(fit)}", is_choice=True)
    return NoConnection(need, because, is_choice=not ACCOUNT.fullmatch(need.account))


def _because(service: str, rows: list[Connection], working: list[Connection], fit: list[Connection]) -> str:
    if not rows:
        return f"{service} is not connected in this workspace"
    if not working:
        return f"{service} is connected, and disabled: {rows[0].disabled_because}"
    if not fit:
        return f"{service} is connected for reading only"
    return f"{service} is connected more than once: the input says which in `connection` ({_accounts(fit)})"


def _accounts(rows: Iterable[Connection]) -> str:
    return ", ".join(sorted(row.account for row in rows))
