"""Data bases for the suite: one server for everybody, a migrated template, and clones of it.

A test that commits gets a clone for itself. Ledger tables refuse DELETE and TRUNCATE, from everybody but a superuser who says
that triggers do not count for him; as one the suite empties a clone that was used, for the next test of the same process.
"""

import fcntl
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import django
import psycopg
from django.apps import apps
from django.core.management import call_command
from django.db import connections
from psycopg import sql

from tests.settings import GIVEN_DATABASE_URL
from worka_site.env import PROJECT, Environment, database_settings, own_folder
from worka_site.postgres import Postgres

HOME = PROJECT / ".worka" / "test-postgres"
TEMPLATES_KEPT = 3
_numbers = count()


class Rows(NamedTuple):
    """What is in a data base: of each table that has rows its name and its rows as COPY gives them, and how far sequences are."""

    tables: list[tuple[str, bytes]]
    sequences: list[tuple[str, int]]


class Cluster:
    """The server that the suite uses, and what is made on it."""

    def __init__(self) -> None:
        self.url = ""
        self._in_use: int | None = None
        self._postgres: Postgres | None = None
        self._idle: list[str] = []
        self._shape = ""
        self._rows: dict[str, Rows] = {}

    def open(self) -> None:
        """Start or adopt the server (or take the given one), and make the template if its migrations are new."""
        if GIVEN_DATABASE_URL:
            self._use(GIVEN_DATABASE_URL)
            return
        own_folder(HOME)
        self._in_use = os.open(HOME / "in-use", os.O_RDWR | os.O_CREAT, 0o600)
        # Every process of the suite holds this while it works; who can have it alone is the last, and stops the server.
        fcntl.flock(self._in_use, fcntl.LOCK_SH)
        durable_is_slow = {
            "fsync": "off",
            "synchronous_commit": "off",
            "full_page_writes": "off",
            "max_connections": "300",
        }
        sockets = Environment(WORKA_HOME=HOME).socket_folder("pg")
        self._postgres = Postgres(HOME / "data", sockets, HOME / "logs" / "postgres.log", durable_is_slow)
        self._postgres.start()
        self._use(self._postgres.url("postgres"))

    def close(self) -> None:
        """Stop the server if nobody else uses it."""
        connections.close_all()
        while self._idle:
            self.drop(self._idle.pop())
        if self._in_use is None or self._postgres is None:
            return
        try:
            fcntl.flock(self._in_use, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pass
        else:
            self._postgres.stop()
        os.close(self._in_use)

    def url_of(self, name: str) -> str:
        """Return the DATABASE_URL of one of the server's data bases."""
        found = database_settings(self.url)
        account = quote(found["USER"]) + (f":{quote(found['PASSWORD'])}" if found["PASSWORD"] else "")
        return f"postgresql://{account}@/{name}?host={quote(found['HOST'] or 'localhost')}&port={found['PORT'] or 5432}"

    def template(self) -> str:
        """Return the name of the migrated template, made now unless these migrations have run before."""
        name = f"worka_template_{migrations_digest()}"
        with self._administrator() as connection:
            connection.execute("SELECT pg_advisory_lock(hashtext('worka template'))")
            if not connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]).fetchone():
                # Made under another name: a suite that was stopped half-way leaves no template behind.
                draft = f"worka_draft_{os.getpid()}"
                self._drop(connection, draft)
                connection.execute(sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(sql.Identifier(draft)))
                self.point_at(draft)
                call_command("migrate", interactive=False, verbosity=0)
                connections.close_all()
                rename = sql.SQL("ALTER DATABASE {} RENAME TO {}")
                connection.execute(rename.format(sql.Identifier(draft), sql.Identifier(name)))
            self._sweep(connection, keep=name)
        return name

    def clone(self, template: str) -> str:
        """Make a data base like the template; its name says which process it belongs to."""
        name = f"worka_test_{os.getpid()}_{next(_numbers)}"
        with self._administrator() as connection:
            statement = sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY WAL_LOG")
            connection.execute(statement.format(sql.Identifier(name), sql.Identifier(template)))
        return name

    def lend(self, template: str) -> str:
        """Return the name of a clone that is as new: one that was given back, or one more."""
        return self._idle.pop() if self._idle else self.clone(template)

    def lend_like(self, name: str) -> str:
        """Return the name of a clone of another data base than the template: an emptied one with its rows, or a new one."""
        if not self._idle:
            return self.clone(name)
        if name not in self._rows:
            with psycopg.connect(self.url_of(name)) as connection:
                self._rows[name] = rows_in(connection)
        lent = self._idle.pop()
        with psycopg.connect(self.url_of(lent)) as connection:
            fill(connection, self._rows[name])
        return lent

    def take_back(self, name: str) -> None:
        """Empty a clone for the next who needs one; one that cannot be made as it was is dropped."""
        connections.close_all()
        with self._administrator() as connection:
            is_superuser = connection.info.parameter_status("is_superuser") == "on"
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s AND pid <> pg_backend_pid()",
                [name],
            )
        if is_superuser and self._empty(name):
            self._idle.append(name)
        else:
            self.drop(name)

    def _empty(self, name: str) -> bool:
        """Delete all rows that migrations did not make; say whether the data base is like its template again."""
        with psycopg.connect(self.url_of(name), autocommit=True) as connection:
            self._shape = self._shape or _shape_of(self.url_of(f"worka_template_{migrations_digest()}"))
            if _shape(connection) != self._shape:
                return False
            tables, sequences = _what_fills(connection)
            statements = ["SET session_replication_role = replica", *(f"DELETE FROM {table}" for table in tables)]
            connection.execute("; ".join(statements + [f"ALTER SEQUENCE {each} RESTART" for each in sequences]))
        return True

    def drop(self, name: str) -> None:
        """Remove a clone, with whoever is still connected to it."""
        with self._administrator() as connection:
            self._drop(connection, name)

    def point_at(self, name: str) -> None:
        """Let Django work on this data base, in every thread, with the options that the settings give every connection."""
        connections.close_all()
        found = database_settings(self.url_of(name))
        del found["OPTIONS"]
        connections.settings["default"].update({**found, "NAME": name})

    def _use(self, url: str) -> None:
        self.url = url

    @contextmanager
    def _administrator(self) -> "Iterator[psycopg.Connection[tuple]]":
        with psycopg.connect(self.url_of("postgres"), autocommit=True) as connection:
            yield connection

    def _sweep(self, connection: "psycopg.Connection[tuple]", *, keep: str) -> None:
        rows = connection.execute(
            "SELECT datname FROM pg_database WHERE datname LIKE 'worka\\_%' ORDER BY oid DESC"
        ).fetchall()
        names = [name for (name,) in rows]
        old = [name for name in names if name.startswith("worka_template_") and name != keep][TEMPLATES_KEPT - 1 :]
        left = [name for name in names if name.startswith(("worka_test_", "worka_draft_")) and not _is_alive(name)]
        for name in old + (left if not GIVEN_DATABASE_URL else []):
            try:
                self._drop(connection, name)
            except psycopg.errors.ObjectInUse:
                continue

    @staticmethod
    def _drop(connection: "psycopg.Connection[tuple]", name: str) -> None:
        connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


