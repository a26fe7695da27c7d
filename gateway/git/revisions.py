"""What a caller may name in a repository: revisions, dates and paths. All of it is untrusted text."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import PurePosixPath

from audit.core.codes import Code
from gateway.connector import CallContext, SkillFailed
from gateway.git.parse import CONTROL
from gateway.git.repository import Repository, bad_input

# Neither an option, nor a range, nor a path in a tree, nor a search through messages: one commit, by name.
REVISION = re.compile(r"(?![-^.])(?!.*\.\.)(?!.*\^\{/)[^\x00-\x20\x7f:?*\[\\]{1,255}")
DATE = re.compile(r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d{1,6})?)?(Z|[+-]\d\d:?\d\d)?)?")
EMPTY_TREE = {
    40: "4b825dc642cb6eb9a060e54bf8d69288fbee4904",
    64: "6ef19b41225c5369f1c104d45d8d85efa9b057b53b14b4b9b939dd74decc5321",
}


@dataclass(frozen=True, slots=True)
class Span:
    """What lies between `since` and `until`: the last commit, and a base commit or a moment (epoch seconds) before it."""

    tip: str
    base: str = ""
    since_s: int | None = None

    @property
    def arguments(self) -> list[str]:
        """Return the end of a command line that walks the span; everything in it is a hash or made from a number."""
        since = [] if self.since_s is None else [f"--since=@{self.since_s} +0000"]
        return [*since, "--end-of-options", self.tip, *([f"^{self.base}"] if self.base else []), "--"]


def span_of(repository: Repository, since: str | None, until: str, context: CallContext) -> Span | None:
    """Resolve both ends in one git process; None means that the repository has no commits yet."""
    names = [_checked(until)]
    date = None if since is None else _date(since)
    if since is not None and REVISION.fullmatch(since):
        names.append(since)
    elif since is not None and date is None:
        raise bad_input(f"{since[:80]!r} is neither a revision nor a date", "Use a revision, YYYY-MM-DD or ISO 8601.")
    tip, *rest = _resolve(repository, names, context)
    if tip is None:
        if until == "HEAD":
            return None
        raise _unknown(until)
    if rest and rest[0] is not None:
        return Span(tip, base=rest[0])
    if since is not None and date is None:
        raise _unknown(since)
    return Span(tip, since_s=date)


def commit_of(repository: Repository, revision: str, context: CallContext) -> str:
    """Return the hash of the one commit that `revision` names."""
    (found,) = _resolve(repository, [_checked(revision)], context)
    if found is None:
        raise _unknown(revision)
    return found


def base_of(repository: Repository, span: Span, *, default_is_parent: bool, context: CallContext) -> str:
    """Return the commit, or the empty tree, that the span's tip is compared with."""
    empty = EMPTY_TREE[len(span.tip)]
    if span.base:
        return span.base
    if span.since_s is not None:
        walk = ["rev-list", "--max-count=1", f"--before=@{span.since_s - 1} +0000", "--end-of-options", span.tip, "--"]
        return repository.git(walk, context).stdout.decode("ascii").strip() or empty
    if default_is_parent:
        (parent,) = _resolve(repository, [f"{span.tip}~1"], context)
        return parent or empty
    return empty


def paths_of(repository: Repository, path: str | None) -> list[str]:
    """Return the pathspecs for what the caller names, without the product's own home; both taken literally."""
    specs = [] if path is None else [f":(top,literal){checked_path(repository, path)}"]
    if repository.hidden:
        specs.append(f":(top,exclude,literal){repository.hidden}")
    return specs


def checked_path(repository: Repository, path: str) -> str:
    """Return `path` if it names something inside the repository, and not the product's own home."""
    parts = path.rstrip("/").split("/")
    if CONTROL.search(path) or any(part in ("", ".", "..") for part in parts):
        raise bad_input(f"{path[:80]!r} is not a path inside the repository")
    if repository.hidden and PurePosixPath(*parts).is_relative_to(repository.hidden):
        raise bad_input("that folder belongs to the product itself and is never read")
    return "/".join(parts)


def _checked(revision: str) -> str:
    if not REVISION.fullmatch(revision):
        raise bad_input(f"{revision[:80]!r} is not the name of one revision", "Name a commit, a branch or a tag.")
    return revision


def _resolve(repository: Repository, names: Sequence[str], context: CallContext) -> list[str | None]:
    """Ask for all names in one process, on its standard input, where nothing can be taken for an option."""
    asked = "".join(f"{name}^{{commit}}\n" for name in names).encode("utf-8", "surrogateescape")
    ended = repository.git(
        ["cat-file", "--batch-check=%(objectname) %(objecttype)"], context, stdin=asked, most_bytes=64 * 1024
    )
    answers = ended.stdout.decode("utf-8", "replace").splitlines()
    if len(answers) != len(names):
        raise SkillFailed("git could not look up the revisions")
    found: list[str | None] = []
    for name, answer in zip(names, answers, strict=True):
        if answer.endswith(" ambiguous"):
            raise bad_input(f"{name[:80]!r} could be several revisions", "Write more of the hash.")
        found.append(answer.removesuffix(" commit") if answer.endswith(" commit") else None)
    return found


def _unknown(revision: str) -> SkillFailed:
    return SkillFailed(f"there is no revision {revision[:80]!r} in the repository", code=Code.NOT_FOUND)


def _date(text: str) -> int | None:
    """Read a date as epoch seconds; without a time it is midnight, without an offset it is UTC."""
    if not DATE.fullmatch(text):
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return max(1, int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()))
