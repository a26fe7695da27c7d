"""Real repositories for tests: made with git itself, on the outside, with fixed people and dates."""

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

ENVIRONMENT = {
    "PATH": os.defpath,
    "HOME": "/nonexistent",
    "LC_ALL": "C.UTF-8",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_AUTHOR_NAME": "Ada",
    "GIT_AUTHOR_EMAIL": "ada@example.org",
    "GIT_COMMITTER_NAME": "Ada",
    "GIT_COMMITTER_EMAIL": "ada@example.org",
}

EVERY_SKILL = [
    ("log", {}),
    ("shortlog", {}),
    ("diffstat", {"since": "HEAD~2"}),
    ("diff", {"since": "HEAD~2"}),
    ("show", {"path": "a.txt"}),
    ("grep", {"pattern": "b"}),
]


class Repo:
    """A repository on disk. `clock` is the epoch second of the next commit; each commit moves it by a day."""

    def __init__(self, path: Path, *options: str):
        self.path = path
        self.clock = 1_700_000_000
        self.run("init", "-q", "-b", "main", *options, str(path), cwd=path.parent)

    def run(
        self, *arguments: str, stdin: bytes = b"", cwd: Path | None = None, check: bool = True, **extra: str
    ) -> str:
        done = subprocess.run(
            ["git", *arguments],
            cwd=cwd or self.path,
            input=stdin,
            capture_output=True,
            env={**ENVIRONMENT, **extra},
            check=False,
        )
        if check and done.returncode:
            raise AssertionError(f"git {arguments} failed: {done.stderr!r}")
        return done.stdout.decode("utf-8", "replace").strip()

    def commit(self, message: str, files: dict[str, str | bytes | None] | None = None, *, author: str = "Ada") -> str:
        """Write the files (None removes one), commit everything and return the hash."""
        for name, content in (files or {}).items():
            file = self.path / name
            if content is None:
                file.unlink()
                continue
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content.encode() if isinstance(content, str) else content)
        self.run("add", "-A", "-f")
        date = f"{self.clock} +0200"
        self.clock += 86_400
        people = {"GIT_AUTHOR_NAME": author, "GIT_AUTHOR_EMAIL": f"{author.split(maxsplit=1)[0].lower()}@example.org"}
        self.run(
            "commit", "-q", "--allow-empty", "-m", message, **people, GIT_AUTHOR_DATE=date, GIT_COMMITTER_DATE=date
        )
        return self.run("rev-parse", "HEAD")

    def raw_commit(self, headers: Sequence[bytes], message: bytes) -> str:
        """Store a commit object that git itself would not write, on top of HEAD's tree, and point HEAD at it."""
        tree, parent = self.run("rev-parse", "HEAD^{tree}"), self.run("rev-parse", "HEAD")
        content = b"\n".join([b"tree " + tree.encode(), b"parent " + parent.encode(), *headers, b"", message])
        made = self.run("hash-object", "-t", "commit", "-w", "--literally", "--stdin", stdin=content)
        self.run("update-ref", "HEAD", made)
        return made

    def import_commits(self, count: int) -> None:
        """Add `count` small commits quickly."""
        parts = []
        for number in range(count):
            message = f"commit {number}"
            content = "line\n" * (number % 7 + 1) + f"{number}\n"
            parts.append(
                f"commit refs/heads/main\nauthor Ada <ada@example.org> {self.clock + number * 60} +0000\n"
                f"committer Ada <ada@example.org> {self.clock + number * 60} +0000\n"
                f"data {len(message)}\n{message}\nM 100644 inline file{number % 40}\ndata {len(content)}\n{content}\n"
            )
        self.run("fast-import", "--quiet", stdin="".join(parts).encode())