_COPY_OF_NO_ROWS = 21  # bytes: the header and the trailer
# What migrations fill; nothing else has rows in a template.
_KEPT = ("django_migrations", "django_content_type", "auth_permission")
_SHAPE = """
SELECT md5(string_agg(part, '|' ORDER BY part)) FROM (
    SELECT format('%s %s', relname, relkind) FROM pg_class WHERE relnamespace = 'public'::regnamespace
    UNION ALL SELECT format('%s %s %s %s', attrelid::regclass, attname, atttypid::regtype, attnotnull)
        FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid
        WHERE relnamespace = 'public'::regnamespace AND attnum > 0 AND NOT attisdropped
    UNION ALL SELECT format('%s %s %s', tgrelid::regclass, tgname, tgenabled) FROM pg_trigger WHERE NOT tgisinternal
    UNION ALL SELECT format('%s %s', proname, md5(prosrc)) FROM pg_proc WHERE pronamespace = 'public'::regnamespace
    UNION ALL SELECT format('%s %s', conrelid::regclass, conname) FROM pg_constraint
    UNION ALL SELECT format('permission %s', count(*)) FROM auth_permission
    UNION ALL SELECT format('type %s', count(*)) FROM django_content_type
    UNION ALL SELECT format('migration %s', count(*)) FROM django_migrations
) AS shape (part)
"""


