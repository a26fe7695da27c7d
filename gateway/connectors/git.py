"""Read git repositories on this machine: history, differences, files and lines, each command in its own cage."""

import json
from collections import Counter
from collections.abc import Callable
from typing import Any

from audit.core.codes import Code
from gateway.connector import CallContext, Connector, Json, Outcome, SkillFailed
from gateway.git import parse
from gateway.git.repository import Repository, bad_input, open_repository
from gateway.git.revisions import Span, base_of, checked_path, commit_of, paths_of, span_of
from gateway.git.skills import FILES_LIMIT, LOG_LIMIT, MATCH_LIMIT, SKILLS, TEXT_MOST

SHORTLOG_MOST = 50_000
PEOPLE_MOST = 500
DAYS_MOST = 10
# An agent hands in what a step has read as one result of at most 1 MiB; a report reads these three.
LOG_BYTES, FILES_BYTES, PEOPLE_BYTES = 640 * 1024, 192 * 1024, 96 * 1024

NO_PROGRAMS = ("--no-ext-diff", "--no-textconv", "--no-color")
SAME_EVERYWHERE = ("-M", "--diff-algorithm=myers", "--no-relative", "--submodule=short", "--ignore-submodules=none")
LOG = (
    "log",
    "-z",
    "--date=raw",
    "--no-show-signature",
    "--no-notes",
    "--no-decorate",
    "--encoding=UTF-8",
    *NO_PROGRAMS,
    *SAME_EVERYWHERE,
)


class Git(Connector):
    """Tell what is in a git repository. It never changes one, never runs what one configures, never goes out."""

    skills = SKILLS

    def call(self, verb: str, arguments: Json, context: CallContext) -> Outcome:
        verbs: dict[str, Callable[[Repository, Json, CallContext], Json]] = {
            "log": _log,
            "shortlog": _shortlog,
            "diffstat": _diffstat,
            "diff": _diff,
            "show": _show,
            "grep": _grep,
        }
        if verb not in verbs:
            raise bad_input(f"git has no skill {verb!r}")
        try:
            repository = open_repository(arguments["repository"], context.settings)
            return Outcome(verbs[verb](repository, arguments, context))
        except SkillFailed:
            raise
        except Exception as error:  # whatever a repository makes us stumble over, the contract holds
            raise SkillFailed(f"git.{verb} could not read what git wrote ({type(error).__name__})") from error


def _log(repository: Repository, arguments: Json, context: CallContext) -> Json:
    span = _span(repository, arguments, context)
    if span is None:
        return {"commits": [], "total": 0, "truncated": False}
    limit = arguments.get("limit", LOG_LIMIT)
    found, more = _commits(repository, span, limit, context)
    total = len(found)
    if more:
        counted = repository.git(["rev-list", "--count", *span.arguments], context).stdout
        total = int(counted)
    kept = _within([commit.as_json() for commit in found], LOG_BYTES)
    return {"commits": kept, "total": total, "truncated": len(kept) < total}


def _shortlog(repository: Repository, arguments: Json, context: CallContext) -> Json:
    span = _span(repository, arguments, context)
    found, more = ([], False) if span is None else _commits(repository, span, SHORTLOG_MOST, context)
    people: dict[str, dict[str, Any]] = {}
    days: Counter[str] = Counter()
    for commit in found:
        person = people.setdefault(
            commit.author, {"name": commit.author, "email": commit.email, "commits": 0, "added": 0, "removed": 0}
        )
        person["commits"] += 1
        person["added"] += commit.added
        person["removed"] += commit.removed
        days[commit.at[:10]] += 1
    moments = sorted((commit.at for commit in found), key=parse.instant)
    most_first = sorted(people.values(), key=lambda person: (-person["commits"], person["name"]))
    kept = _within(most_first[:PEOPLE_MOST], PEOPLE_BYTES)
    return {
        "people": kept,
        "busiest_days": [
            {"date": date, "commits": count}
            for date, count in sorted(sorted(days.items(), reverse=True), key=lambda day: -day[1])[:DAYS_MOST]
        ],
        "commits": len(found),
        "first_at": moments[0] if moments else None,
        "last_at": moments[-1] if moments else None,
        "truncated": more or len(kept) < len(people),
    }


def _diffstat(repository: Repository, arguments: Json, context: CallContext) -> Json:
    compared = _compared(repository, arguments, context)
    if compared is None:
        return {"files": [], "files_changed": 0, "added": 0, "removed": 0, "truncated": False}
    ended = repository.git(["diff-tree", "-r", "-z", "--numstat", *compared], context)
    files = list(parse.files(ended.stdout, cut_off=ended.truncated))
    kept = _within(files[: arguments.get("limit", FILES_LIMIT)], FILES_BYTES)
    return {
        "files": kept,
        "files_changed": len(files),
        "added": sum(file["added"] for file in files),
        "removed": sum(file["removed"] for file in files),
        "truncated": ended.truncated or len(kept) < len(files),
    }


