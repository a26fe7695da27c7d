"""Governance: workspaces, runs, plans, steps, gates and manifests; what may happen and who decides."""

from django.apps import AppConfig


class GovernanceConfig(AppConfig):
    name = "governance"
    default_auto_field = "django.db.models.BigAutoField"