def _shape(connection: "psycopg.Connection[tuple]") -> str:
    """Return a digest of tables, columns, triggers, functions and constraints, and of how much there is of what migrations made."""
    row = connection.execute(_SHAPE).fetchone()
    assert row is not None
    return row[0]


def _shape_of(url: str) -> str:
    with psycopg.connect(url, autocommit=True) as connection:
        return _shape(connection)


def _what_fills(connection: "psycopg.Connection[tuple]") -> tuple[list[str], list[str]]:
    """Return the tables that tests fill, and the sequences that were used for them."""
    tables = connection.execute(
        "SELECT format('%%I', relname) FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' "
        "AND relname <> ALL(%s)", [list(_KEPT)]
    )  # fmt: skip
    sequences = connection.execute(
        "SELECT format('%I', sequencename) FROM pg_sequences WHERE schemaname = 'public' AND last_value IS NOT NULL"
    )
    used = [name for (name,) in sequences if not name.startswith(_KEPT)]
    return [name for (name,) in tables], used


def rows_in(connection: "psycopg.Connection[Any]") -> Rows:
    """Return what is in a data base, as this connection sees it."""
    tables = []
    for name in _what_fills(connection)[0]:
        with connection.cursor().copy(f"COPY {name} TO STDOUT (FORMAT binary)") as copied:
            found = b"".join(copied)
        if len(found) > _COPY_OF_NO_ROWS:
            tables.append((name, found))
    sequences = connection.execute(
        "SELECT format('%I', sequencename), last_value FROM pg_sequences "
        "WHERE schemaname = 'public' AND last_value IS NOT NULL"
    ).fetchall()
    return Rows(tables, [(name, value) for name, value in sequences if not name.startswith(_KEPT)])


def fill(connection: "psycopg.Connection[Any]", rows: Rows) -> None:
    """Put the rows of one data base into another, past its triggers: they ran where the rows were made."""
    connection.execute("SET session_replication_role = replica")
    for name, found in rows.tables:
        with connection.cursor().copy(f"COPY {name} FROM STDIN (FORMAT binary)") as copying:
            copying.write(found)
    further = [
        f"setval('{name}', greatest({value}, (SELECT last_value FROM {name})))" for name, value in rows.sequences
    ]
    connection.execute("SET session_replication_role = DEFAULT" + (f"; SELECT {', '.join(further)}" if further else ""))


def migrations_digest() -> str:
    """Return a digest of everything that decides what the migrated data base looks like."""
    found = hashlib.sha256(django.__version__.encode())
    for app in apps.get_app_configs():
        folder = Path(app.path) / "migrations"
        if not app.path.startswith(str(PROJECT)) or "site-packages" in app.path:
            found.update(app.name.encode())
            continue
        for file in sorted(folder.glob("*.py")):
            found.update(f"{app.name}/{file.name}\0".encode() + file.read_bytes())
    # Triggers are written in a module that migrations import.
    for name in ("audit.triggers",):
        found.update(Path(import_module(name).__file__ or "").read_bytes())
    return found.hexdigest()[:16]


def _is_alive(name: str) -> bool:
    pid = name.split("_")[2]
    return pid.isdigit() and Path(f"/proc/{pid}").exists()
