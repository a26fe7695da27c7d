"""Put, rotate, revoke and grant secrets of a workspace; a value comes from the standard input and never goes out."""

import sys
from argparse import ArgumentParser
from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from audit.core.refusals import Refused
from audit.management.people import add_person_arguments, person_named
from audit.screens import refusal_sentence
from gateway.core.states import ConnectionState, GrantState
from gateway.models import Connection, Grant, Secret
from gateway.treasury.impact import impact_of
from gateway.treasury.secrets import give_grant, put_secret, revoke_secret, rotate_secret, withdraw_grant
from governance.models import Workspace


class Command(BaseCommand):
    """Act on secrets as a person who may; what depends on one is said before and after."""

    help = (
        "Put, rotate, revoke, grant and list secrets. Values are read from the standard input, never from an argument."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        deeds = parser.add_subparsers(dest="deed", required=True)
        for deed, says in (
            ("put", "keep the value on the standard input under a new name"),
            ("rotate", "put the value on the standard input in force"),
            ("revoke", "erase every value, at once and for good"),
            ("grant", "let a connection or skills use it"),
            ("ungrant", "take a grant back"),
            ("impact", "say what depends on it"),
        ):
            own = deeds.add_parser(deed, help=says)
            own.add_argument("name")
            own.add_argument("--workspace", required=True, metavar="SLUG")
            if deed != "impact":
                add_person_arguments(own)
            if deed == "put":
                own.add_argument("--description", default="")
            if deed == "rotate":
                own.add_argument("--overlap-hours", type=int, default=24, help="how long the older value works (24)")
            if deed in ("grant", "ungrant"):
                to = own.add_mutually_exclusive_group(required=True)
                to.add_argument("--connection", metavar="SERVICE/ACCOUNT", default="")
                to.add_argument("--skill", metavar="GLOB", default="")

    def handle(self, *args: Any, **options: Any) -> None:
        """Do the deed, or say why not."""
        workspace = Workspace.objects.filter(slug=options["workspace"]).first()
        if workspace is None:
            raise CommandError(f"there is no workspace {options['workspace']}")
        try:
            getattr(self, f"_{options['deed']}")(workspace, options)
        except Refused as refusal:
            raise CommandError(refusal_sentence(refusal)) from None

    def _put(self, workspace: Workspace, options: dict[str, Any]) -> None:
        made = put_secret(workspace, options["name"], _value(), description=options["description"], **_who(options))
        self.stdout.write(f"{made.name} is kept. Nothing may use it yet.")

    def _rotate(self, workspace: Workspace, options: dict[str, Any]) -> None:
        secret = _secret(workspace, options["name"])
        overlap = timedelta(hours=options["overlap_hours"])
        impact = rotate_secret(secret.pk, _value(), overlap=overlap, **_who(options))
        self.stdout.write(f"{secret.name} is rotated. {impact.sentence('The new value is used by')}")

    def _revoke(self, workspace: Workspace, options: dict[str, Any]) -> None:
        impact = revoke_secret(_secret(workspace, options["name"]).pk, **_who(options))
        self.stdout.write(f"{options['name']} is revoked and erased. {impact.sentence('Stopped working')}")

    def _grant(self, workspace: Workspace, options: dict[str, Any]) -> None:
        secret = _secret(workspace, options["name"])
        connection = _connection(workspace, options["connection"]) if options["connection"] else None
        given = give_grant(
            secret.pk, connection_id=connection.pk if connection else None, skill=options["skill"], **_who(options)
        )
        self.stdout.write(f"Granted: {given}.")

    def _ungrant(self, workspace: Workspace, options: dict[str, Any]) -> None:
        secret = _secret(workspace, options["name"])
        connection = _connection(workspace, options["connection"]) if options["connection"] else None
        given = Grant.objects.filter(
            secret=secret, connection=connection, skill=options["skill"], state=GrantState.GIVEN
        ).first()
        if given is None:
            raise CommandError("there is no such grant")
        self.stdout.write(f"Taken back: {withdraw_grant(given.pk, **_who(options))}.")

    def _impact(self, workspace: Workspace, options: dict[str, Any]) -> None:
        self.stdout.write(impact_of(_secret(workspace, options["name"])).sentence("Uses it"))


def _value() -> str:
    """Read a value: all of the standard input, without the end of its last line."""
    return sys.stdin.read().removesuffix("\n")


def _who(options: dict[str, Any]) -> dict[str, Any]:
    return {"by": person_named(options), "because": options["because"]}


def _secret(workspace: Workspace, name: str) -> Secret:
    found = Secret.objects.filter(workspace=workspace, name=name, revoked_at=None).first()
    if found is None:
        raise CommandError(f"there is no secret {name} in {workspace.slug}")
    return found


def _connection(workspace: Workspace, named: str) -> Connection:
    service, _, account = named.partition("/")
    rows = Connection.objects.filter(workspace=workspace, service=service, account=account)
    found = rows.exclude(state=ConnectionState.DISCONNECTED).first()
    if found is None:
        raise CommandError(f"{workspace.slug} has no connection {named}")
    return found
