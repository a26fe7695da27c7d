"""API keys: who comes with one, checked in constant time against its SHA-256."""

import hashlib
import hmac
from datetime import timedelta
from enum import StrEnum
from ipaddress import ip_address, ip_network

from django.utils.timezone import now

from audit.core.codes import Code
from audit.core.refusals import Refused
from gateway.models import ApiKey
from governance.people import Asker, asker_of, service_asker

USED_EVERY = timedelta(minutes=1)


class Scope(StrEnum):
    """What a key may be used for; `admin` is all of them."""

    TRIGGER_WRITE = "trigger:write"
    RUNS_READ = "runs:read"
    RUNS_WRITE = "runs:write"
    APPROVALS_READ = "approvals:read"
    APPROVALS_WRITE = "approvals:write"
    POLICY_READ = "policy:read"
    POLICY_WRITE = "policy:write"
    DEPLOY_READ = "deploy:read"
    DEPLOY_WRITE = "deploy:write"
    AUDIT_READ = "audit:read"
    ADMIN = "admin"


class KeyRefused(Refused):
    """The key is missing, unknown, expired, revoked, or used from where it may not be."""

    code = Code.UNAUTHORIZED
    recovery = "Send `Authorization: Bearer wk_…` with a key that is valid; an admin of the workspace can make one."


def authenticate(text: str, address: str) -> tuple[ApiKey, Asker]:
    """Return the key and who it acts as, or refuse with unauthorized; one sentence for all that is wrong with it."""
    parts = text.split("_", 2)
    if len(parts) != 3 or parts[0] != "wk":  # wk, prefix, secret
        raise KeyRefused("this is not an API key")
    key = ApiKey.objects.select_related("workspace", "user", "service__workspace").filter(prefix=parts[1]).first()
    # The digest is compared for unknown keys too, so that the time says nothing about which prefixes exist.
    known = key.digest if key else digest_of("")
    if not hmac.compare_digest(known, digest_of(parts[2])) or key is None:
        raise KeyRefused("this API key is not known")
    moment = now()
    if key.revoked_at is not None or (key.expires_at is not None and key.expires_at <= moment):
        raise KeyRefused("this API key is revoked or has expired")
    if key.networks and not any(ip_address(address) in ip_network(network) for network in key.networks):
        raise KeyRefused("this API key may not be used from here")
    via = f"api_key:{key.prefix}"
    asker = service_asker(key.service, via=via) if key.service else _person(key, via)
    if not asker.principal.persons:
        raise KeyRefused("nobody answers for the service account of this API key: it has no owners")
    if key.last_used_at is None or moment - key.last_used_at > USED_EVERY:
        ApiKey.objects.filter(pk=key.pk).update(last_used_at=moment)
    return key, asker


def _person(key: ApiKey, via: str) -> Asker:
    asker = asker_of(key.user, key.workspace, via=via) if key.user and key.user.is_active else None
    if asker is None:
        raise KeyRefused("the person that this API key belongs to may not come in any more")
    return asker


def digest_of(secret: str) -> str:
    """Return what is stored of a key's secret. It has 256 random bits, so a fast hash is enough."""
    return hashlib.sha256(secret.encode()).hexdigest()
