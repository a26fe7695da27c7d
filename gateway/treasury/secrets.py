"""What people do with secrets: put, rotate, revoke, and say what may use them. Nothing here gives a value back."""

import re
from collections.abc import Iterable
from datetime import timedelta
from fnmatch import fnmatchcase
from uuid import UUID

from django.db import transaction
from django.utils.timezone import now as clock

from audit.core.codes import Code
from audit.core.refusals import Refused
from audit.ledger import record
from audit.principals import SYSTEM, Principal
from audit.transition import born, transition
from gateway.core.placeholders import LONGEST, NAME, SHORTEST, forms_of
from gateway.core.states import READABLE_VERSION, ConnectionState, GrantState, VersionState
from gateway.models import Connection, Grant, Secret, SecretVersion
from gateway.treasury.authority import demand_manager
from gateway.treasury.impact import Impact, impact_of
from gateway.treasury.sealing import seal
from governance.models import Skill, Workspace

OVERLAP, LONGEST_OVERLAP = timedelta(hours=24), timedelta(days=30)
# The connector is named in full: what is granted to everything is granted to what will be installed tomorrow.
SKILL_GLOB = re.compile(r"[a-z][a-z0-9_]*\.[a-z0-9_]*\*?[a-z0-9_]*")


@transaction.atomic
def put_secret(
    workspace: Workspace, name: str, value: str, *, by: Principal, because: str, description: str = ""
) -> Secret:
    """Keep a value under a new name. That something may use it is another decision: `give_grant`.

    Refuses with invalid a bad name, one that is taken, or a value that stands in what is written down.
    """
    demand_manager(workspace, by, because)
    if not NAME.fullmatch(name):
        raise Refused(
            "a secret's name is 1 to 64 small letters, digits, `_`, `.` and `-`, a letter first", code=Code.INVALID
        )
    _demand_value(value, name, description, because)
    if Secret.objects.filter(workspace=workspace, name=name, revoked_at=None).exists():
        raise Refused(
            f"there is a secret {name} already", code=Code.INVALID, recovery="Rotate it, or take another name."
        )
    secret = Secret.objects.create(workspace=workspace, name=name, description=description.strip(), created_by=str(by))
    record("secret.put", secret, by=by, because=because)
    _store(secret, 1, value, by=by, because=because)
    return secret


@transaction.atomic
def rotate_secret(secret_id: UUID, value: str, *, by: Principal, because: str, overlap: timedelta = OVERLAP) -> Impact:
    """Put a new version in force and return what depends on the secret; the one before works until `overlap` is over."""
    secret = _locked(secret_id, by, because)
    _demand_value(value, secret.name, secret.description, because)
    if not timedelta(0) <= overlap <= LONGEST_OVERLAP:
        raise Refused(f"an overlap lasts at most {LONGEST_OVERLAP.days} days", code=Code.INVALID)
    before = secret.versions.select_for_update().filter(state=VersionState.ACTIVE).first()
    # Only two values are ever in use: what still overlaps from an earlier rotation ends now.
    _retire(secret.versions.select_for_update().filter(state=VersionState.OVERLAPPING), by, because)
    if before is not None:
        transition(before, "supersede", by=by, because=because, overlap_until=clock() + overlap)
        if not overlap:
            _retire([before], by, because)
    number = (secret.versions.order_by("-number").values_list("number", flat=True).first() or 0) + 1
    _store(secret, number, value, by=by, because=because)
    impact = impact_of(secret)
    record("secret.rotate", secret, by=by, because=because, version=number, overlap_s=overlap, depends=impact.as_json())
    return impact


@transaction.atomic
def revoke_secret(secret_id: UUID, *, by: Principal, because: str) -> Impact:
    """Erase every value of a secret at once, for good, and return what stops working. Revoking twice changes nothing."""
    secret = _locked(secret_id, by, because, revoked_too=True)
    impact = impact_of(secret)
    if secret.revoked_at is not None:
        return impact
    for version in secret.versions.select_for_update().filter(state__in=READABLE_VERSION):
        transition(version, "revoke", by=by, because=because, ciphertext=None, wrapped_with="")
    secret.revoked_at, secret.revoked_by, secret.revoked_because = clock(), str(by), because
    secret.save(update_fields=["revoked_at", "revoked_by", "revoked_because"])
    record("secret.revoke", secret, by=by, because=because, stops=impact.as_json())
    return impact


