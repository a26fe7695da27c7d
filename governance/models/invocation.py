"""Privileged calls of skills, what they lock and what they may spend."""

from django.db import models

from governance.core.states import INVOCATION
from governance.models.base import Row, Stateful
from governance.models.run import Run
from governance.models.step import Step
from governance.models.workspace import Workspace


class LockStatus(models.TextChoices):
    NONE = "none"
    HELD = "held"
    RELEASED = "released"
    CONFLICT = "conflict"


class SkillInvocation(Stateful):
    """One call of a skill: intent is stored before, outcome after. Its lease is new at each start."""

    machine = INVOCATION

    workspace = models.ForeignKey(Workspace, models.PROTECT, related_name="+")
    run = models.ForeignKey(Run, models.PROTECT, related_name="invocations")
    step = models.ForeignKey(Step, models.PROTECT, related_name="invocations")
    gate = models.ForeignKey("governance.Gate", models.PROTECT, related_name="invocations", null=True)
    call_id = models.CharField(max_length=64)
    attempt = models.PositiveSmallIntegerField()
    agent_name = models.CharField(max_length=48)
    skill_name = models.CharField(max_length=96)
    skill_digest = models.CharField(max_length=64)
    side_effect = models.CharField(max_length=16)
    idempotent = models.BooleanField()
    timeout_s = models.PositiveIntegerField()
    connection = models.CharField(max_length=64, blank=True)
    policy_status = models.CharField(max_length=8, blank=True)
    input = models.BinaryField()
    input_redacted = models.JSONField(default=dict)
    input_digest = models.CharField(max_length=64)
    payload_digest = models.CharField(max_length=64)

    lock_key = models.CharField(max_length=255, blank=True)
    lock_status = models.CharField(max_length=16, choices=LockStatus, default=LockStatus.NONE)
    lease_id = models.UUIDField(null=True, blank=True)
    lease_until = models.DateTimeField(null=True, blank=True)
    not_before = models.DateTimeField(null=True, blank=True)
    tries = models.PositiveSmallIntegerField(default=0)

    output = models.BinaryField(null=True)
    output_redacted = models.JSONField(null=True, blank=True)
    error = models.JSONField(null=True, blank=True)
    cost_usd = models.DecimalField(max_digits=14, decimal_places=6, default=0)
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ("created_at",)
        constraints = [models.UniqueConstraint(fields=["step", "call_id"], name="one_invocation_per_step_and_call")]
        indexes = [
            models.Index(fields=["run", "created_at"], name="invocation_by_run"),
            models.Index(
                fields=["state", "not_before"],
                condition=models.Q(state__in=["released", "running"]),
                name="invocation_to_perform",
            ),
            models.Index(
                fields=["workspace", "state_changed_at"],
                condition=models.Q(state="unknown"),
                name="invocation_unknown",
            ),
        ]

    @property
    def audit_label(self) -> str:
        return f"{self.skill_name} ({self.call_id})"

    def __str__(self) -> str:
        return f"{self.skill_name} ({self.call_id}) of {self.run}"


class SkillLock(models.Model):
    """Keeps two calls off the same outside thing; a lease, so that a crash frees it."""

    workspace = models.ForeignKey(Workspace, models.PROTECT, related_name="+")
    key = models.CharField(max_length=255)
    invocation = models.ForeignKey(SkillInvocation, models.PROTECT, related_name="+", null=True)
    lease_until = models.DateTimeField(null=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["workspace", "key"], name="one_lock_per_key")]


class Budget(Row):
    """What a run has reserved and spent of one kind; created with it. A workspace has such rows, too, without limits so far."""

    class Kind(models.TextChoices):
        USD = "usd"
        TOKENS = "tokens"
        INVOCATIONS = "invocations"

    workspace = models.ForeignKey(Workspace, models.PROTECT, related_name="+")
    scope = models.UUIDField()
    kind = models.CharField(max_length=16, choices=Kind)
    limit = models.DecimalField(max_digits=20, decimal_places=6, null=True)
    reserved = models.DecimalField(max_digits=20, decimal_places=6, default=0)
    spent = models.DecimalField(max_digits=20, decimal_places=6, default=0)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["scope", "kind"], name="one_budget_per_scope_and_kind")]
