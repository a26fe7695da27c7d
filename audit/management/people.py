"""Who stands behind a command: a person, by name, with a reason."""

from argparse import ArgumentParser
from typing import Any

from django.contrib.auth import get_user_model
from django.core.management.base import CommandError

from audit.principals import Principal, person


def add_person_arguments(parser: ArgumentParser) -> None:
    """Ask for `--by` and `--because`, both mandatory."""
    parser.add_argument("--by", required=True, metavar="USERNAME", help="the person who does this")
    parser.add_argument("--because", required=True, metavar="REASON", help="why; it is written down")


def person_named(options: dict[str, Any]) -> Principal:
    """Return the person that `--by` names, who must exist and be active."""
    users = get_user_model()
    try:
        user = users._default_manager.get_by_natural_key(options["by"])
    except users.DoesNotExist:
        raise CommandError(f"there is nobody called {options['by']!r}") from None
    if not user.is_active:
        raise CommandError(f"{options['by']} may no longer act")
    return person(user, via="command")
