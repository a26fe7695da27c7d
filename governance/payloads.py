"""Keep exact payloads encrypted, each bound to the row and the field it belongs to."""

from functools import lru_cache
from typing import Any
from uuid import UUID

from django.db.models import Model

from audit.core.canonical import canonical, parse
from audit.core.ids import uuid7
from audit.keys import keep_encryption_keys, new_data_key, open_with, ring, seal_with
from audit.rows import insert
from governance.models import DataKey, EncryptedPayload, Run

CACHED_KEYS = 2048


def create_data_key(run: Run) -> DataKey:
    """Make the run's data key and store it wrapped by the key ring, in a transaction of the caller's."""
    keep_encryption_keys()
    keys = ring()
    row = DataKey(workspace_id=run.workspace_id, run=run, wrapped_with=keys.active_kid("encryption"))
    row.wrapped = keys.encrypt(new_data_key(), _key_aad(row.pk))
    row.save(force_insert=True)
    return row


def seal_value(run_id: UUID, row: Model, field: str, value: Any) -> bytes:
    """Return the canonical form of `value` encrypted for one field of one row."""
    return seal_with(_data_key(run_id), canonical(value), _aad(row, field))


def open_value(run_id: UUID, row: Model, field: str) -> Any:
    """Return what `seal_value` put into the field, None when it is empty."""
    blob = getattr(row, field)
    return None if blob is None else parse(open_with(_data_key(run_id), bytes(blob), _aad(row, field)))


def keep(workspace_id: UUID, run_id: UUID, kind: str, content: bytes, digest: str) -> EncryptedPayload:
    """Store bytes that will never change; `digest` is theirs, or that of the value they are the form of."""
    row = EncryptedPayload(
        id=uuid7(), workspace_id=workspace_id, run_id=run_id, kind=kind, digest=digest, size=len(content)
    )
    row.blob = seal_with(_data_key(run_id), content, _aad(row, "blob"))
    insert(row)
    return row


def content_of(payload: EncryptedPayload) -> bytes:
    """Return the bytes that `keep` stored."""
    return open_with(_data_key(payload.run_id), bytes(payload.blob), _aad(payload, "blob"))


def value_of(payload: EncryptedPayload) -> Any:
    """Return the JSON value whose canonical form `keep` stored."""
    return parse(content_of(payload))


def rewrap_data_keys(batch: int = 500) -> int:
    """Wrap up to `batch` data keys with the active key; return how many were wrapped with an older one."""
    keys = ring()
    stale = list(DataKey.objects.exclude(wrapped_with=keys.active_kid("encryption"))[:batch])
    for row in stale:
        row.wrapped = keys.encrypt(keys.decrypt(bytes(row.wrapped), _key_aad(row.pk)), _key_aad(row.pk))
        row.wrapped_with = keys.active_kid("encryption")
    DataKey.objects.bulk_update(stale, ["wrapped", "wrapped_with"])
    return len(stale)


@lru_cache(maxsize=CACHED_KEYS)
def _data_key(run_id: UUID) -> bytes:
    row = DataKey.objects.only("pk", "wrapped").get(run_id=run_id)
    return ring().decrypt(bytes(row.wrapped), _key_aad(row.pk))


def _key_aad(pk: UUID) -> bytes:
    return f"governance.datakey:{pk}:wrapped".encode()


def _aad(row: Model, field: str) -> bytes:
    return f"{row._meta.label_lower}:{row.pk}:{field}".encode()
