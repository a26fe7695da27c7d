"""What the planner proposed."""

from django.db import models

from governance.core.states import PLAN
from governance.models.base import Stateful
from governance.models.run import Run
from governance.models.workspace import Workspace


class Plan(Stateful):
    """A proposal of the planner; once accepted, the only list of what the run may do."""

    machine = PLAN

    workspace = models.ForeignKey(Workspace, models.PROTECT, related_name="+")
    run = models.ForeignKey(Run, models.PROTECT, related_name="plans")
    version = models.PositiveSmallIntegerField()
    created_by = models.CharField(max_length=48)
    job_name = models.CharField(max_length=80, blank=True)
    plan_hash = models.CharField(max_length=64, blank=True)
    raw = models.BinaryField(null=True)
    normalised = models.BinaryField(null=True)
    summary = models.TextField(blank=True)
    steps_redacted = models.JSONField(default=list)
    playbook_name = models.CharField(max_length=80, blank=True)
    playbook_digest = models.CharField(max_length=64, blank=True)
    faults = models.JSONField(default=list)

    class Meta:
        ordering = ("version",)
        constraints = [
            models.UniqueConstraint(fields=["run", "version"], name="plan_versions_are_unique"),
            models.UniqueConstraint(
                fields=["run"],
                condition=models.Q(state__in=["proposed", "held", "accepted"]),
                name="one_live_plan_per_run",
            ),
        ]

    @property
    def audit_label(self) -> str:
        return f"plan {self.version}"

    def __str__(self) -> str:
        return f"plan {self.version} of {self.run}"
