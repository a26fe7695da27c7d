"""The skills of the git connector: what each takes and what each gives back."""

from typing import Any

from gateway.connector import Label, SkillSpec

LOG_LIMIT, LOG_MOST = 1000, 5000
FILES_LIMIT = 1000
MATCH_LIMIT, MATCHES_MOST = 200, 1000
TEXT_MOST = 256 * 1024
TIMEOUT_S = 60
LABELS: frozenset[Label] = frozenset({"reads_private", "untrusted_output"})

Schema = dict[str, Any]

TEXT: Schema = {"type": "string"}
COUNT: Schema = {"type": "integer", "minimum": 0}
FLAG: Schema = {"type": "boolean"}
WHEN: Schema = {"type": "string", "format": "date-time"}
HASH: Schema = {"type": "string", "pattern": "^([0-9a-f]{40}|[0-9a-f]{64})$"}


def _closed(properties: Schema, required: list[str] | None = None) -> Schema:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties) if required is None else required,
        "additionalProperties": False,
    }


def _list(item: Schema) -> Schema:
    return {"type": "array", "items": item}


REPOSITORY: Schema = {
    "type": "string",
    "pattern": "^/",
    "maxLength": 1024,
    "description": "Absolute path of the repository: its top folder, or a bare repository.",
}
SINCE: Schema = {
    "type": "string",
    "minLength": 1,
    "maxLength": 255,
    "description": "A revision (what came after it counts) or a date: YYYY-MM-DD (midnight UTC) or ISO 8601 with a time.",
}
UNTIL: Schema = {
    "type": "string",
    "minLength": 1,
    "maxLength": 255,
    "default": "HEAD",
    "description": "A revision; it counts too.",
}
PATH: Schema = {
    "type": "string",
    "minLength": 1,
    "maxLength": 1024,
    "description": "A file or folder, relative to the repository's top.",
}
RANGE: Schema = {"repository": REPOSITORY, "since": SINCE, "until": UNTIL}
FILE: Schema = _closed({"path": TEXT, "added": COUNT, "removed": COUNT, "binary": FLAG})
NAMED: Schema = {"hash": HASH, "short": TEXT, "author": TEXT, "email": TEXT, "at": WHEN, "subject": TEXT}
COMMIT: Schema = _closed({**NAMED, "files": COUNT, "added": COUNT, "removed": COUNT})


def _limit(normal: int, most: int) -> Schema:
    return {"type": "integer", "minimum": 1, "maximum": most, "default": normal}


def _skill(verb: str, description: str, takes: Schema, required: list[str], gives: Schema) -> SkillSpec:
    return SkillSpec(
        name=f"git.{verb}",
        description=description,
        input_schema=_closed(takes, required),
        output_schema=_closed(gives),
        side_effect="read_only",
        labels=LABELS,
        idempotent=True,
        timeout_s=TIMEOUT_S,
    )


SKILLS: tuple[SkillSpec, ...] = (
    _skill(
        "log",
        "List commits, newest first, each with its author, author's date, subject and size; merges count no lines. Listed are at most 640 KiB, counted are all.",
        {**RANGE, "limit": _limit(LOG_LIMIT, LOG_MOST)},
        ["repository"],
        {"commits": _list(COMMIT), "total": COUNT, "truncated": FLAG},
    ),
    _skill(
        "shortlog",
        "Count commits and lines per person, and commits per day (author's calendar day), busiest first.",
        RANGE,
        ["repository"],
        {
            "people": _list(_closed({"name": TEXT, "email": TEXT, "commits": COUNT, "added": COUNT, "removed": COUNT})),
            "busiest_days": _list(_closed({"date": {"type": "string", "format": "date"}, "commits": COUNT})),
            "commits": COUNT,
            "first_at": {"type": ["string", "null"], "format": "date-time"},
            "last_at": {"type": ["string", "null"], "format": "date-time"},
            "truncated": FLAG,
        },
    ),
    _skill(
        "diffstat",
        "Compare the trees of two revisions file by file: lines added and removed. Without since: the last commit.",
        {**RANGE, "path": PATH, "limit": _limit(FILES_LIMIT, 5000)},
        ["repository"],
        {"files": _list(FILE), "files_changed": COUNT, "added": COUNT, "removed": COUNT, "truncated": FLAG},
    ),
    _skill(
        "diff",
        "Show the patch between the trees of two revisions. Without since: the last commit.",
        {**RANGE, "path": PATH},
        ["repository"],
        {"patch": TEXT, "truncated": FLAG},
    ),
    _skill(
        "show",
        "Show one commit with the files it changed or, with path, also that file's content at that revision.",
        {
            "repository": REPOSITORY,
            "revision": {"type": "string", "minLength": 1, "maxLength": 255, "default": "HEAD"},
            "path": PATH,
        },
        ["repository"],
        {
            "commit": _closed({**NAMED, "body": TEXT, "parents": _list(HASH)}),
            "files": _list(FILE),
            "truncated": FLAG,
            "file": {
                "anyOf": [
                    {"type": "null"},
                    _closed({"path": TEXT, "size": COUNT, "binary": FLAG, "text": TEXT, "truncated": FLAG}),
                ],
            },
        },
    ),
    _skill(
        "grep",
        "Find lines in the files of a revision. The pattern is plain text, or with regex an extended regular expression.",
        {
            "repository": REPOSITORY,
            "pattern": {"type": "string", "minLength": 1, "maxLength": 500},
            "revision": {"type": "string", "minLength": 1, "maxLength": 255, "default": "HEAD"},
            "path": PATH,
            "regex": {"type": "boolean", "default": False},
            "ignore_case": {"type": "boolean", "default": False},
            "limit": _limit(MATCH_LIMIT, MATCHES_MOST),
        },
        ["repository", "pattern"],
        {"matches": _list(_closed({"path": TEXT, "line": COUNT, "text": TEXT})), "truncated": FLAG},
    ),
)
