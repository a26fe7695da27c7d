"""One answer per Idempotency-Key: the record is inserted first, in the transaction that creates, with the answer in it."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.db import connection, transaction
from django.utils.timezone import now

from audit.core.canonical import digest
from audit.core.codes import Code
from audit.core.refusals import Refused
from audit.principals import Principal
from gateway.models import IdempotencyRecord

KEPT_FOR = timedelta(hours=24)
LONGEST_KEY = 255

INSERT = """
    INSERT INTO gateway_idempotencyrecord (workspace_id, principal, endpoint, key, payload_digest, created_at)
    VALUES (%s, %s, %s, %s, %s, now()) ON CONFLICT (workspace_id, principal, endpoint, key) DO NOTHING RETURNING id
"""


def once(
    key: str, *, workspace_id: UUID, by: Principal, endpoint: str, payload: Any, create: Callable[[], tuple[int, Any]]
) -> tuple[int, Any]:
    """Create at most once per key and return status and answer; a repeat waits for the first and gets its answer.

    Refuses with idempotency_required without a key, idempotency_conflict for another payload. A refusal of `create`
    is not kept.
    """
    if not key or len(key) > LONGEST_KEY or not key.isprintable():
        raise Refused(
            "a request that creates needs an Idempotency-Key",
            code=Code.IDEMPOTENCY_REQUIRED,
            recovery="Send a header Idempotency-Key with a value of your own, new for each request, the same for repeats.",
        )
    said = digest(payload)
    principal = f"{by.kind}:{by.id}"
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute(INSERT, [workspace_id, principal, endpoint, key, said])
            row = cursor.fetchone()
        if row is not None:
            status, answer = create()
            IdempotencyRecord.objects.filter(pk=row[0]).update(status=status, answer=answer)
            return status, answer
        first = IdempotencyRecord.objects.get(
            workspace_id=workspace_id, principal=principal, endpoint=endpoint, key=key
        )
    if first.payload_digest != said:
        raise Refused(
            "this Idempotency-Key was used with another payload",
            code=Code.IDEMPOTENCY_CONFLICT,
            recovery="Use a new key for a new request.",
        )
    assert first.status is not None  # written in the transaction that made the record
    return first.status, first.answer


def forget_old_answers() -> int:
    """Delete the answers that are older than 24 hours; return how many were."""
    deleted, _ = IdempotencyRecord.objects.filter(created_at__lt=now() - KEPT_FOR).delete()
    return deleted
