"""Run a management command: `python manage.py help` lists them."""

import sys

from worka_site.env import set_default
from worka_site.private import running_for


def main() -> None:
    """Hand the command line to Django, with the data base running."""
    set_default("DJANGO_SETTINGS_MODULE", "worka_site.settings")
    from django.core.management import execute_from_command_line

    with running_for(sys.argv[1] if len(sys.argv) > 1 else ""):
        execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
