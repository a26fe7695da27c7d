"""Publish what agents run on as folders that anybody may read: their code, their packages, their interpreter.

A clone below a private home cannot be read by a job's user, and somebody's checkout may change under a running job. So what a
job gets is a copy, named by the digest of its content: a restart finds it ready, a changed file makes a new one. A copy is
made beside and moved into place whole, so several servers may publish at once.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

OLDEST_PYTHON = (3, 11)
SYSTEM_PYTHON = "/usr/bin/python3"
KEEP_S = 7 * 24 * 3600  # copies that nobody has asked for since
_LEFT_OUT = ("__pycache__", "*.pyc", ".*")
_NOT_OF_AN_INTERPRETER = (
    "test",
    "tests",
    "idlelib",
    "tkinter",
    "turtledemo",
    "ensurepip",
    "site-packages",
    "lib2to3",
    "config-*",
    "*.a",
    "pkgconfig",
)


class NotPublished(Exception):
    """What agents run on could not be made ready; the message says why and how to mend it."""


@dataclass(frozen=True, slots=True)
class Interpreter:
    """An interpreter for agents: its path, and the folder to bind at `home` where the path needs one."""

    path: str
    folder: Path | None = None
    home: str = ""


def publish_packages(packages: Mapping[str, Path], into: Path, python: str) -> Path:
    """Copy packages to one folder that can be imported from, and return it; keys are dotted import names."""
    digest = hashlib.sha256(_version(python).encode())
    for name, source in sorted(packages.items()):
        if not source.is_dir():
            raise NotPublished(f"the agents' package {name} is not at {source}")
        for file in _files(source):
            digest.update(f"{name}\0{file.relative_to(source)}\0".encode())
            digest.update(hashlib.sha256(file.read_bytes()).digest())

    def fill(folder: Path) -> None:
        for name, source in packages.items():
            target = folder.joinpath(*name.split("."))
            for parent in list(target.relative_to(folder).parents)[:-1]:
                (folder / parent).mkdir(parents=True, exist_ok=True)
                (folder / parent / "__init__.py").touch()
            shutil.copytree(source, target, ignore=shutil.ignore_patterns(*_LEFT_OUT), dirs_exist_ok=True)
        _compile(folder, python)

    return _published(into, f"code-{digest.hexdigest()[:16]}", fill)


def publish_requirements(requirements: Path, into: Path, python: str) -> Path:
    """Install a hashed list of packages into a folder of its own, and return it; needs a package index the first time."""
    if not requirements.is_file():
        raise NotPublished(f"the list of the agents' packages is not at {requirements}")
    digest = hashlib.sha256(_version(python).encode() + requirements.read_bytes()).hexdigest()

    def fill(folder: Path) -> None:
        uv = shutil.which("uv", path=str(Path(sys.executable).parent)) or shutil.which("uv")
        command = (
            # Copies, not links: the modes of the folder are changed, and those of a shared cache must not be.
            [uv, "pip", "install", "--quiet", "--link-mode", "copy", "--python", python]
            if uv
            else [sys.executable, "-m", "pip", "install", "--quiet", "--no-compile"]
        )
        _run([*command, "--require-hashes", "--target", str(folder), "-r", str(requirements)], "the agents' packages")
        _compile(folder, python)

    return _published(into, f"site-{digest[:16]}", fill)


def publish_file(content: bytes, kind: str, into: Path) -> Path:
    """Write a file named by its content, so that nobody ever opens half of it, and return it."""
    target = into / f"{kind}-{hashlib.sha256(content).hexdigest()[:16]}"
    if not target.exists():
        with tempfile.NamedTemporaryFile(prefix=".new-", dir=into, delete=False) as file:
            file.write(content)
        Path(file.name).rename(target)
    return target


def choose_interpreter(wanted: str, into: Path) -> Interpreter:
    """Return the interpreter for agents: the one that is wanted, else the system's where it is new enough, else a copy of ours."""
    path = wanted or (SYSTEM_PYTHON if _new_enough(SYSTEM_PYTHON) else str(Path(sys.base_prefix) / "bin" / "python3"))
    if not _new_enough(path):
        raise NotPublished(
            f"{path} is no Python {OLDEST_PYTHON[0]}.{OLDEST_PYTHON[1]} or newer; name another in WORKA_AGENT_PYTHON"
        )
    real = os.path.realpath(path)
    if real.startswith("/usr/") and not real.startswith("/usr/local/"):
        return Interpreter(real)
    home = Path(_ask(path, "import sys; print(sys.base_prefix)"))
    about = Path(real).stat()
    name = hashlib.sha256(f"{real} {about.st_size} {about.st_mtime_ns} {_version(path)}".encode()).hexdigest()[:16]

    def fill(folder: Path) -> None:
        left_out = shutil.ignore_patterns(*_NOT_OF_AN_INTERPRETER)
        for part in ("bin", "lib", "lib64"):
            if (home / part).is_dir() and not (home / part).is_symlink():
                shutil.copytree(home / part, folder / part, symlinks=True, ignore=left_out)

    copy = _published(into, f"python-{name}", fill)
    inside = str(home / os.path.relpath(real, home)) if real.startswith(f"{home}/") else str(home / "bin" / "python3")
    # At its own old path: an interpreter finds its library and its modules by absolute paths.
    return Interpreter(inside, copy, str(home))