def _diff(repository: Repository, arguments: Json, context: CallContext) -> Json:
    compared = _compared(repository, arguments, context)
    if compared is None:
        return {"patch": "", "truncated": False}
    form = ["--patch", "--unified=3", "--inter-hunk-context=0", "--src-prefix=a/", "--dst-prefix=b/"]
    ended = repository.git(["diff-tree", "-r", *form, *compared], context, most_bytes=TEXT_MOST)
    return {"patch": _lines(ended.stdout, cut_off=ended.truncated), "truncated": ended.truncated}


def _show(repository: Repository, arguments: Json, context: CallContext) -> Json:
    path = arguments.get("path")
    if path is not None:
        path = checked_path(repository, path)
    commit = commit_of(repository, arguments.get("revision", "HEAD"), context)
    walk = ["--max-count=1", "--numstat", "--diff-merges=first-parent", parse.SHOW_FORMAT, "--end-of-options", commit]
    # `--full-history --sparse`: the paths choose the files that are listed, never whether the commit is shown.
    paths = ["--", *paths_of(repository, None)]
    ended = repository.git([*LOG, "--full-history", "--sparse", *walk, *paths], context)
    told, files = parse.shown(ended.stdout, cut_off=ended.truncated)
    kept = _within(files[:FILES_LIMIT], FILES_BYTES)
    return {
        "commit": told,
        "files": kept,
        "truncated": ended.truncated or len(kept) < len(files),
        "file": None if path is None else _file(repository, commit, path, context),
    }


def _file(repository: Repository, commit: str, path: str, context: CallContext) -> Json:
    asked = f"{commit}:{path}\n".encode()
    ended = repository.git(["cat-file", "--batch"], context, stdin=asked, most_bytes=TEXT_MOST + 128)
    head, _, content = ended.stdout.partition(b"\n")
    match head.rsplit(b" ", 2):
        case [_, b"blob", size]:
            content = content[: int(size)][:TEXT_MOST]
        case [_, b"tree" | b"commit", _]:
            raise bad_input(f"{path[:80]!r} is not a file at that revision", "Name a file.")
        case _:
            raise SkillFailed(f"there is no file {path[:80]!r} at that revision", code=Code.NOT_FOUND)
    binary = b"\x00" in content
    truncated = int(size) > len(content)
    return {
        "path": path,
        "size": int(size),
        "binary": binary,
        "truncated": truncated,
        "text": "" if binary else _lines(content, cut_off=truncated),
    }


def _grep(repository: Repository, arguments: Json, context: CallContext) -> Json:
    pattern = arguments["pattern"]
    if parse.CONTROL.search(pattern):
        raise bad_input("a pattern is one line without control characters")
    commit = commit_of(repository, arguments.get("revision", "HEAD"), context)
    limit = arguments.get("limit", MATCH_LIMIT)
    command = [
        "grep",
        "-z",
        "-n",
        "-I",
        "--full-name",
        "--threads=1",
        "--no-color",
        "--no-textconv",
        "--no-column",
        "--no-recurse-submodules",
        "-E" if arguments.get("regex") else "-F",
        *(["-i"] if arguments.get("ignore_case") else []),
        "-e",
        pattern,
        commit,
        "--",
        *paths_of(repository, arguments.get("path")),
    ]
    ended = repository.git(command, context, most_bytes=4 * 1024**2, fine=(0, 1))
    found = parse.matches(ended.stdout, limit + 1)
    return {"matches": found[:limit], "truncated": ended.truncated or len(found) > limit}


def _span(repository: Repository, arguments: Json, context: CallContext) -> Span | None:
    return span_of(repository, arguments.get("since"), arguments.get("until", "HEAD"), context)


def _commits(repository: Repository, span: Span, limit: int, context: CallContext) -> tuple[list[parse.Commit], bool]:
    """Return the newest `limit` commits of the span, from one git process, and whether there are more."""
    walk = ["--shortstat", "--no-diff-merges", f"--max-count={limit + 1}", parse.FORMAT]
    ended = repository.git([*LOG, *walk, *span.arguments], context)
    found = parse.commits(ended.stdout, cut_off=ended.truncated)
    return found[:limit], ended.truncated or len(found) > limit


def _compared(repository: Repository, arguments: Json, context: CallContext) -> list[str] | None:
    span = _span(repository, arguments, context)
    if span is None:
        return None
    base = base_of(repository, span, default_is_parent="since" not in arguments, context=context)
    paths = paths_of(repository, arguments.get("path"))
    return [*NO_PROGRAMS, *SAME_EVERYWHERE, "--end-of-options", base, span.tip, "--", *paths]


def _within(items: list[Json], most_bytes: int) -> list[Json]:
    """Return the first items that together are no larger than `most_bytes` of JSON."""
    left = most_bytes
    for number, item in enumerate(items):
        left -= len(json.dumps(item, ensure_ascii=False, separators=(",", ":")).encode()) + 1
        if left < 0:
            return items[:number]
    return items


def _lines(raw: bytes, *, cut_off: bool) -> str:
    """Decode text; when its end is missing, it ends with its last whole line."""
    whole = raw[: raw.rfind(b"\n") + 1] or raw if cut_off else raw
    return parse.text(whole, TEXT_MOST)