@transaction.atomic
def give_grant(
    secret_id: UUID, *, by: Principal, because: str, connection_id: UUID | None = None, skill: str = ""
) -> Grant:
    """Let one connection, or the skills of a glob such as `github.*`, use a secret. Giving twice gives once.

    Refuses with invalid what names neither or both, or a glob that no skill has; with not_found a foreign connection.
    """
    secret = _locked(secret_id, by, because)
    skill = skill.strip()
    if (connection_id is None) == (not skill):
        raise Refused("a grant is for one connection, or for skills", code=Code.INVALID)
    connection = None
    if connection_id is not None:
        connection = (
            Connection.objects.filter(pk=connection_id, workspace=secret.workspace_id)
            .exclude(state=ConnectionState.DISCONNECTED)
            .first()
        )
        if connection is None:
            raise Refused("there is no such connection", code=Code.NOT_FOUND)
    elif not SKILL_GLOB.fullmatch(skill) or not _names_a_skill(skill):
        raise Refused(
            f"{skill[:96]!r} names no skill",
            code=Code.INVALID,
            recovery="Name a skill, or those of one connector: github.get_issue, github.*",
        )
    there = Grant.objects.filter(secret=secret, connection=connection, skill=skill, state=GrantState.GIVEN).first()
    if there is not None:
        return there
    grant = Grant.objects.create(
        workspace=secret.workspace,
        secret=secret,
        connection=connection,
        skill=skill,
        given_by=str(by),
        state=GrantState.GIVEN,
    )
    born(grant, by=by, because=because, secret=secret.name, to=str(connection or skill))
    return grant


@transaction.atomic
def withdraw_grant(grant_id: UUID, *, by: Principal, because: str) -> Grant:
    """Take a grant back, from the next call on; refuses with transition_refused what was taken back already."""
    grant = (
        Grant.objects.select_for_update(of=("self",))
        .select_related("secret", "workspace", "connection")
        .get(pk=grant_id)
    )
    demand_manager(grant.workspace, by, because)
    transition(grant, "withdraw", by=by, because=because)
    return grant


@transaction.atomic
def retire_overlaps() -> int:
    """Erase the older versions whose overlap is over; return how many. They do not work any more before that, either."""
    due = SecretVersion.objects.select_for_update(skip_locked=True).filter(
        state=VersionState.OVERLAPPING, overlap_until__lte=clock()
    )
    return _retire(due[:100], SYSTEM, "its overlap is over")


def _retire(versions: Iterable[SecretVersion], by: Principal, because: str) -> int:
    found = list(versions)
    for version in found:
        transition(version, "retire", by=by, because=because, ciphertext=None, wrapped_with="")
    return len(found)


def _store(secret: Secret, number: int, value: str, *, by: Principal, because: str) -> SecretVersion:
    version = SecretVersion(
        workspace=secret.workspace, secret=secret, number=number, created_by=str(by), state=VersionState.ACTIVE
    )
    seal(version, value)
    version.save(force_insert=True)
    born(version, by=by, because=because, number=number)
    return version


def _locked(secret_id: UUID, by: Principal, because: str, *, revoked_too: bool = False) -> Secret:
    """Lock a secret: whoever changes it, or what may use it, takes their turn here."""
    secret = Secret.objects.select_for_update(of=("self",)).select_related("workspace").get(pk=secret_id)
    demand_manager(secret.workspace, by, because)
    if secret.revoked_at is not None and not revoked_too:
        raise Refused(f"the secret {secret.name} is revoked", code=Code.REVOKED, recovery="Put it anew.")
    return secret


def _demand_value(value: str, *written: str) -> None:
    if not len(value.strip()) >= SHORTEST or len(value.encode("utf-8", "surrogatepass")) > LONGEST or "\x00" in value:
        raise Refused(
            f"a value has at least {SHORTEST} characters and at most {LONGEST:,} bytes, and no NUL", code=Code.INVALID
        )
    try:
        value.encode()
    except UnicodeEncodeError:
        raise Refused("a value is text", code=Code.INVALID) from None
    # What is written down is kept for ever, and read by many.
    if any(form in text for form in forms_of(value) if len(form) >= SHORTEST for text in written):
        raise Refused("the value itself stands in what would be written down", code=Code.INVALID)


def _names_a_skill(glob: str) -> bool:
    return any(fnmatchcase(name, glob) for name in Skill.objects.values_list("name", flat=True))
