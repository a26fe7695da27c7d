"""The home folder of a laptop installation: one server at a time, its secrets, and who may sign in."""

import fcntl
import json
import os
import secrets
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from worka_site.env import own_folder

CREDENTIALS = "credentials.json"


class AlreadyRunning(Exception):
    """Another server works on this home; the message says which."""


@contextmanager
def only_server(home: Path, about: Mapping[str, Any]) -> Iterator[None]:
    """Hold the home's lock while serving; raise `AlreadyRunning` if somebody holds it. It goes with the process, however that ends."""
    own_folder(home)
    with os.fdopen(os.open(home / "up.lock", os.O_RDWR | os.O_CREAT, 0o600), "r+", encoding="utf-8") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            held = json.loads(lock.read() or "{}")
            where = f" at {held['url']} (process {held['pid']})" if held else ""
            raise AlreadyRunning(
                f"Worka is already running{where}. Stop it there, or give this one another WORKA_HOME."
            ) from None
        lock.truncate(0)
        lock.write(json.dumps({"pid": os.getpid(), **about}))
        lock.flush()
        try:
            yield
        finally:
            lock.truncate(0)


def running_server(home: Path) -> dict[str, Any] | None:
    """Return what the server that works on this home says of itself, or None where none does."""
    try:
        with (home / "up.lock").open(encoding="utf-8") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                found: dict[str, Any] = json.loads(lock.read() or "{}")
                return found
    except OSError:
        pass
    return None


def keep_secret_key(home: Path, chosen: str) -> None:
    """Write the session key that this process has chosen, unless there is one."""
    if not (home / "secret_key").exists():
        write_private(home / "secret_key", chosen + "\n")


def read_credentials(home: Path) -> dict[str, Any] | None:
    """Return what the first start has written, or None."""
    try:
        found: dict[str, Any] = json.loads((home / CREDENTIALS).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    return found


def write_credentials(home: Path, found: Mapping[str, Any]) -> None:
    """Write who may sign in, for the owner of the home alone."""
    write_private(home / CREDENTIALS, json.dumps(found, indent=2) + "\n")


def new_password() -> str:
    """Make a password that can be typed: five groups of four letters and digits, 103 bits."""
    letters = "abcdefghjkmnpqrstuvwxyz23456789ABCDEFGHJKLMNP"
    return "-".join("".join(secrets.choice(letters) for _ in range(4)) for _ in range(5))


def write_private(path: Path, text: str) -> None:
    """Replace a file at once by one with mode 0600: a reader sees the old or the new one, a crash leaves either."""
    own_folder(path.parent)
    descriptor, draft = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(draft).replace(path)
    except BaseException:
        Path(draft).unlink(missing_ok=True)
        raise
