"""What `doctor` looks at: each finding says what is so, how bad that is, and how to mend it."""

import os
import shutil
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path

import psycopg
from django.conf import settings
from django.core import checks
from django.db import DatabaseError, connection

from worka_site import home
from worka_site.checks import is_open_to_others
from worka_site.embedded import PortTaken, listen_on_port
from worka_site.env import server_environment
from worka_site.postgres import PostgresUnavailable, as_somebody, programs
from worka_site.private import private_postgres

DISK_WANTED_GIB = 2
DISK_NEEDED_GIB = 0.3
CLOCK_MAY_DIFFER_S = 2
OLDEST_POSTGRES = 150000


class Level(StrEnum):
    """How a finding is: `good`, `weak` (works, but should be mended) or `bad` (something will not work)."""

    GOOD = "good"
    WEAK = "weak"
    BAD = "bad"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the diagnosis; `mend` says what to do, empty where there is nothing to do."""

    about: str
    level: Level
    says: str
    mend: str = ""


def diagnose() -> Iterator[Finding]:
    """Look at everything, one after the other; what cannot be looked at is a finding too."""
    for look in LOOKS:
        try:
            yield from look()
        except Exception as error:  # noqa: BLE001 - the doctor does not fall ill
            yield Finding(
                look.__name__.strip("_"),
                Level.BAD,
                f"cannot be examined: {type(error).__name__}: {error}",
                "Report this.",
            )


def _python() -> Iterator[Finding]:
    version = ".".join(map(str, sys.version_info[:3]))
    yield Finding("Python", Level.GOOD, f"{version} at {sys.executable}")
    missing = [name for name in ("git", "bwrap") if not shutil.which(name)]
    if missing:
        packages = {"bwrap": "bubblewrap"}
        names = " ".join(packages.get(name, name) for name in missing)
        yield Finding("programs", Level.BAD, f"missing: {', '.join(missing)}", f"apt-get install {names}")
    else:
        yield Finding("programs", Level.GOOD, "git and bubblewrap are installed")


def _sandbox() -> Iterator[Finding]:
    from runtime.backend import Strength
    from runtime.dispatch import configured_backend

    backend = configured_backend()
    if problem := backend.unavailable():
        yield Finding(
            "agents", Level.BAD, f"cannot run ({settings.WORKA_BACKEND}): {problem}", "Runs wait until this is mended."
        )
    else:
        yield Finding(
            "agents", Level.GOOD, f"can run ({settings.WORKA_BACKEND}), at most {settings.WORKA_MAX_JOBS} at once"
        )
    if settings.WORKA_ALLOW_UNSANDBOXED:
        yield Finding("sandbox", Level.BAD, "agents MAY RUN WITHOUT A SANDBOX", "Unset WORKA_ALLOW_UNSANDBOXED.")
    levels = {Strength.HARD: Level.GOOD, Strength.SOFT: Level.WEAK, Strength.NONE: Level.BAD}
    advice = {
        Strength.SOFT: "A watcher holds it, a moment late. A delegated cgroup makes it hard: start Worka as a systemd service with Delegate=yes.",
        Strength.NONE: "Nothing holds it: a bad agent harms this machine.",
    }
    for limit in backend.limits_in_force():
        yield Finding(f"limit: {limit.what}", levels[limit.strength], limit.how, advice.get(limit.strength, ""))


def _keys() -> Iterator[Finding]:
    from audit.keys import KeysMissing, ring

    where = "WORKA_KEYS" if settings.WORKA_KEYS else str(settings.WORKA_KEYS_FILE)
    try:
        ring()
    except KeysMissing as error:
        yield Finding(
            "keys",
            Level.WEAK,
            f"{error}",
            "`make up` makes them at the first start. From a backup: put the file there.",
        )
    else:
        yield Finding(
            "keys", Level.GOOD, f"usable, from {where}; keep a copy: without them nothing encrypted can be read"
        )


def _settings() -> Iterator[Finding]:
    first_start = not (settings.WORKA_HOME / "keys.json").exists()
    for found in checks.run_checks(tags=[checks.Tags.security], include_deployment_checks=True):
        # What `up` makes at the first start is not missing before it.
        if not str(found.id).startswith("worka.") or (first_start and found.id in {"worka.E001", "worka.E004"}):
            continue
        yield Finding(
            f"setting {found.id}", Level.BAD if found.is_serious() else Level.WEAK, found.msg, found.hint or ""
        )


def _home() -> Iterator[Finding]:
    folder: Path = settings.WORKA_HOME
    if not folder.exists():
        yield Finding("home", Level.GOOD, f"{folder} is made at the first start")
        return
    open_to_others = [folder] if stat.S_IMODE(folder.stat().st_mode) & 0o077 else []
    private = [folder / "keys.json", folder / "secret_key", folder / home.CREDENTIALS, folder / "pg"]
    open_to_others += [path for path in private if path.exists() and is_open_to_others(path)]
    if open_to_others:
        names = " ".join(str(path) for path in open_to_others)
        yield Finding("permissions", Level.BAD, f"others on this machine can read {names}", f"chmod go= {names}")
    else:
        yield Finding("permissions", Level.GOOD, f"{folder} is this user's alone")
    foreign = [path for path in private if path.exists() and path.stat().st_uid != os.geteuid()]
    if foreign:
        names = " ".join(str(path) for path in foreign)
        yield Finding(
            "owner", Level.BAD, f"not this user's: {names}", "Start Worka as the user who made them, or chown them."
        )


def _disk() -> Iterator[Finding]:
    folder: Path = settings.WORKA_HOME
    while not folder.exists():
        folder = folder.parent
    free_gib = shutil.disk_usage(folder).free / 2**30
    level = Level.GOOD if free_gib >= DISK_WANTED_GIB else Level.WEAK if free_gib >= DISK_NEEDED_GIB else Level.BAD
    yield Finding(
        "disk",
        level,
        f"{free_gib:.1f} GiB free at {folder}",
        "" if level is Level.GOOD else "Free some, or move WORKA_HOME.",
    )


def _database() -> Iterator[Finding]:
    was_running = True
    if settings.WORKA_IS_EMBEDDED:
        try:
            as_somebody()
            programs()
        except PostgresUnavailable as error:
            yield Finding("data base", Level.BAD, str(error), "See above.")
            return
        was_running = private_postgres().process() is not None
        if not was_running:
            made = (private_postgres().data / "PG_VERSION").exists()
            state = "is not running; `make up` starts it" if made else "is made at the first start"
            yield Finding("data base", Level.GOOD, f"the private PostgreSQL can run here and {state}")
            return
    try:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT clock_timestamp(), current_setting('fsync'), current_setting('synchronous_commit'), current_setting('server_version_num')::int"
            )
            at, fsync, synchronous, version = cursor.fetchone()
    except (DatabaseError, psycopg.Error) as error:
        yield Finding(
            "data base", Level.BAD, f"cannot be reached: {error}", "Check DATABASE_URL and whether the server runs."
        )
        return
    if version < OLDEST_POSTGRES:
        yield Finding("data base", Level.BAD, f"is PostgreSQL {version // 10000}", "Use PostgreSQL 15 or newer.")
    elif fsync != "on" or synchronous in {"off", "local"}:
        how = f"fsync={fsync}, synchronous_commit={synchronous}"
        yield Finding(
            "data base", Level.BAD, f"forgets what it has confirmed when it crashes ({how})", "Set both to on."
        )
    else:
        yield Finding("data base", Level.GOOD, f"PostgreSQL {version // 10000} answers and is durable")
    apart_s = abs((datetime.now(UTC) - at).total_seconds())
    if apart_s > CLOCK_MAY_DIFFER_S:
        says = f"this machine and the data base differ by {apart_s:.0f} s"
        yield Finding("clocks", Level.BAD, says, "Deadlines and tokens would be wrong: set up NTP on both.")
    else:
        yield Finding("clocks", Level.GOOD, "this machine and the data base agree")
    yield from _ledger()


def _ledger() -> Iterator[Finding]:
    from audit.sealing import outside_difference

    if why := outside_difference():
        yield Finding(
            "ledger",
            Level.BAD,
            why,
            "If this is a restored backup: manage.py accept_restore. Else somebody has changed it.",
        )
    else:
        yield Finding("ledger", Level.GOOD, f"agrees with the signed heads in {settings.WORKA_TREE_HEADS}")


def _tracing() -> Iterator[Finding]:
    from gateway.tracing.exporters import wanted
    from gateway.tracing.follow import tracing_health

    if not wanted():
        yield Finding("traces", Level.GOOD, "are off; WORKA_OTLP_ENDPOINT or WORKA_LANGFUSE_HOST says where they go")
        return
    try:
        found = tracing_health()
    except (DatabaseError, psycopg.Error):
        names = ", ".join(name.removeprefix("trace:") for name in wanted())
        yield Finding("traces", Level.GOOD, f"go to {names}; how that goes is known when the data base runs")
        return
    for one in found:
        name = one.name.removeprefix("trace:")
        if one.is_healthy:
            yield Finding("traces", Level.GOOD, f"go to {name}, {one.behind} entries behind")
        else:
            says = f"do not go to {name}, {one.behind} entries wait: {one.last_error}"
            yield Finding("traces", Level.WEAK, says, "Nothing is lost: they go on from where they stopped.")


def _clock() -> Iterator[Finding]:
    # Years off means a dead clock battery: tokens and certificates fail in strange ways.
    if not datetime(2026, 1, 1, tzinfo=UTC) < datetime.now(UTC) < datetime(2100, 1, 1, tzinfo=UTC):
        yield Finding("clock", Level.BAD, f"says {time.ctime()}", "Set it.")
        return
    if shutil.which("timedatectl"):
        command = ["timedatectl", "show", "--property=NTPSynchronized", "--value"]
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=server_environment(), timeout=5)
        if done.stdout.strip() == "no":
            yield Finding("clock", Level.WEAK, "is not synchronised", "timedatectl set-ntp true")
            return
    yield Finding("clock", Level.GOOD, f"says {datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC")


def _port() -> Iterator[Finding]:
    if running := home.running_server(settings.WORKA_HOME):
        yield Finding("server", Level.GOOD, f"running at {running.get('url')} (process {running.get('pid')})")
        return
    try:
        listen_on_port(settings.WORKA_HOST, settings.WORKA_PORT).close()
    except PortTaken as error:
        yield Finding("port", Level.BAD, str(error), f"PORT={settings.WORKA_PORT + 1} make up")
    else:
        yield Finding("port", Level.GOOD, f"{settings.WORKA_HOST}:{settings.WORKA_PORT} is free")


def _repositories() -> Iterator[Finding]:
    roots = ", ".join(str(root) for root in settings.WORKA_REPOSITORY_ROOTS)
    yield Finding("repositories", Level.GOOD, f"agents may be given git repositories under {roots}")


def _playbooks() -> Iterator[Finding]:
    from gateway.playbooks import broken_playbooks, playbooks
    from runtime.agents.playbook import BadPlaybook, compile_playbook

    mend = f"Mend it, or take it out of {settings.WORKA_PLAYBOOKS}: it is left out until then."
    usable = playbooks()
    for broken in broken_playbooks():
        yield Finding("playbooks", Level.WEAK, f"{broken.file} is left out: {broken.why}", mend)
    for each in list(usable):
        try:
            compile_playbook(each["text"], digest=each["digest"])
        except BadPlaybook as error:
            usable.remove(each)
            yield Finding("playbooks", Level.WEAK, f"{each['name']} cannot be used: {error}", mend)
    yield Finding("playbooks", Level.GOOD, f"{len(usable)} can be used")


LOOKS: tuple[Callable[[], Iterable[Finding]], ...] = (
    _python, _sandbox, _keys, _settings, _home, _disk, _clock, _database, _tracing, _port, _repositories,
    _playbooks,
)  # fmt: skip
