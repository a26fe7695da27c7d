"""A repository on this machine that may be read: found, checked, and opened only through the cage.

Git on somebody's repository runs what its configuration names, so three things stand one behind the other: the paths are
checked (only under the roots, never the product's own home, nothing that points out of the repository); every setting
that names a program is overridden; and the cage shows this repository alone, read-only, and refuses to start programs.
"""

import os
import re
import shutil
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from audit.core.codes import Code
from gateway.cage import PROGRAMS, Cage, CageMissing, Ended, run
from gateway.connector import CallContext, SkillFailed
from gateway.git.parse import CONTROL

INSIDE = "/repository"
POINTER_MOST = 4096
CHAIN_MOST = 16
OUTPUT_MOST = 32 * 1024**2
COMPLAINT = re.compile(rb"^(?:error|fatal): ", re.MULTILINE)

# Settings a repository could use to run a program, to reach out, or to make figures lie; the environment beats its files.
SETTINGS = {
    "safe.directory": "*",
    "core.fsmonitor": "false",
    "core.hooksPath": "/dev/null",
    "core.pager": "cat",
    "core.editor": ":",
    "core.sshCommand": "false",
    "core.gitProxy": "false",
    "core.alternateRefsCommand": "false",
    "core.attributesFile": "/dev/null",
    "core.commitGraph": "false",
    "core.untrackedCache": "false",
    "core.quotePath": "false",
    "core.packedGitWindowSize": "32m",
    "core.packedGitLimit": "512m",
    "credential.helper": "",
    "diff.external": "",
    "diff.orderFile": "/dev/null",
    "diff.ignoreSubmodules": "none",
    "diff.renameLimit": "1000",
    "diff.submodule": "short",
    "gpg.program": "false",
    "gpg.ssh.program": "false",
    "gpg.x509.program": "false",
    "grep.threads": "1",
    "i18n.logOutputEncoding": "UTF-8",
    "interactive.diffFilter": "",
    "log.mailmap": "true",
    "log.showRoot": "true",
    "log.showSignature": "false",
    "mailmap.blob": "",
    "mailmap.file": "/dev/null",
    "protocol.allow": "never",
    "submodule.recurse": "false",
}
ENVIRONMENT = {
    "HOME": "/nonexistent",
    "LC_ALL": "C.UTF-8",
    "TZ": "UTC",
    "GIT_ALLOW_PROTOCOL": "none",
    "GIT_ASKPASS": "false",
    "GIT_ATTR_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_SYSTEM": "/dev/null",
    "GIT_GRAFT_FILE": "/nonexistent/grafts",
    "GIT_INDEX_FILE": "/nonexistent/index",  # no index: no fsmonitor, no filters on files of the working tree
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_NO_REPLACE_OBJECTS": "1",
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_PAGER": "cat",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_CONFIG_COUNT": str(len(SETTINGS)),
    **{f"GIT_CONFIG_KEY_{number}": key for number, key in enumerate(SETTINGS)},
    **{f"GIT_CONFIG_VALUE_{number}": value for number, value in enumerate(SETTINGS.values())},
}


def bad_input(message: str, recovery: str = "") -> SkillFailed:
    return SkillFailed(message, code=Code.BAD_INPUT, recovery=recovery)


@dataclass(frozen=True, slots=True)
class Repository:
    """A checked repository: its real path, its git folder relative to that, and the product's home."""

    path: Path
    git_folder: str
    bare: bool
    home: Path

    @property
    def hidden(self) -> str:
        """Return where the product's home lies inside the repository, or nothing."""
        return str(self.home.relative_to(self.path)) if self.home.is_relative_to(self.path) else ""

    def git(
        self,
        arguments: Sequence[str],
        context: CallContext,
        *,
        stdin: bytes = b"",
        most_bytes: int = OUTPUT_MOST,
        fine: tuple[int, ...] = (0,),
    ) -> Ended:
        """Run one git command in the cage; a status outside `fine`, no cage or no time left is a `SkillFailed`."""
        program = shutil.which("git", path=PROGRAMS)
        if program is None:
            raise SkillFailed("git is not installed", code=Code.UNAVAILABLE, recovery="Install the package git.")
        try:
            ended = run(
                [program, "--no-pager", *arguments],
                self._cage(),
                deadline=context.deadline,
                most_bytes=most_bytes,
                stdin=stdin,
            )
        except CageMissing as error:
            raise SkillFailed(
                f"git runs in a sandbox or not at all: {error}",
                code=Code.UNAVAILABLE,
                recovery="Ask an operator to run `make doctor`; git is never run without its sandbox.",
            ) from None
        if ended.timed_out:
            raise SkillFailed("git did not finish in time", recovery="Ask for a narrower range or path.")
        # `git grep` takes a file that it cannot read for one without matches, and only mutters.
        incomplete = COMPLAINT.search(ended.stderr) is not None
        if (ended.status not in fine or incomplete) and not ended.truncated:
            said = CONTROL.sub(" ", ended.stderr.decode("utf-8", "replace").strip().rpartition("\n")[2])[:300]
            raise SkillFailed(f"git could not read the repository: {said or f'status {ended.status}'}")
        return ended

    def _cage(self) -> Cage:
        environment = {**ENVIRONMENT, "GIT_DIR": str(Path(INSIDE, self.git_folder))}
        if not self.bare:
            environment["GIT_WORK_TREE"] = INSIDE
        return Cage(
            shows={str(self.path): INSIDE},
            hides=(self.home,),
            environment=environment,
            directory=INSIDE,
        )


