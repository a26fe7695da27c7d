"""Erase what agents remember, from the server's own shell: what the console's page does, with the same actions."""

from argparse import ArgumentParser
from typing import Any

from django.contrib.auth import get_user_model
from django.core.management.base import BaseCommand, CommandError

from audit.core.refusals import Refused
from audit.management.people import add_person_arguments, person_named
from audit.screens import refusal_sentence
from gateway.remembering.forgetting import forget_namespace, forget_person, forget_run
from governance.models import Run, Workspace


class Command(BaseCommand):
    """Erase memories as a person who may."""

    help = "Erase what agents remember of a person, of a run, or all that one agent remembers."

    def add_arguments(self, parser: ArgumentParser) -> None:
        which = parser.add_mutually_exclusive_group(required=True)
        which.add_argument("--person", metavar="USERNAME", help="all that this person asked for")
        which.add_argument("--run", type=int, metavar="NUMBER", help="this run; it is not remembered later either")
        which.add_argument("--namespace", metavar="agent:NAME", help="all that this agent remembers")
        parser.add_argument("--workspace", metavar="SLUG", default="", help="needed where there are several")
        add_person_arguments(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        """Erase, or say why not."""
        workspace = _workspace(options["workspace"])
        who = {"by": person_named(options), "because": options["because"]}
        try:
            if options["person"] is not None:
                count = forget_person(workspace, [_key_of(options["person"])], **who)
            elif options["run"] is not None:
                run = Run.objects.filter(workspace=workspace, number=options["run"]).first()
                if run is None:
                    raise CommandError(f"there is no run {options['run']} in {workspace.slug}")
                count = forget_run(run, **who)
            else:
                count = forget_namespace(workspace, options["namespace"], **who)
        except Refused as refusal:
            raise CommandError(refusal_sentence(refusal)) from None
        self.stdout.write(f"{count} {'memory is' if count == 1 else 'memories are'} erased.")


def _workspace(slug: str) -> Workspace:
    found = list(Workspace.objects.filter(slug=slug) if slug else Workspace.objects.all()[:2])
    if not found:
        raise CommandError(f"there is no workspace {slug}".rstrip())
    if len(found) > 1:
        raise CommandError("there are several workspaces: say which with --workspace")
    return found[0]


def _key_of(username: str) -> str:
    users = get_user_model()
    try:
        return str(users._default_manager.get_by_natural_key(username).pk)
    except users.DoesNotExist:
        raise CommandError(f"there is nobody called {username!r}") from None
