"""Jobs: one attempt each to plan a run or to work a step."""

from django.db import models

from governance.models import Run, Step, Workspace
from governance.models.base import Stateful
from runtime.backend import all_backends
from runtime.core.jobs import JOB, OPEN_JOB


def backend_choices() -> list[tuple[str, str]]:
    return [(name, name) for name in all_backends()]


class Purpose(models.TextChoices):
    PLAN = "plan"
    STEP = "step"


class AgentJob(Stateful):
    """One attempt of an agent. Its id is the `jti` of its token; the web only ever changes `wanted`."""

    machine = JOB

    workspace = models.ForeignKey(Workspace, models.PROTECT, related_name="+")
    run = models.ForeignKey(Run, models.PROTECT, related_name="jobs")
    step = models.ForeignKey(Step, models.PROTECT, related_name="jobs", null=True)
    purpose = models.CharField(max_length=8, choices=Purpose)
    name = models.CharField(max_length=80, unique=True)
    agent_name = models.CharField(max_length=48)
    attempt = models.PositiveSmallIntegerField()
    backend = models.CharField(max_length=64, choices=backend_choices)
    wanted = models.BooleanField(default=True)
    unwanted_because = models.TextField(blank=True)
    image = models.CharField(max_length=255, blank=True)
    limits = models.JSONField(default=dict)
    deadline_at = models.DateTimeField()

    exit_code = models.IntegerField(null=True, blank=True)
    node = models.CharField(max_length=120, blank=True)
    log_reference = models.CharField(max_length=255, blank=True)
    log_tail = models.TextField(blank=True)
    progress = models.TextField(blank=True)
    ended_because = models.TextField(blank=True)
    submitted_at = models.DateTimeField(null=True, blank=True)
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)
    last_sign_at = models.DateTimeField(null=True, blank=True)

    result_digest = models.CharField(max_length=64, blank=True)
    result_answer = models.JSONField(null=True, blank=True)
    result_at = models.DateTimeField(null=True, blank=True)
    forgotten = models.BooleanField(default=False)

    class Meta:
        ordering = ("-created_at",)
        constraints = [
            models.UniqueConstraint(
                fields=["step"],
                condition=models.Q(state__in=[s.value for s in OPEN_JOB], step__isnull=False),
                name="one_live_job_per_step",
            ),
            models.UniqueConstraint(
                fields=["run"],
                condition=models.Q(state__in=[s.value for s in OPEN_JOB], purpose="plan"),
                name="one_live_planning_job_per_run",
            ),
        ]
        indexes = [
            models.Index(fields=["state"], condition=models.Q(state__in=[s.value for s in OPEN_JOB]), name="job_live"),
            models.Index(fields=["run", "created_at"], name="job_by_run"),
            models.Index(fields=["workspace", "-created_at"], name="job_by_workspace"),
        ]

    @property
    def audit_label(self) -> str:
        return f"{self.agent_name}'s job {self.attempt}"

    def __str__(self) -> str:
        return self.name


class Pulse(models.Model):
    """The last sign of life of a loop."""

    name = models.CharField(max_length=32, unique=True)
    at = models.DateTimeField()
