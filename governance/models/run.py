"""A run: one row per request."""

from datetime import datetime

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models

from governance.core.states import OPEN_RUN, RUN, RunState
from governance.models.base import Stateful
from governance.models.workspace import Workspace


class Source(models.TextChoices):
    API = "api"
    WEB = "web"
    SLACK = "slack"
    SCHEDULE = "schedule"
    WEBHOOK = "webhook"
    FLOW = "flow"


class RunQuerySet(models.QuerySet["Run"]):
    def open(self) -> "RunQuerySet":
        return self.filter(state__in=OPEN_RUN)


class Run(Stateful):
    """One request and all that came of it. People call it by its number: `#142`."""

    machine = RUN

    workspace = models.ForeignKey(Workspace, models.PROTECT, related_name="runs")
    number = models.PositiveIntegerField()
    source = models.CharField(max_length=16, choices=Source)
    # What people read is masked; the words as they were asked are sealed, and only the planner gets them.
    request_text = models.TextField()
    request_input = models.JSONField(null=True, blank=True)
    request_exact = models.BinaryField(null=True)
    metadata = models.JSONField(default=dict, blank=True)
    deliver_to = models.JSONField(default=dict, blank=True)
    requester = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="runs", null=True)
    requester_name = models.CharField(max_length=160)
    requester_persons = ArrayField(models.CharField(max_length=64), default=list)
    correlation_id = models.CharField(max_length=64, blank=True)
    # What was read before there were steps: by the planner. Every step is born with it.
    taint = ArrayField(models.CharField(max_length=32), default=list)

    planning_attempts = models.PositiveSmallIntegerField(default=0)
    planning_not_before = models.DateTimeField(null=True, blank=True)
    planning_refused = models.BooleanField(default=False)
    planning_error = models.TextField(blank=True)

    deadline_at = models.DateTimeField()
    max_age_at = models.DateTimeField()
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)
    outcome = models.JSONField(null=True, blank=True)
    reason = models.TextField(blank=True)

    objects = RunQuerySet.as_manager()

    class Meta:
        ordering = ("-created_at",)
        constraints = [models.UniqueConstraint(fields=["workspace", "number"], name="run_numbers_are_unique")]
        indexes = [
            models.Index(fields=["workspace", "-created_at"], name="run_by_workspace"),
            models.Index(fields=["requester", "-created_at"], name="run_by_requester"),
            models.Index(fields=["state"], condition=models.Q(state__in=[s.value for s in OPEN_RUN]), name="run_open"),
            models.Index(fields=["finished_at"], condition=models.Q(state="succeeded"), name="run_succeeded"),
        ]

    def __str__(self) -> str:
        return f"run #{self.number}"

    @property
    def audit_label(self) -> str:
        return f"run {self.number}"

    def is_overdue(self, now: datetime) -> bool:
        """Say whether one of the run's deadlines has passed. While nothing but waiting gates keeps it open, that ends nothing."""
        return min(self.deadline_at, self.max_age_at) <= now

    @property
    def is_open(self) -> bool:
        return RunState(self.state) in OPEN_RUN
