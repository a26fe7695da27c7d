"""Decisions: what was asked, what policy said, what people answered."""

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models

from governance.core.states import GATE
from governance.models.base import Row, Stateful
from governance.models.payload import EncryptedPayload
from governance.models.plan import Plan
from governance.models.run import Run
from governance.models.step import Step
from governance.models.workspace import Workspace


class Gate(Stateful):
    """One decision. Allowed and denied are final at birth; a held one waits for people."""

    machine = GATE

    workspace = models.ForeignKey(Workspace, models.PROTECT, related_name="gates")
    run = models.ForeignKey(Run, models.PROTECT, related_name="gates")
    step = models.ForeignKey(Step, models.PROTECT, related_name="gates", null=True)
    plan = models.ForeignKey(Plan, models.PROTECT, related_name="gates", null=True)
    job_name = models.CharField(max_length=80, blank=True)
    attempt = models.PositiveSmallIntegerField(default=0)
    action = models.CharField(max_length=32)
    subject = models.CharField(max_length=160, blank=True)
    call_id = models.CharField(max_length=64, blank=True)
    agent_name = models.CharField(max_length=48)
    caller = models.CharField(max_length=160)
    effect = models.CharField(max_length=8)
    code = models.CharField(max_length=32, blank=True)
    reason = models.TextField()
    rules = models.JSONField(default=list)
    manifest_digests = ArrayField(models.CharField(max_length=64), default=list)
    decision_us = models.PositiveIntegerField(default=0)
    correlation_id = models.CharField(max_length=64, blank=True)

    thresholds = models.JSONField(default=list)
    expires_at = models.DateTimeField(null=True, blank=True)
    consent_until = models.DateTimeField(null=True, blank=True)
    plan_hash = models.CharField(max_length=64, blank=True)
    payload_digest = models.CharField(max_length=64, blank=True)
    payload = models.ForeignKey(EncryptedPayload, models.PROTECT, related_name="+", null=True)

    class Meta:
        ordering = ("-created_at",)
        indexes = [
            models.Index(fields=["run", "created_at"], name="gate_by_run"),
            models.Index(fields=["workspace", "-created_at"], name="gate_by_workspace"),
            models.Index(fields=["step", "attempt"], name="gate_by_attempt", condition=models.Q(effect="deny")),
            models.Index(fields=["workspace", "expires_at"], condition=models.Q(state="waiting"), name="gate_waiting"),
        ]

    @property
    def audit_label(self) -> str:
        return f"{self.action} {self.subject}".strip()

    def __str__(self) -> str:
        return f"{self.action} {self.subject} of {self.run}".replace("  ", " ")


class Consent(Row):
    """One call that people agreed to, with exactly one payload; used once, in the reserve transaction."""

    workspace = models.ForeignKey(Workspace, models.PROTECT, related_name="+")
    gate = models.ForeignKey(Gate, models.PROTECT, related_name="consents")
    step = models.ForeignKey(Step, models.PROTECT, related_name="consents")
    call_id = models.CharField(max_length=64)
    payload_digest = models.CharField(max_length=64)
    used_at = models.DateTimeField(null=True, blank=True)
    used_by = models.UUIDField(null=True, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["gate", "step", "call_id"], name="one_consent_per_gate_and_call")
        ]


class Vote(Row):
    """A person's answer to a waiting gate."""

    class Verdict(models.TextChoices):
        APPROVE = "approve"
        REJECT = "reject"

    class Channel(models.TextChoices):
        WEB = "web"
        API = "api"
        SLACK = "slack"

    workspace = models.ForeignKey(Workspace, models.PROTECT, related_name="+")
    gate = models.ForeignKey(Gate, models.PROTECT, related_name="votes")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="+")
    voter = models.CharField(max_length=160)
    verdict = models.CharField(max_length=8, choices=Verdict)
    because = models.TextField()
    channel = models.CharField(max_length=8, choices=Channel)

    class Meta:
        ordering = ("created_at",)
        constraints = [models.UniqueConstraint(fields=["gate", "user"], name="one_vote_per_person_and_gate")]
