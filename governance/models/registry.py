"""What exists to work with: agents and skills."""

from django.contrib.postgres.fields import ArrayField
from django.db import models

from governance.models.base import Row


class AgentKind(models.TextChoices):
    PLANNER = "planner"
    WORKER = "worker"
    COURIER = "courier"


class Agent(Row):
    """A program that speaks the agent contract. It proposes, asks and reports; it is never trusted."""

    name = models.SlugField(max_length=48, unique=True)
    kind = models.CharField(max_length=16, choices=AgentKind)
    description = models.TextField(blank=True)
    image = models.CharField(max_length=255, blank=True)
    command = models.JSONField(default=list)
    model = models.CharField(max_length=80, blank=True)
    instructions = models.TextField(blank=True)
    enabled = models.BooleanField(default=True)
    disabled_at = models.DateTimeField(null=True, blank=True)
    disabled_by = models.CharField(max_length=160, blank=True)
    disabled_because = models.TextField(blank=True)

    class Meta:
        ordering = ("name",)

    @property
    def audit_label(self) -> str:
        return self.name

    def __str__(self) -> str:
        return self.name


class SideEffect(models.TextChoices):
    READ_ONLY = "read_only"
    WRITE = "write"
    EXTERNAL = "external"
    DESTRUCTIVE = "destructive"


class Skill(Row):
    """One thing a connector can do, with all that policy needs to know of it; the digest is over all of that."""

    name = models.CharField(max_length=96, unique=True)
    description = models.TextField()
    input_schema = models.JSONField()
    output_schema = models.JSONField(default=dict)
    digest = models.CharField(max_length=64)
    side_effect = models.CharField(max_length=16, choices=SideEffect)
    labels = ArrayField(models.CharField(max_length=32), default=list, blank=True)
    lock_key = models.CharField(max_length=255, blank=True)
    idempotent = models.BooleanField(default=False)
    timeout_s = models.PositiveIntegerField(default=60)
    enabled = models.BooleanField(default=True)
    disabled_at = models.DateTimeField(null=True, blank=True)
    disabled_by = models.CharField(max_length=160, blank=True)
    disabled_because = models.TextField(blank=True)

    class Meta:
        ordering = ("name",)

    @property
    def audit_label(self) -> str:
        return self.name

    def __str__(self) -> str:
        return self.name
