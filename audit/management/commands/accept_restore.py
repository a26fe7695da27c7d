"""Accept that the data base was restored, and let work go on."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from audit.core.refusals import Refused
from audit.heads import HeadsDamaged
from audit.management.people import add_person_arguments, person_named
from audit.restore import accept_restore


class Command(BaseCommand):
    """Write down who accepted the restored data base and why, and thaw what was frozen at start."""

    help = "Accept that the data base is older than the tree heads outside, and let work go on from here."

    def add_arguments(self, parser: ArgumentParser) -> None:
        add_person_arguments(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            entry = accept_restore(by=person_named(options), because=options["because"])
        except Refused as refusal:
            raise CommandError(str(refusal)) from None
        except (OSError, HeadsDamaged) as error:
            raise CommandError(f"the tree heads outside could not be written: {error}") from None
        self.stdout.write(
            f"Accepted: {entry.facts['difference']}. The log goes on after entry {entry.facts['tree_size']}."
        )
