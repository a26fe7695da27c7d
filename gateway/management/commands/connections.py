"""Connect a workspace to services, and disable, enable or end connections."""

import json
import sys
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from audit.core.refusals import Refused
from audit.management.people import add_person_arguments, person_named
from audit.screens import refusal_sentence
from gateway.core.states import ConnectionState
from gateway.models import Connection
from gateway.treasury.connections import connect, disable, disconnect, enable
from governance.models import Workspace

DEEDS = {"disable": disable, "enable": enable, "disconnect": disconnect}


class Command(BaseCommand):
    """Act on connections as a person who may."""

    help = "Connect services and list, disable, enable or disconnect connections. Settings are read from the standard input."

    def add_arguments(self, parser: ArgumentParser) -> None:
        deeds = parser.add_subparsers(dest="deed", required=True)
        for deed in ("connect", *DEEDS, "list"):
            own = deeds.add_parser(deed)
            own.add_argument("--workspace", required=True, metavar="SLUG")
            if deed == "list":
                continue
            own.add_argument("service")
            own.add_argument("account")
            add_person_arguments(own)
            if deed == "connect":
                own.add_argument("--access", choices=["read", "write"], default="read")
                own.add_argument("--base-url", default="", help="the service's own unless told")

    def handle(self, *args: Any, **options: Any) -> None:
        """Do the deed, or say why not."""
        workspace = Workspace.objects.filter(slug=options["workspace"]).first()
        if workspace is None:
            raise CommandError(f"there is no workspace {options['workspace']}")
        rows = Connection.objects.filter(workspace=workspace).exclude(state=ConnectionState.DISCONNECTED)
        if options["deed"] == "list":
            for row in rows:
                self.stdout.write(f"{row.service}/{row.account}  {row.state}  {row.access}  {row.base_url}")
            return
        try:
            done = self._do(
                workspace, rows.filter(service=options["service"], account=options["account"]).first(), options
            )
        except Refused as refusal:
            faults = "".join(f"\n  {fault.path}: {fault.message}" for fault in refusal.faults)
            raise CommandError(refusal_sentence(refusal) + faults) from None
        self.stdout.write(f"{done} is {done.state}.")

    def _do(self, workspace: Workspace, found: Connection | None, options: dict[str, Any]) -> Connection:
        who: dict[str, Any] = {"by": person_named(options), "because": options["because"]}
        if options["deed"] == "connect":
            return connect(
                workspace, options["service"], options["account"], settings=_settings(), access=options["access"],
                base_url=options["base_url"], **who,
            )  # fmt: skip
        if found is None:
            raise CommandError(f"{workspace.slug} has no connection {options['service']}/{options['account']}")
        return DEEDS[options["deed"]](found.pk, **who)


def _settings() -> dict[str, Any]:
    try:
        found = json.loads(sys.stdin.read())
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise CommandError('the settings on the standard input are not a JSON object: {"token": "{{secret:name}}"}')
    return found
