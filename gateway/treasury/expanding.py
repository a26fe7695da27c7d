"""The only reader of secrets: fill the settings of a connection, at the moment its connector is called."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from fnmatch import fnmatchcase
from typing import Any
from uuid import UUID

from django.db.models import Q
from django.utils.timezone import now as clock

from audit.core.codes import Code
from audit.core.ids import parse_id
from audit.core.refusals import Refused
from gateway.connector import UsedConnection
from gateway.core.placeholders import filled, forms_of, names_in
from gateway.core.states import ConnectionState, GrantState, VersionState
from gateway.models import Connection, Grant, Secret, SecretVersion
from gateway.treasury.sealing import unseal

USED_EVERY = timedelta(minutes=1)
# What an upstream may refuse while a rotation is under way: the newest first, then the one that still overlaps.
MOST_TURNS = 2


class SecretRefused(Refused):
    """A connection could not be filled. Codes: no_connection, no_grant, revoked, unknown_secret."""

    code = Code.NO_GRANT


@dataclass(frozen=True, slots=True)
class Expansion:
    """A connection ready to be used: with the newest values first, then with those that still overlap.

    `secrets` is everything that must be masked in whatever comes back. Nothing of it is shown by `repr`.
    """

    turns: tuple[UsedConnection, ...] = field(repr=False)
    secrets: frozenset[str] = field(repr=False)


def expand(connection_id: str | UUID, skill: str, workspace_id: UUID) -> Expansion:
    """Open the secrets that a connection names, for a skill that they are granted for; outside any transaction.

    Refuses before anything goes out: no_connection (it is not connected, or not this workspace's), no_grant,
    revoked, unknown_secret.
    """
    connection = Connection.objects.filter(
        pk=parse_id(connection_id), workspace=workspace_id, state=ConnectionState.CONNECTED
    ).first()
    if connection is None:
        raise SecretRefused("the connection is not connected any more", code=Code.NO_CONNECTION)
    versions = {name: _versions(connection, name, skill) for name in names_in(connection.settings)}
    values = {name: [unseal(version) for version in found] for name, found in versions.items()}
    moment = clock()
    if connection.last_used_at is None or moment - connection.last_used_at > USED_EVERY:
        Connection.objects.filter(pk=connection.pk).update(last_used_at=moment)
    masked = frozenset(form for found in values.values() for value in found for form in forms_of(value))
    return Expansion(tuple(_turns(connection, values)), masked)


def why_unusable(connection: Connection, skill: str) -> str:
    """Say why a connection may not use a secret that its settings name, for a skill, or nothing; no value is opened."""
    try:
        for name in names_in(connection.settings):
            _secret(connection, name, skill)
    except SecretRefused as refusal:
        return str(refusal)
    return ""


def _turns(connection: Connection, values: Mapping[str, list[str]]) -> Iterator[UsedConnection]:
    longest = max((len(found) for found in values.values()), default=1)
    for turn in range(min(longest, MOST_TURNS)):
        chosen = {name: found[min(turn, len(found) - 1)] for name, found in values.items()}
        yield UsedConnection(
            connection.service, connection.account, connection.base_url, connection.access,
            _filled(connection.settings, chosen),
        )  # fmt: skip


def _filled(settings: Mapping[str, Any], chosen: Mapping[str, str]) -> dict[str, Any]:
    made: dict[str, Any] = filled(dict(settings), chosen)
    return made


def _secret(connection: Connection, name: str, skill: str) -> Secret:
    """Return a secret that a connection may use for a skill; refuses with unknown_secret, revoked, no_grant."""
    secrets = list(Secret.objects.filter(workspace=connection.workspace_id, name=name).order_by("-created_at"))
    if not secrets:
        raise SecretRefused(
            f"{connection} names a secret {name} that does not exist", code=Code.UNKNOWN_SECRET,
            recovery="An admin or owner of the workspace can put it.",
        )  # fmt: skip
    secret = next((each for each in secrets if each.revoked_at is None), None)
    if secret is None:
        raise SecretRefused(
            f"the secret {name} of {connection} is revoked", code=Code.REVOKED,
            recovery="An admin or owner of the workspace can put it anew, and grant it.",
        )  # fmt: skip
    grants = Grant.objects.filter(Q(connection=connection) | ~Q(skill=""), secret=secret, state=GrantState.GIVEN)
    if not any(grant.connection_id or fnmatchcase(skill, grant.skill) for grant in grants):
        raise SecretRefused(
            f"the secret {name} is granted neither to {connection} nor to {skill}", code=Code.NO_GRANT,
            recovery="An admin or owner of the workspace can grant it.",
        )  # fmt: skip
    return secret


def _versions(connection: Connection, name: str, skill: str) -> list[SecretVersion]:
    """Return the versions of a secret that may be used now, the active one first."""
    secret = _secret(connection, name, skill)
    usable = Q(state=VersionState.ACTIVE) | Q(state=VersionState.OVERLAPPING, overlap_until__gt=clock())
    return list(secret.versions.filter(usable).order_by("-number"))
