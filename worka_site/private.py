"""This installation's own PostgreSQL, when no DATABASE_URL is set."""

from collections.abc import Iterator
from contextlib import contextmanager

from worka_site import home
from worka_site.env import environment
from worka_site.postgres import Postgres

# Commands that start it themselves, or need none.
WITHOUT = frozenset({
    "up", "doctor", "embedded_postgres", "generate_docs", "makemigrations", "check", "check_migrations", "help", "version", "collectstatic",
    "spectacular", "startapp", "test", "",
})  # fmt: skip


def private_postgres() -> Postgres:
    """Return the server whose data lies in WORKA_HOME."""
    env = environment()
    return Postgres(env.within_home("pg"), env.socket_folder("pg"), env.within_home("logs", "postgres.log"))


@contextmanager
def running_for(command: str) -> Iterator[None]:
    """Keep it running while a management command works: `verify_ledger` must not need a server that serves."""
    env = environment()
    if (
        not env.is_embedded
        or command in WITHOUT
        or command.startswith("-")
        or not (env.home / "pg" / "PG_VERSION").exists()
    ):
        yield
        return
    server = private_postgres()
    started = server.start()
    try:
        yield
    finally:
        # A server that began to serve meanwhile has adopted it.
        if started and home.running_server(env.home) is None:
            server.stop()
