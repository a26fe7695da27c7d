"""Read what git writes. Pure; whatever bytes come in, what comes out can be written as canonical JSON.

Git separates fields by NUL here, which can stand in no name, path or message; so no author, subject or file name can
pretend to be a field of its own. A record that was cut off at the byte limit is left out.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

NAME_MOST = 200
SUBJECT_MOST = 500
LINE_MOST = 500
PATH_MOST = 4096
LAST_SECOND = 253_402_214_400  # a day before the year 10000, so that any offset still fits

FIELDS = ("%H", "%aN", "%aE", "%ad", "%s")
FORMAT = "--format=tformat:" + "%x00".join(FIELDS)
SHOW_FORMAT = "--format=tformat:" + "%x00".join((*FIELDS, "%P", "%b"))

_START = re.compile(
    rb"(?:\n (?P<files>\d+) files? changed(?:, (?P<added>\d+) insertions?\(\+\))?(?:, (?P<removed>\d+) deletions?\(-\))?\n)?"
    rb"(?P<hash>[0-9a-f]{40,64})?"
)
CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_HASH = re.compile(rb"[0-9a-f]{40,64}")
_COUNTS = re.compile(rb"\n?(\d+|-)\t(\d+|-)\t(.*)", re.DOTALL)
_DATE = re.compile(r"(\d{1,18}) ([+-])(\d\d)([0-5]\d)")
_MATCH = re.compile(rb"[0-9a-f]{40,64}:([^\0]+)\0(\d+)[:\0]([^\n]*)\n")


@dataclass(frozen=True, slots=True)
class Commit:
    """One commit as `git log` tells it; `at` is the author's date in their own offset."""

    hash: str
    author: str
    email: str
    at: str
    subject: str
    files: int = 0
    added: int = 0
    removed: int = 0

    def as_json(self) -> dict[str, Any]:
        return {**self.named(), "files": self.files, "added": self.added, "removed": self.removed}

    def named(self) -> dict[str, Any]:
        return {
            "hash": self.hash,
            "short": self.hash[:10],
            "author": self.author,
            "email": self.email,
            "at": self.at,
            "subject": self.subject,
        }


def commits(output: bytes, *, cut_off: bool = False) -> list[Commit]:
    """Read `git log -z --date=raw --shortstat` with `FORMAT`; `cut_off` says that the end is missing."""
    fields = output.split(b"\x00")
    found: list[Commit] = []
    count = len(FIELDS)
    # The sizes of a commit stand after its last field, so in front of the next commit's hash.
    for at in range(0, len(fields) - count, count):
        start, after = _START.fullmatch(fields[at]), _START.match(fields[at + count])
        if start is None or start["hash"] is None or after is None:
            raise ValueError("git log wrote something that is not a commit")
        if cut_off and at + count == len(fields) - 1:
            break
        sizes = (int(after[name] or 0) for name in ("files", "added", "removed"))
        found.append(Commit(*_named(start["hash"], *fields[at + 1 : at + count]), *sizes))
    return found


def shown(output: bytes, *, cut_off: bool = False) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Read `git log -1 -z --date=raw --numstat` with `SHOW_FORMAT`: the commit, and the files it changed."""
    parts = output.split(b"\x00", len(FIELDS) + 2)
    if len(parts) != len(FIELDS) + 3 or not _HASH.fullmatch(parts[0]):
        raise ValueError("git log wrote something that is not a commit")
    *named, parents, body, rest = parts
    commit = Commit(*_named(*named)).named()
    commit["body"] = text(body.strip(), 64 * 1024)
    commit["parents"] = parents.decode("ascii").split()
    return commit, list(files(rest, cut_off=cut_off))


def files(output: bytes, *, cut_off: bool = False) -> Iterator[dict[str, Any]]:
    """Read `--numstat -z`: one entry per file, a renamed one under its new name."""
    fields = iter(output.split(b"\x00")[:-1])
    for field in fields:
        counts = _COUNTS.fullmatch(field)
        if counts is None:
            raise ValueError("git wrote something that is not a file's size")
        added, removed, path = counts.groups()
        if not path:
            next(fields, b"")
            renamed = next(fields, None)
            if renamed is None:
                if cut_off:
                    return
                raise ValueError("git wrote half a renamed file")
            path = renamed
        binary = added == b"-"
        yield {
            "path": text(path, PATH_MOST),
            "added": 0 if binary else int(added),
            "removed": 0 if binary else int(removed),
            "binary": binary,
        }


def matches(output: bytes, limit: int) -> list[dict[str, Any]]:
    """Read `git grep -z -n <hash>`: at most `limit` lines with their place."""
    found: list[dict[str, Any]] = []
    at = 0
    while len(found) < limit and (match := _MATCH.match(output, at)):
        path, line, content = match.groups()
        found.append({"path": text(path, PATH_MOST), "line": int(line), "text": text(content, LINE_MOST)})
        at = match.end()
    return found


def text(raw: bytes, most: int) -> str:
    """Decode untrusted bytes, at most `most` characters; what is not UTF-8, and NUL, becomes U+FFFD."""
    decoded = raw[: most * 4 + 4].decode("utf-8", "replace").replace("\x00", "\ufffd")
    return decoded if len(decoded) <= most else decoded[: most - 1] + "…"


def moment(raw: bytes) -> str:
    """Read git's raw date (`<epoch seconds> <offset>`) as RFC 3339; an impossible one is moved to the nearest possible."""
    date = _DATE.fullmatch(raw.decode("ascii", "replace").strip())
    if date is None:
        return datetime.fromtimestamp(0, UTC).isoformat()
    seconds, sign, hours, minutes = date.groups()
    offset = timedelta(hours=int(hours), minutes=int(minutes))
    if offset >= timedelta(hours=24):
        offset = timedelta()
    zone = timezone(-offset if sign == "-" else offset)
    return datetime.fromtimestamp(min(max(int(seconds), 86_400), LAST_SECOND), zone).isoformat()


def instant(at: str) -> float:
    """Return the epoch seconds of what `moment` returned, to sort by."""
    return datetime.fromisoformat(at).timestamp()


def _named(commit: bytes, author: bytes, email: bytes, date: bytes, subject: bytes) -> tuple[str, str, str, str, str]:
    return (
        commit.decode("ascii"),
        text(author, NAME_MOST),
        text(email, NAME_MOST),
        moment(date),
        text(subject, SUBJECT_MOST),
    )
