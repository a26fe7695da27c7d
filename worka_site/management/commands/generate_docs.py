"""Write the generated pages of docs/reference, or say that they are outdated."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from worka_site import reference


class Command(BaseCommand):
    """Write docs/reference from the code."""

    help = "Write the generated pages of docs/reference; with --check only say whether they are current."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--check", action="store_true", help="write nothing; exit code 1 when a page is outdated")

    def handle(self, *args: Any, **options: Any) -> None:
        """Write or check."""
        if not options["check"]:
            for name in reference.write():
                self.stdout.write(f"written: docs/reference/{name}")
        elif names := reference.outdated():
            raise CommandError(f"outdated: {', '.join(names)}. Run `make docs`.")
