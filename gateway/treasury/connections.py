"""What people do with connections: connect, disable, enable, disconnect."""

import re
from collections.abc import Mapping
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from django.db import transaction

from audit.core.canonical import NotCanonical, canonical
from audit.core.codes import Code
from audit.core.refusals import Fault, Refused
from audit.principals import Principal
from audit.transition import born, transition
from gateway.connector import Service, all_services
from gateway.core.placeholders import misplaced, names_in
from gateway.core.states import ConnectionState
from gateway.models import Connection
from gateway.treasury.authority import demand_manager
from governance.core.schemas import compiled
from governance.models import Workspace

ACCOUNT = re.compile(r"[A-Za-z0-9][A-Za-z0-9 _.@\-]{0,63}")
ACCESS = ("read", "write")
LONGEST_SETTINGS = 16_384


@transaction.atomic
def connect(
    workspace: Workspace,
    service: str,
    account: str,
    *,
    by: Principal,
    because: str,
    settings: Mapping[str, Any],
    access: str = "read",
    base_url: str = "",
) -> Connection:
    """Make a connection to an account of a service. The secrets that its settings name are granted to it separately.

    Refuses with invalid, naming every fault: an unknown service, a bad address, settings that do not fit the service's
    schema, a secret in clear.
    """
    demand_manager(workspace, by, because)
    known = all_services().get(service)
    if known is None:
        names = ", ".join(sorted(all_services()))
        raise Refused(f"there is no service {service[:48]!r}", code=Code.INVALID, recovery=f"Services: {names}")
    given = base_url.strip()
    base_url = known.base_url if given in ("", known.base_url) else given.rstrip("/")
    if known.is_one_place and base_url != known.base_url:
        fault = Fault("/base_url", "invalid", f"{service} is at {known.base_url} and nowhere else")
        raise Refused("the connection does not fit", code=Code.INVALID, faults=[fault])
    if faults := [*_faults_of(account, access, base_url), *_faults_in(settings, known)]:
        raise Refused("the connection does not fit", code=Code.INVALID, faults=faults)
    taken = Connection.objects.filter(workspace=workspace, service=service, account=account)
    if taken.exclude(state=ConnectionState.DISCONNECTED).exists():
        raise Refused(
            f"{service} is connected as {account} already",
            code=Code.INVALID,
            recovery="Disconnect that one first, or name the account differently.",
        )
    connection = Connection.objects.create(
        workspace=workspace,
        service=service,
        account=account,
        base_url=base_url,
        access=access,
        settings=dict(settings),
        connected_by=str(by),
        state=ConnectionState.CONNECTED,
    )
    born(connection, by=by, because=because, service=service, account=account, base_url=base_url, access=access,
         secrets=names_in(connection.settings))  # fmt: skip
    return connection


@transaction.atomic
def disable(connection_id: UUID, *, by: Principal, because: str) -> Connection:
    """Stop a connection from the next call on; calls that people agreed to are not performed through it."""
    connection = _locked(connection_id, by, because)
    transition(connection, "disable", by=by, because=because, disabled_by=str(by), disabled_because=because)
    return connection


@transaction.atomic
def enable(connection_id: UUID, *, by: Principal, because: str) -> Connection:
    """Let a disabled connection work again."""
    connection = _locked(connection_id, by, because)
    transition(connection, "enable", by=by, because=because, disabled_by="", disabled_because="")
    return connection


@transaction.atomic
def disconnect(connection_id: UUID, *, by: Principal, because: str) -> Connection:
    """End a connection for good, and take back what was granted to it."""
    connection = _locked(connection_id, by, because)
    transition(connection, "disconnect", by=by, because=because)
    for grant in connection.grants.select_related("secret", "connection").filter(state="given"):
        transition(grant, "withdraw", by=by, because=because)
    return connection


def _locked(connection_id: UUID, by: Principal, because: str) -> Connection:
    connection = Connection.objects.select_for_update(of=("self",)).select_related("workspace").get(pk=connection_id)
    demand_manager(connection.workspace, by, because)
    return connection


def _faults_of(account: str, access: str, base_url: str) -> list[Fault]:
    faults = []
    if not ACCOUNT.fullmatch(account):
        faults.append(Fault("/account", "invalid", "an account has 1 to 64 letters, digits, blanks and `_.@-`"))
    if access not in ACCESS:
        faults.append(Fault("/access", "invalid", "access is `read` or `write`"))
    if why := why_not_base(base_url):
        faults.append(Fault("/base_url", "invalid", why))
    return faults


def why_not_base(url: str) -> str:
    """Say why a text is no address of a service, or nothing: https, or http on this machine; no password, no query."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        return "this is no address"
    if len(url) > 255 or not url.isascii() or not url.isprintable() or " " in url or "\\" in url or "{{" in url:
        return "this is no address"
    if parts.username or parts.password or parts.query or parts.fragment or not host:
        return "an address has a host, and no user, password, query or fragment"
    if parts.scheme != "https" and not (parts.scheme == "http" and _is_loopback(host)):
        return "an address begins with https://"
    return ""


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _faults_in(settings: Mapping[str, Any], service: Service) -> list[Fault]:
    try:
        size = len(canonical(dict(settings)))
    except NotCanonical as error:
        return [Fault("/settings", "invalid", f"the settings have no canonical form: {error}")]
    if size > LONGEST_SETTINGS:
        return [Fault("/settings", "invalid", f"settings have at most {LONGEST_SETTINGS:,} bytes")]
    # First: a schema's sentence could quote a secret that stands in clear.
    if clear := misplaced(settings):
        return [Fault(f"/settings{pointer}", "invalid", sentence) for pointer, sentence in clear]
    return list(compiled(service.settings_schema).faults(dict(settings), at="/settings", code="invalid"))
