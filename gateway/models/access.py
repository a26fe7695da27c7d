"""Who may come in by REST, and the answers that repeats get."""

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models

from governance.models import ServiceAccount, Workspace
from governance.models.base import Row


class ApiKey(Row):
    """A key of one workspace, of a person or a service account, and acts as them. Its secret is stored as SHA-256 only."""

    workspace = models.ForeignKey(Workspace, models.PROTECT, related_name="api_keys")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="api_keys", null=True, blank=True)
    service = models.ForeignKey(ServiceAccount, models.PROTECT, related_name="api_keys", null=True, blank=True)
    label = models.CharField(max_length=80)
    prefix = models.CharField(max_length=16, unique=True)
    digest = models.CharField(max_length=64)
    scopes = ArrayField(models.CharField(max_length=24))
    rate_per_minute = models.PositiveIntegerField(default=600)
    networks = ArrayField(models.CharField(max_length=49), default=list, blank=True)
    expires_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)
    revoked_by = models.CharField(max_length=160, blank=True)
    last_used_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ("-created_at",)
        constraints = [
            models.CheckConstraint(
                condition=models.Q(user__isnull=False, service__isnull=True)
                | models.Q(user__isnull=True, service__isnull=False),
                name="a_key_belongs_to_somebody",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.label} (wk_{self.prefix}…)"


class IdempotencyRecord(models.Model):
    """The first answer to a request that creates, for 24 hours."""

    workspace = models.ForeignKey(Workspace, models.PROTECT, related_name="+")
    principal = models.CharField(max_length=200)
    endpoint = models.CharField(max_length=120)
    key = models.CharField(max_length=255)
    payload_digest = models.CharField(max_length=64)
    status = models.PositiveSmallIntegerField(null=True)
    answer = models.JSONField(null=True)
    created_at = models.DateTimeField(auto_now_add=True, db_index=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["workspace", "principal", "endpoint", "key"], name="one_answer_per_key")
        ]
