"""Say whether every change of the models has its migration; asks no data base."""

from typing import Any

from django.apps import apps
from django.core.management.base import BaseCommand, CommandError
from django.db.migrations.autodetector import MigrationAutodetector
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.state import ProjectState


class Command(BaseCommand):
    """Compare the models with the migrations."""

    help = (
        "Say whether every change of the models has its migration (like makemigrations --check, without a data base)."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        """Exit with 1 when a migration is missing or two of them are both the last."""
        loader = MigrationLoader(None)
        if conflicts := loader.detect_conflicts():
            raise CommandError(f"two last migrations: {conflicts}. Merge them.")
        detector = MigrationAutodetector(loader.project_state(), ProjectState.from_apps(apps))
        changes = detector.changes(graph=loader.graph)
        if missing := [f"{app}: {each.name}" for app, found in changes.items() for each in found]:
            raise CommandError(f"missing: {', '.join(missing)}. Run `make migrations`.")
