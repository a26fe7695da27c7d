"""Make and revoke API keys."""

import secrets
from collections.abc import Iterable, Sequence
from datetime import datetime
from ipaddress import ip_network
from typing import Any
from uuid import UUID

from django.db import transaction
from django.utils.timezone import now

from audit.core.codes import Code
from audit.core.refusals import Refused
from audit.ledger import record
from audit.principals import Principal
from gateway.keys import Scope, digest_of
from gateway.models import ApiKey
from governance.models import ServiceAccount, Workspace

SHORTEST_SECRET = 32


@transaction.atomic
def create_key(
    workspace: Workspace,
    *,
    by: Principal,
    label: str,
    scopes: Iterable[Scope],
    user: Any = None,
    service: ServiceAccount | None = None,
    expires_at: datetime | None = None,
    networks: Sequence[str] = (),
    text: str = "",
) -> tuple[ApiKey, str]:
    """Make a key and return it with its text, which is stored nowhere; `text` is given for one that is known already."""
    text = text or f"wk_{secrets.token_hex(5)}_{secrets.token_urlsafe(32)}"
    mark, prefix, secret = text.split("_", 2)
    if mark != "wk" or not prefix or len(secret) < SHORTEST_SECRET:
        raise Refused("a key reads wk_<prefix>_<secret>, with a long secret", code=Code.INVALID)
    key = ApiKey.objects.create(
        workspace=workspace,
        user=user,
        service=service,
        label=label,
        prefix=prefix,
        digest=digest_of(secret),
        scopes=sorted(str(Scope(scope)) for scope in scopes),
        expires_at=expires_at,
        networks=[str(ip_network(network)) for network in networks],
    )
    record("api_key.create", key, by=by, because=label, scopes=key.scopes, of=str(user or service))
    return key, text


@transaction.atomic
def revoke_key(key_id: UUID, *, by: Principal, because: str) -> ApiKey:
    """Revoke a key at once; revoking twice keeps the first time."""
    key = ApiKey.objects.select_for_update().get(pk=key_id)
    if key.revoked_at is None:
        key.revoked_at, key.revoked_by = now(), str(by)
        key.save(update_fields=["revoked_at", "revoked_by"])
        record("api_key.revoke", key, by=by, because=because)
    return key


def seed_api_key(workspace: Workspace, user: Any, text: str, *, by: Principal, because: str) -> ApiKey:
    """Make the first key of a person, with everything that their role lets them use it for."""
    key, _ = create_key(workspace, by=by, label=because, scopes=[Scope.ADMIN], user=user, text=text)
    return key
