"""The ledger, its seals, and how far each sink has read."""

import json
from typing import Any

from django.db import models
from django.db.models import F, Q
from django.utils.functional import cached_property

from audit.core.merkle import HASH_BYTES, Edge
from audit.core.proof import TreeHead, entry_leaf
from audit.core.times import timestamp


class AuditEventQuerySet(models.QuerySet["AuditEvent"]):
    def sealed(self) -> "AuditEventQuerySet":
        """Keep what has a position, in the order of the log."""
        return self.filter(position__isnull=False).order_by("position")

    def unsealed(self) -> "AuditEventQuerySet":
        """Keep what was committed and waits for the sealer, in its order."""
        return self.filter(position__isnull=True).order_by("id")

    def newest_first(self) -> "AuditEventQuerySet":
        """Order for reading: what is not yet sealed is newer than all that is."""
        return self.order_by(F("position").desc(nulls_first=True), "-id")


class AuditEvent(models.Model):
    """One thing that happened. Never edited, never deleted, and free of foreign keys.

    `body` is what is hashed: the canonical bytes of everything known when it happened. The other columns repeat it for
    searching; verification compares them. `position` and `seal` are null until sealed, then fixed.
    """

    id = models.BigAutoField(primary_key=True)
    position = models.BigIntegerField(null=True, unique=True, editable=False)
    seal = models.BigIntegerField(null=True, editable=False)
    type = models.CharField(max_length=80)
    subject = models.CharField(max_length=200)
    actor = models.CharField(max_length=200)
    actor_id = models.CharField(max_length=64, blank=True)
    via = models.CharField(max_length=80, blank=True)
    on_behalf_of = models.CharField(max_length=200, blank=True)
    because = models.TextField(blank=True)
    facts = models.JSONField(default=dict)
    at = models.DateTimeField()
    workspace = models.UUIDField(null=True)
    run = models.UUIDField(null=True)
    correlation_id = models.CharField(max_length=64, blank=True)
    body = models.BinaryField()

    objects = AuditEventQuerySet.as_manager()

    class Meta:
        verbose_name = "ledger entry"
        verbose_name_plural = "ledger"
        indexes = [
            models.Index(fields=["id"], condition=Q(position__isnull=True), name="audit_unsealed"),
            models.Index(fields=["run", "position"], name="audit_run_position"),
            models.Index(fields=["workspace", "position"], name="audit_workspace_position"),
            models.Index(fields=["subject", "position"], name="audit_subject_position"),
            models.Index(fields=["type", "at"], name="audit_type_at"),
        ]
        constraints = [
            models.CheckConstraint(
                condition=Q(position__isnull=True, seal__isnull=True)
                | Q(position__isnull=False, seal__isnull=False, position__gte=1, seal__gte=1),
                name="audit_numbered_by_a_seal",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.type} of {self.subject}"

    @property
    def subject_kind(self) -> str:
        """Return the model's label, as in `governance.run`."""
        return self.subject.partition(":")[0]

    @property
    def subject_id(self) -> str:
        return self.subject.partition(":")[2]

    @cached_property
    def exact(self) -> Any:
        """Return the body as the JSON value it is."""
        return json.loads(bytes(self.body).decode())


class Seal(models.Model):
    """A batch of entries in order, under one signed tree head.

    `digests` holds the SHA-256 of each entry in it, `edge` the tree's right edge after it: with both, entries are
    proven and the log is continued without reading older ones.
    """

    number = models.BigIntegerField(primary_key=True)
    first_position = models.BigIntegerField()
    last_position = models.BigIntegerField(unique=True)
    root = models.BinaryField(max_length=HASH_BYTES)
    digests = models.BinaryField()
    edge = models.BinaryField()
    sealed_at = models.DateTimeField()
    kid = models.CharField(max_length=64)
    signature = models.BinaryField()

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(number__gte=1), name="audit_seal_numbered_from_one"),
            models.CheckConstraint(condition=Q(last_position__gte=F("first_position")), name="audit_seal_not_empty"),
        ]

    def __str__(self) -> str:
        return f"seal {self.number}"

    @property
    def tree_size(self) -> int:
        return self.last_position

    @property
    def head(self) -> TreeHead:
        """Return the signed tree head that this seal is."""
        at = timestamp(self.sealed_at)
        return TreeHead(self.number, self.tree_size, bytes(self.root), at, "", self.kid, bytes(self.signature))

    @property
    def entry_digests(self) -> list[bytes]:
        """Return the digest of each entry, in order of position."""
        digests = bytes(self.digests)
        return [digests[start : start + HASH_BYTES] for start in range(0, len(digests), HASH_BYTES)]

    @property
    def leaves(self) -> list[bytes]:
        """Return the leaf hash of each entry, in order of position."""
        return [entry_leaf(self.first_position + index, found) for index, found in enumerate(self.entry_digests)]

    @property
    def tree_edge(self) -> Edge:
        """Return the right edge of the tree after this seal; raise `ValueError` if it was damaged."""
        return Edge.from_bytes(self.tree_size, bytes(self.edge))


class SinkCursor(models.Model):
    """How far one sink has read the sealed ledger, and what stands in its way."""

    sink = models.CharField(max_length=64, unique=True)
    position = models.BigIntegerField(default=0)
    delivered_at = models.DateTimeField(null=True)
    failures = models.PositiveIntegerField(default=0)
    failing_since = models.DateTimeField(null=True)
    retry_at = models.DateTimeField(null=True)
    last_error = models.TextField(blank=True)

    def __str__(self) -> str:
        return f"{self.sink} at {self.position}"
