"""Work with the embedded data base: stop it, open psql on it, dump it."""

import subprocess
from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from worka_site import embedded, home
from worka_site.env import server_environment
from worka_site.postgres import USER, programs
from worka_site.private import private_postgres


class Command(BaseCommand):
    """Stop, open or dump the data base in WORKA_HOME."""

    help = "Stop the data base that a killed server has left (and its agents), open psql on it, or dump it."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("verb", choices=["stop", "psql", "dump"])

    def handle(self, *args: Any, **options: Any) -> None:
        """Do one of the three."""
        if not settings.WORKA_IS_EMBEDDED:
            raise CommandError("DATABASE_URL is set: the data base is not the embedded one.")
        if options["verb"] == "stop":
            self._stop()
            return
        server = private_postgres()
        started = server.start()
        try:
            address = ["--host", str(server.sockets), "--username", USER]
            if options["verb"] == "psql":
                subprocess.run([str(programs() / "psql"), *address, USER], check=False, env=server_environment())
            else:
                target = settings.WORKA_HOME / "backup.dump"
                # Made by a process that opens its files for the owner alone.
                command = [str(programs() / "pg_dump"), *address, "--format=custom", f"--file={target}", USER]
                subprocess.run(command, check=True, env=server_environment(), umask=0o077)
                self.stdout.write(
                    f"Written: {target}. Keep keys.json with it, elsewhere: the one is useless without the other."
                )
        finally:
            if started:
                server.stop()

    def _stop(self) -> None:
        if running := home.running_server(settings.WORKA_HOME):
            raise CommandError(
                f"Worka is running (process {running.get('pid')}): stop it with Ctrl-C there, or kill {running.get('pid')}."
            )
        embedded.stop_agents(within_s=10)
        self.stdout.write("Stopped." if private_postgres().stop() else "It was not running.")
