"""What came out and what went wrong: artifacts and burns."""

from django.contrib.postgres.fields import ArrayField
from django.db import models

from governance.models.base import Row
from governance.models.payload import EncryptedPayload
from governance.models.run import Run
from governance.models.step import Step
from governance.models.workspace import Workspace


class Artifact(Row):
    """An output or a piece of evidence. Its content lies under a key that no agent has chosen."""

    workspace = models.ForeignKey(Workspace, models.PROTECT, related_name="+")
    run = models.ForeignKey(Run, models.PROTECT, related_name="artifacts")
    step = models.ForeignKey(Step, models.PROTECT, related_name="artifacts", null=True)
    name = models.CharField(max_length=160)
    media_type = models.CharField(max_length=80)
    size = models.PositiveIntegerField()
    sha256 = models.CharField(max_length=64)
    content = models.ForeignKey(EncryptedPayload, models.PROTECT, related_name="+")
    produced_by = models.CharField(max_length=80)
    attempt = models.PositiveSmallIntegerField(default=0)
    taint = ArrayField(models.CharField(max_length=32), default=list)

    class Meta:
        ordering = ("created_at",)
        indexes = [models.Index(fields=["run", "created_at"], name="artifact_by_run")]

    @property
    def audit_label(self) -> str:
        return self.name

    def __str__(self) -> str:
        return self.name


class Burn(Row):
    """A failure worth a look."""

    class Kind(models.TextChoices):
        JOB_FAILED = "job_failed"
        JOB_TIMEOUT = "job_timeout"
        JOB_LOST = "job_lost"
        OOM = "oom"
        BAD_OUTPUT = "bad_output"
        BUDGET = "budget"
        POLICY = "policy"
        CONNECTOR = "connector"
        INTERNAL = "internal"

    workspace = models.ForeignKey(Workspace, models.PROTECT, related_name="burns")
    run = models.ForeignKey(Run, models.PROTECT, related_name="burns")
    step = models.ForeignKey(Step, models.PROTECT, related_name="burns", null=True)
    job_name = models.CharField(max_length=80, blank=True)
    agent_name = models.CharField(max_length=48, blank=True)
    kind = models.CharField(max_length=16, choices=Kind)
    reason = models.TextField()
    acknowledged_at = models.DateTimeField(null=True, blank=True)
    acknowledged_by = models.CharField(max_length=160, blank=True)
    acknowledged_because = models.TextField(blank=True)

    class Meta:
        ordering = ("-created_at",)
        indexes = [
            models.Index(fields=["workspace", "-created_at"], name="burn_by_workspace"),
            models.Index(fields=["workspace"], condition=models.Q(acknowledged_at=None), name="burn_open"),
        ]

    @property
    def audit_label(self) -> str:
        return self.kind.replace("_", " ")

    def __str__(self) -> str:
        return f"{self.kind} in {self.run}"
