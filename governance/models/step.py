"""One unit of work of an accepted plan."""

from django.contrib.postgres.fields import ArrayField
from django.db import models

from governance.core.states import STEP
from governance.models.base import Stateful
from governance.models.plan import Plan
from governance.models.run import Run
from governance.models.workspace import Workspace


class Step(Stateful):
    """What one agent is to do; `attempt` names its jobs and only grows, `retries` counts failures."""

    machine = STEP

    workspace = models.ForeignKey(Workspace, models.PROTECT, related_name="+")
    run = models.ForeignKey(Run, models.PROTECT, related_name="steps")
    plan = models.ForeignKey(Plan, models.PROTECT, related_name="steps")
    sequence = models.PositiveSmallIntegerField()
    ref = models.CharField(max_length=64)
    agent_name = models.CharField(max_length=48)
    objective = models.TextField()
    instruction = models.BinaryField()
    instruction_redacted = models.JSONField(default=dict)
    allowed_skills = ArrayField(models.CharField(max_length=96), default=list)
    depends_on = ArrayField(models.UUIDField(), default=list)

    attempt = models.PositiveSmallIntegerField(default=0)
    retries = models.PositiveSmallIntegerField(default=0)
    not_before = models.DateTimeField(null=True, blank=True)
    waits_for = models.JSONField(null=True, blank=True)
    empty_waits = models.PositiveSmallIntegerField(default=0)
    last_error = models.TextField(blank=True)

    result = models.BinaryField(null=True)
    result_redacted = models.JSONField(null=True, blank=True)
    checkpoint = models.BinaryField(null=True)
    checkpoint_seq = models.PositiveIntegerField(null=True, blank=True)
    taint = ArrayField(models.CharField(max_length=32), default=list)
    started_at = models.DateTimeField(null=True, blank=True)
    completed_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ("sequence",)
        constraints = [
            models.UniqueConstraint(fields=["plan", "sequence"], name="step_sequences_are_unique"),
            models.UniqueConstraint(fields=["plan", "ref"], name="step_refs_are_unique"),
        ]

    @property
    def audit_label(self) -> str:
        return f"step {self.sequence}"

    def __str__(self) -> str:
        return f"step {self.sequence} of {self.run}"