def _published(into: Path, name: str, fill: Callable[[Path], None]) -> Path:
    into.mkdir(parents=True, exist_ok=True)
    target = into / name
    if not target.is_dir():
        staging = Path(tempfile.mkdtemp(prefix=".new-", dir=into))
        try:
            fill(staging)
            # Never empty: moving a folder onto an empty one replaces it, also under a job that has it bound.
            (staging / ".published").touch()
            _open_to_all(staging)
            # Another server may have been first; its copy is the same.
            with suppress(OSError):
                staging.rename(target)
        finally:
            shutil.rmtree(staging, ignore_errors=True)
    with suppress(OSError):
        os.utime(target)
    _sweep(into, name.partition("-")[0])
    return target


def _sweep(into: Path, kind: str) -> None:
    """Remove copies that nobody has asked for in a long time; no job runs that long."""
    for old in (*into.glob(f"{kind}-*"), *into.glob(".new-*")):
        with suppress(OSError):
            if time.time() - old.stat().st_mtime > KEEP_S:
                shutil.rmtree(old, ignore_errors=True) if old.is_dir() else old.unlink()


def _files(source: Path) -> list[Path]:
    return sorted(
        path
        for path in source.rglob("*")
        if path.is_file()
        and path.suffix != ".pyc"
        and not any(part == "__pycache__" or part.startswith(".") for part in path.relative_to(source).parts)
    )


def _open_to_all(folder: Path) -> None:
    for path in (folder, *folder.rglob("*")):
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)


def _compile(folder: Path, python: str) -> None:
    """Compile for speed only: a module that does not compile says so to whoever imports it, and stops no other agent."""
    with suppress(OSError, subprocess.TimeoutExpired):
        subprocess.run(
            [python, "-I", "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash", str(folder)],
            check=False,
            capture_output=True,
            timeout=600,
            stdin=subprocess.DEVNULL,
        )


def _new_enough(python: str) -> bool:
    try:
        major, minor = _version(python).split(".")[:2]
    except NotPublished:
        return False
    return (int(major), int(minor)) >= OLDEST_PYTHON


def _version(python: str) -> str:
    return _ask(python, "import platform; print(platform.python_version(), platform.python_implementation())")


def _ask(python: str, question: str) -> str:
    return _run([python, "-I", "-S", "-c", question], python).strip()


def _run(command: list[str], what: str) -> str:
    try:
        done = subprocess.run(
            command, check=True, capture_output=True, text=True, timeout=600, stdin=subprocess.DEVNULL
        )
    except FileNotFoundError:
        raise NotPublished(f"{what}: {command[0]} is not there") from None
    except subprocess.TimeoutExpired:
        raise NotPublished(f"{what}: it took longer than ten minutes") from None
    except subprocess.CalledProcessError as error:
        said = (error.stderr or error.stdout or "").strip().splitlines()
        raise NotPublished(f"{what}: {said[-1] if said else f'exit code {error.returncode}'}") from None
    return done.stdout
