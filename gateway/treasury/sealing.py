"""Encrypt the values of secrets, each bound to its row, and encrypt them again when keys are replaced."""

from django.db import transaction

from audit.keys import ring
from gateway.core.states import READABLE_VERSION
from gateway.models import SecretVersion


def seal(version: SecretVersion, value: str) -> None:
    """Put a value into a version, encrypted; the row is not saved."""
    keys = ring()
    version.ciphertext = keys.encrypt(value.encode(), _aad(version))
    version.wrapped_with = keys.active_kid("encryption")


def unseal(version: SecretVersion) -> str:
    """Return the value of a version. `gateway.treasury.expanding` is the only one that asks."""
    return ring().decrypt(bytes(version.ciphertext or b""), _aad(version)).decode()


@transaction.atomic
def rewrap_secrets(batch: int = 500) -> int:
    """Encrypt up to `batch` versions with the active key; return how many were encrypted with an older one.

    What somebody revokes meanwhile waits for its turn here, so that nothing comes back that was erased.
    """
    keys = ring()
    active = keys.active_kid("encryption")
    stale = list(
        SecretVersion.objects.select_for_update()
        .filter(state__in=READABLE_VERSION)
        .exclude(wrapped_with=active)
        .order_by("pk")[:batch]
    )
    for row in stale:
        row.ciphertext = keys.encrypt(keys.decrypt(bytes(row.ciphertext or b""), _aad(row)), _aad(row))
        row.wrapped_with = active
    SecretVersion.objects.bulk_update(stale, ["ciphertext", "wrapped_with"])
    return len(stale)


def _aad(version: SecretVersion) -> bytes:
    return f"gateway.secretversion:{version.pk}:{version.workspace_id}:{version.secret_id}:ciphertext".encode()
