"""Connections and secrets in the console, and the buttons of who manages them. No value is ever shown."""

from datetime import timedelta
from typing import Any
from uuid import UUID

from django.contrib import admin
from django.http import HttpRequest

from audit.core.codes import Code
from audit.core.ids import parse_id
from audit.core.refusals import Refused
from audit.principals import Principal
from audit.screens import Button, DecisionAdmin
from gateway.models import Connection, Secret
from gateway.treasury import connections, secrets
from gateway.treasury.queries import connections_visible_to, secrets_visible_to
from governance.core.permissions import Verb
from governance.people import asker_in_session, asker_of

LONGEST_HOURS = 24 * 30


def may_manage(user: Any, row: Connection | Secret) -> bool:
    """Say whether a person may change a connection or secret: owners and admins of its workspace."""
    asker = asker_of(user, row.workspace)
    return asker is not None and asker.may(Verb.MANAGE_CONNECTIONS)


def may_use(user: Any, secret: Secret) -> bool:
    """Say whether a person may change a secret that is not revoked."""
    return secret.revoked_at is None and may_manage(user, secret)


def disable(connection: Connection, *, by: Principal, because: str) -> str:
    """Disable a connection."""
    connections.disable(connection.pk, by=by, because=because)
    return f"{connection} is disabled: no call goes out through it, also none that people agreed to."


def enable(connection: Connection, *, by: Principal, because: str) -> str:
    """Let a connection work again."""
    connections.enable(connection.pk, by=by, because=because)
    return f"{connection} works again."


def disconnect(connection: Connection, *, by: Principal, because: str) -> str:
    """End a connection."""
    connections.disconnect(connection.pk, by=by, because=because)
    return f"{connection} is disconnected, and what was granted to it is taken back."


def rotate(secret: Secret, *, by: Principal, because: str, value: str, hours: str) -> str:
    """Put a new value in force, with an overlap in hours."""
    if not (hours.isascii() and hours.isdecimal() and len(hours) < 5 and int(hours) <= LONGEST_HOURS):
        raise Refused(f"an overlap is a number of hours, 0 to {LONGEST_HOURS}", code=Code.INVALID)
    impact = secrets.rotate_secret(
        secret.pk, value.replace("\r\n", "\n"), by=by, because=because, overlap=timedelta(hours=int(hours))
    )
    return f"{secret} is rotated. {impact.sentence('The new value is used by')}"


def revoke(secret: Secret, *, by: Principal, because: str) -> str:
    """Revoke a secret for good."""
    impact = secrets.revoke_secret(secret.pk, by=by, because=because)
    return f"{secret} is revoked and erased. {impact.sentence('Stopped working')}"


def grant(secret: Secret, *, by: Principal, because: str, connection: str, skill: str) -> str:
    """Let a connection or skills use a secret."""
    named: UUID | None = parse_id(connection) if connection else None
    given = secrets.give_grant(secret.pk, connection_id=named, skill=skill, by=by, because=because)
    return f"Granted: {given}."


def ungrant(secret: Secret, *, by: Principal, because: str, grant_id: str) -> str:
    """Take a grant of this secret back."""
    found = secret.grants.filter(pk=parse_id(grant_id)).first()
    if found is None:
        raise Refused("there is no such grant", code=Code.NOT_FOUND)
    secrets.withdraw_grant(found.pk, by=by, because=because)
    return f"Taken back: {found}."


@admin.register(Connection)
class ConnectionAdmin(DecisionAdmin):
    """A connection; all of them stand on one page."""

    visible_to = staticmethod(lambda request: connections_visible_to(asker_in_session(request)))
    list_page = "worka/pages/connections.html"
    buttons = (
        Button(
            "disable", "Disable", disable, may_manage, icon="paused", tone="danger",
            consequence="From the next call on. A yes that people gave for a call through it is void.",
        ),
        Button("enable", "Enable", enable, may_manage, icon="check", tone="primary", consequence="Calls may go out again."),
        Button(
            "disconnect", "Disconnect", disconnect, may_manage, icon="cancelled", tone="danger",
            consequence="For good. What was granted to it is taken back; connecting again makes another connection.",
        ),
    )  # fmt: skip


def _managed(request: HttpRequest) -> Any:
    asker = asker_in_session(request)
    asker.must(Verb.MANAGE_CONNECTIONS)
    return secrets_visible_to(asker)


@admin.register(Secret)
class SecretAdmin(DecisionAdmin):
    """A secret: its versions, what may use it and what depends on it."""

    visible_to = staticmethod(_managed)
    list_page = "worka/pages/secrets.html"
    row_page = "worka/pages/secret.html"
    buttons = (
        Button("rotate", "Rotate", rotate, may_use, icon="rerun", fields=("value", "hours")),
        Button("grant", "Grant", grant, may_use, icon="allow", fields=("connection", "skill")),
        Button("ungrant", "Take back", ungrant, may_use, icon="cancelled", fields=("grant_id",)),
        Button(
            "revoke", "Revoke", revoke, may_use, icon="refused", tone="danger",
            consequence="At once and for good: every value is erased.",
        ),
    )  # fmt: skip

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> Any:
        """Show the list to who manages secrets."""
        _managed(request)
        return super().changelist_view(request, extra_context)
