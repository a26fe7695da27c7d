"""Start everything on this machine and serve until Ctrl-C."""

import asyncio
import signal
import threading
import time
from argparse import ArgumentParser
from contextlib import ExitStack
from typing import Any

import structlog
from django.conf import settings
from django.core import checks
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.db import connection, connections
from django.db.migrations.executor import MigrationExecutor

from audit.keys import generate_key_file
from worka_site import embedded, home
from worka_site.env import own_folder
from worka_site.postgres import PostgresUnavailable
from worka_site.private import private_postgres

log = structlog.get_logger(__name__)

AGENTS_GO_WITHIN_S = 10


class Command(BaseCommand):
    """Start the data base, migrate, seed and serve; Ctrl-C stops all that this has started."""

    help = "Set up the data base, seed it and serve on http://127.0.0.1:$PORT until Ctrl-C."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--no-serve", action="store_true", help="set up, then stop again")

    def handle(self, *args: Any, **options: Any) -> None:
        """Run until asked to stop."""
        began = time.perf_counter()
        # Until the servers run, being told to end is an exception like Ctrl-C: what was started is stopped again.
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        try:
            with ExitStack() as stack:
                self._prepare(stack)
                if not options["no_serve"]:
                    self._serve(stack, began)
        except (home.AlreadyRunning, embedded.PortTaken, PostgresUnavailable) as refusal:
            raise CommandError(str(refusal)) from None
        except KeyboardInterrupt:
            raise SystemExit(130) from None

    def _prepare(self, stack: ExitStack) -> None:
        stack.enter_context(home.only_server(settings.WORKA_HOME, {"url": settings.WORKA_URL}))
        self.web = embedded.listen_on_port(settings.WORKA_HOST, settings.WORKA_PORT)
        stack.callback(self.web.close)
        home.keep_secret_key(settings.WORKA_HOME, settings.SECRET_KEY)
        if not settings.WORKA_KEYS and not settings.WORKA_KEYS_FILE.exists():
            own_folder(settings.WORKA_KEYS_FILE.parent)
            generate_key_file(settings.WORKA_KEYS_FILE)
        if settings.WORKA_IS_EMBEDDED:
            server = private_postgres()
            server.start()
            stack.callback(server.stop)
            server.create_database()
        stack.callback(connections.close_all)
        self._demand_safe_settings()
        self._migrate()
        self._freeze_after_a_restore()
        from worka_site.seed import seed

        self.credentials = seed()

    def _demand_safe_settings(self) -> None:
        found = [
            each
            for each in checks.run_checks(tags=[checks.Tags.security], include_deployment_checks=True)
            if str(each.id).startswith("worka.")
        ]
        for each in found:
            self.stderr.write(f"{each.id}: {each.msg}\n    {each.hint}")
        if any(each.is_serious() for each in found):
            raise CommandError("Worka does not start with unsafe settings.")

    def _migrate(self) -> None:
        executor = MigrationExecutor(connection)
        if executor.migration_plan(executor.loader.graph.leaf_nodes()):
            self.stdout.write("Migrating the data base …")
            call_command("migrate", interactive=False, verbosity=0)

    def _freeze_after_a_restore(self) -> None:
        from audit.restore import freeze_if_restored

        if why := freeze_if_restored():
            self.stderr.write(
                f"The ledger is not the one that was here before: {why}.\n"
                "Every workspace is frozen. If this is a restored backup:  .venv/bin/python manage.py accept_restore --help"
            )

    def _serve(self, stack: ExitStack, began: float) -> None:
        from gateway.door.app import app as door
        from worka_site.asgi import application

        door_socket = embedded.listen_on_socket(settings.WORKA_DOOR_SOCKET)
        stack.callback(settings.WORKA_DOOR_SOCKET.unlink, missing_ok=True)
        stack.callback(door_socket.close)
        web = embedded.server_for(application, trusted_proxies=settings.WORKA_TRUSTED_PROXIES)
        stack.callback(embedded.stop_agents, AGENTS_GO_WITHIN_S)
        ticks = embedded.all_ticks(settings.WORKA_TICK_INTERVAL_S)
        for tick in ticks:
            stack.callback(tick.stop)

        def ready() -> None:
            for tick in ticks:
                tick.start()
            threading.Thread(target=embedded.prepare_agents, name="prepare-agents", daemon=True).start()
            self._say_where(time.perf_counter() - began)

        why = asyncio.run(embedded.serve([(web, self.web), (embedded.server_for(door), door_socket)], ready=ready))
        log.info("stopping", because=why)
        self.stdout.write("\nStopping …")

    def _say_where(self, seconds: float) -> None:
        lines = [
            "",
            f"  Worka {settings.WORKA_VERSION} is at {self.style.SUCCESS(settings.WORKA_URL)}   (started in {seconds:.1f} s)",
            "",
        ]
        if self.credentials:
            lines += [f"  {'user':<10} {'role':<8} {'password':<25} API key"]
            lines += [
                f"  {entry['username']:<10} {entry['role']:<8} {entry['password']:<25} {entry['api_key']}"
                for entry in self.credentials["people"]
            ]
            lines += ["", f"  These are kept in {settings.WORKA_HOME / home.CREDENTIALS} for you alone."]
        if problem := embedded.backend_problem():
            lines += ["", self.style.WARNING(f"  Agents cannot run: {problem} (`make doctor` says more)")]
        lines += ["", "  Ctrl-C stops everything.", ""]
        self.stdout.write("\n".join(lines))
        self.stdout.flush()
