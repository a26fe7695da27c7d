"""Compiled policy, immutable and addressed by its digest."""

from django.db import models

from governance.core.states import MANIFEST
from governance.models.base import Stateful
from governance.models.workspace import Workspace


class PolicyManifest(Stateful):
    """A version of policy. Without a workspace it is the platform's: the ceiling of all others."""

    machine = MANIFEST

    workspace = models.ForeignKey(Workspace, models.PROTECT, related_name="manifests", null=True, blank=True)
    version = models.PositiveIntegerField()
    source = models.TextField()
    compiled = models.JSONField()
    digest = models.CharField(max_length=64)
    author = models.CharField(max_length=160)
    author_persons = models.JSONField(default=list)
    activated_by = models.CharField(max_length=160, null=True, blank=True)
    activated_because = models.TextField(null=True, blank=True)
    activated_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ("-version",)
        constraints = [
            models.UniqueConstraint(
                fields=["workspace", "version"], nulls_distinct=False, name="manifest_versions_are_unique"
            ),
            models.UniqueConstraint(
                fields=["workspace"],
                condition=models.Q(state="active"),
                nulls_distinct=False,
                name="one_active_manifest",
            ),
        ]

    @property
    def audit_label(self) -> str:
        return f"version {self.version} of the {'workspace' if self.workspace_id else 'platform'} policy"

    def __str__(self) -> str:
        return f"policy of {self.workspace or 'the platform'}, version {self.version}"