def open_repository(text: str, settings: Any) -> Repository:
    """Find the repository that `text` names, or raise `SkillFailed` with `bad_input` or `not_found`."""
    roots = [Path(root).resolve() for root in settings.WORKA_REPOSITORY_ROOTS]
    home = Path(settings.WORKA_HOME).resolve()
    outside = bad_input(
        f"{text[:200]!r} is not in a folder whose repositories may be read",
        "Name a repository under " + (" or ".join(map(str, roots)) or "a folder of WORKA_REPOSITORY_ROOTS") + ".",
    )
    if not text.startswith("/") or ".." in text.split("/") or CONTROL.search(text):
        raise bad_input("a repository is named by its absolute path, without `..`")
    try:
        path = Path(text).resolve()
    except (OSError, RuntimeError, ValueError):
        raise outside from None
    if not any(path.is_relative_to(root) for root in roots):
        raise outside
    if path.is_relative_to(home):
        raise bad_input("that folder belongs to the product itself and is never read")
    missing = SkillFailed(f"there is no git repository at {text}", code=Code.NOT_FOUND, recovery="Name its top folder.")
    try:
        git_folder = _git_folder(path)
        if git_folder is None:
            raise missing
        _check_objects(path, git_folder)
    except OSError:
        raise missing from None
    return Repository(path, str(git_folder.relative_to(path)), git_folder == path, home)


def _git_folder(path: Path) -> Path | None:
    dot_git = path / ".git"
    if dot_git.is_symlink() or dot_git.is_file():
        pointed = _pointer(dot_git)
        target = dot_git.readlink() if pointed is None else Path(pointed.removeprefix("gitdir:").strip())
        folder = _inside(path, path / target, "its .git points out of it (a linked worktree or a submodule)")
    elif dot_git.is_dir():
        folder = dot_git
    elif (path / "HEAD").is_file() and (path / "objects").is_dir() and (path / "refs").is_dir():
        folder = path
    else:
        return None
    return folder if folder.is_dir() else None


def _check_objects(path: Path, git_folder: Path) -> None:
    """Refuse a repository that keeps its objects elsewhere; the cage would show only half of it."""
    common = _pointer(git_folder / "commondir")
    if common is not None:
        git_folder = _inside(path, git_folder / common.strip(), "its commondir points out of it")
    waiting, seen = [git_folder / "objects"], set[Path]()
    while waiting:
        objects = _inside(path, waiting.pop(), "its objects lie outside of it")
        if objects in seen:
            continue
        seen.add(objects)
        if len(seen) > CHAIN_MOST:
            raise bad_input("the repository borrows objects through too many alternates")
        for line in (_pointer(objects / "info" / "alternates") or "").splitlines():
            if line.startswith(("/", '"')):
                raise bad_input("the repository borrows objects by an absolute path (objects/info/alternates)")
            if line and not line.startswith("#"):
                waiting.append(objects / line)


def _inside(path: Path, target: Path, otherwise: str) -> Path:
    try:
        resolved = target.resolve()
    except (OSError, RuntimeError, ValueError):
        raise bad_input(f"the repository cannot be read: {otherwise}") from None
    if not resolved.is_relative_to(path):
        raise bad_input(
            f"the repository cannot be read: {otherwise}",
            "Name the main repository, or copy the objects into it with `git repack -a -d`.",
        )
    return resolved


def _pointer(file: Path) -> str | None:
    """Read a small regular file that points somewhere; None if there is none. A pipe in its place must not block."""
    try:
        descriptor = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except OSError:
        if file.is_symlink():
            if file.name == ".git":
                return None
            raise bad_input(f"the repository cannot be read: its {file.name} is a symbolic link") from None
        raise
    with os.fdopen(descriptor, "rb") as opened:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise bad_input(f"the repository cannot be read: its {file.name} is not a file")
        content = opened.read(POINTER_MOST + 1)
    if len(content) > POINTER_MOST or b"\x00" in content:
        raise bad_input(f"the repository cannot be read: its {file.name} is not what git writes")
    return content.decode("utf-8", "surrogateescape").rstrip("\r\n")
