"""Replace keys, and encrypt again what the old ones encrypt."""

from argparse import ArgumentParser
from typing import Any, cast

from django.core.management.base import BaseCommand, CommandError

from audit.keys import KINDS, KeysMissing, Kind, drop_old_encryption_keys, encrypting_alone, rewraps, ring, rotate
from audit.ledger import record
from audit.management.people import add_person_arguments, person_named

BATCH = 500


class Command(BaseCommand):
    """Make new active keys in the key file, then wrap every row with the new encryption key; may be stopped and repeated."""

    help = "Add new keys to the key file and wrap everything with them. Old keys stay accepted."

    def add_arguments(self, parser: ArgumentParser) -> None:
        add_person_arguments(parser)
        parser.add_argument("--kind", choices=KINDS, action="append", help="which keys (default: all kinds)")
        parser.add_argument(
            "--only-rewrap", action="store_true", help="make no new key; finish an interrupted rotation"
        )
        parser.add_argument(
            "--drop-old", action="store_true", help="then forget older encryption keys (old back-ups too)"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        by, because = person_named(options), options["because"]
        try:
            if not options["only_rewrap"]:
                for kind in cast("list[Kind]", options["kind"] or list(KINDS)):
                    kid = rotate(kind)
                    record("key.rotate", f"audit.key:{kid}", by=by, because=because, kind=kind)
                    self.stdout.write(f"{kind}: {kid} is active")
            self._rewrap()
            if options["drop_old"]:
                with encrypting_alone():
                    self._rewrap()  # what was not committed yet the first time
                    dropped = drop_old_encryption_keys()
                for kid in dropped:
                    record("key.drop", f"audit.key:{kid}", by=by, because=because, kind="encryption")
                    self.stdout.write(f"encryption: {kid} is forgotten")
        except KeysMissing as missing:
            raise CommandError(str(missing)) from None

    def _rewrap(self) -> None:
        for name, rewrap in rewraps.items():
            total = 0
            while done := rewrap(BATCH):
                total += done
                self.stdout.write(f"{name}: {total:,} wrapped with {ring().active_kid('encryption')}")
            if not total:
                self.stdout.write(f"{name}: nothing to wrap")
