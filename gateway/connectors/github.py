"""Read issues, pull requests and files of GitHub repositories, and write issues and comments, through a connection."""

import base64
import binascii
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote

from audit.core.codes import Code
from gateway.connector import CallContext, Connector, Json, Label, Outcome, Service, SkillFailed, SkillSpec
from gateway.github.api import GitHub, Page
from governance.core.schemas import compiled

LIST_LIMIT, LIST_MOST = 50, 300
BODY_MOST, TEXT_MOST, PATCH_MOST = 60_000, 256 * 1024, 20_000

TEXT: Json = {"type": "string"}
FLAG: Json = {"type": "boolean"}
COUNT: Json = {"type": "integer", "minimum": 0}
TIME: Json = {"type": ["string", "null"]}
REPO: Json = {
    "type": "string",
    "pattern": "^[A-Za-z0-9][A-Za-z0-9-]{0,38}/[A-Za-z0-9._-]{0,99}[A-Za-z0-9_-]$",
    "description": "The repository, as owner/name.",
}
NUMBER: Json = {"type": "integer", "minimum": 1, "maximum": 2**31 - 1}
ACCOUNT: Json = {
    "type": "string",
    "minLength": 1,
    "maxLength": 64,
    "description": "The account of the connection, where GitHub is connected more than once.",
}
STATE: Json = {"enum": ["open", "closed", "all"], "default": "open"}
LIMIT: Json = {"type": "integer", "minimum": 1, "maximum": LIST_MOST, "default": LIST_LIMIT}
BODY: Json = {"type": "string", "maxLength": BODY_MOST}
LABELS: Json = {"type": "array", "maxItems": 20, "items": {"type": "string", "minLength": 1, "maxLength": 50}}


def _closed(properties: Json, required: list[str] | None = None) -> Json:
    names = list(properties) if required is None else required
    return {"type": "object", "properties": properties, "required": names, "additionalProperties": False}


def _input(properties: Json, *required: str) -> Json:
    return _closed({"repo": REPO, **properties, "connection": ACCOUNT}, ["repo", *required])


def _listed(name: str, item: Json) -> Json:
    return _closed({name: {"type": "array", "items": item}, "truncated": FLAG})


ISSUE_HEAD: Json = {
    "number": COUNT, "title": TEXT, "state": TEXT, "author": TEXT, "labels": {"type": "array", "items": TEXT},
    "comments": COUNT, "created_at": TIME, "updated_at": TIME, "url": TEXT,
}  # fmt: skip
ISSUE: Json = {**ISSUE_HEAD, "body": TEXT, "is_pull_request": FLAG, "closed_at": TIME, "truncated": FLAG}
PULL_HEAD: Json = {
    "number": COUNT, "title": TEXT, "state": TEXT, "author": TEXT, "draft": FLAG, "head": TEXT, "base": TEXT,
    "created_at": TIME, "updated_at": TIME, "merged_at": TIME, "url": TEXT,
}  # fmt: skip
PULL: Json = {
    **PULL_HEAD, "body": TEXT, "truncated": FLAG, "merged": FLAG, "commits": COUNT, "changed_files": COUNT,
    "additions": COUNT, "deletions": COUNT,
}  # fmt: skip
FILE: Json = {
    "path": TEXT, "status": TEXT, "additions": COUNT, "deletions": COUNT, "patch": TEXT, "truncated": FLAG,
}  # fmt: skip


def _reads(verb: str, description: str, takes: Json, gives: Json) -> SkillSpec:
    labels: frozenset[Label] = frozenset({"reads_private", "untrusted_output"})
    return SkillSpec(f"github.{verb}", description, takes, gives, "read_only", labels, idempotent=True)


def _writes(verb: str, description: str, takes: Json, gives: Json) -> SkillSpec:
    labels: frozenset[Label] = frozenset({"sends_outside"})
    return SkillSpec(f"github.{verb}", description, takes, gives, "external", labels, lock_key="repo:{args.repo}")


class Github(Connector):
    """Work with GitHub (or a server that speaks its API) as the account of a connection."""

    service = Service(
        "github",
        "https://api.github.com",
        _closed({"token": {**TEXT, "minLength": 1}}),
        {"token": "{{secret:github-token}}"},
    )
    skills = (
        _reads(
            "list_issues",
            "List the issues of a repository, newest first, without pull requests.",
            _input({"state": STATE, "labels": LABELS, "limit": LIMIT}),
            _listed("issues", _closed(ISSUE_HEAD)),
        ),
        _reads("get_issue", "Read an issue.", _input({"number": NUMBER}, "number"), _closed(ISSUE)),
        _writes(
            "create_issue",
            "Open an issue.",
            _input(
                {"title": {"type": "string", "minLength": 1, "maxLength": 256}, "body": BODY, "labels": LABELS}, "title"
            ),
            _closed({"number": COUNT, "url": TEXT}),
        ),
        _writes(
            "comment_on_issue",
            "Write a comment on an issue or a pull request.",
            _input({"number": NUMBER, "body": {**BODY, "minLength": 1}}, "number", "body"),
            _closed({"id": COUNT, "url": TEXT}),
        ),
        _reads(
            "list_pull_requests",
            "List the pull requests of a repository, newest first.",
            _input({"state": STATE, "base": {"type": "string", "minLength": 1, "maxLength": 255}, "limit": LIMIT}),
            _listed("pull_requests", _closed(PULL_HEAD)),
        ),
        _reads("get_pull_request", "Read a pull request.", _input({"number": NUMBER}, "number"), _closed(PULL)),
        _reads(
            "list_pull_request_files",
            "List the files that a pull request changes, with the beginning of each patch.",
            _input({"number": NUMBER, "limit": LIMIT}, "number"),
            _listed("files", _closed(FILE)),
        ),
        _reads(
            "get_file",
            "Read a file of a repository, at a branch, tag or commit where one is named.",
            _input(
                {
                    "path": {"type": "string", "minLength": 1, "maxLength": 1000},
                    "ref": {"type": "string", "minLength": 1, "maxLength": 255},
                },
                "path",
            ),
            _closed({"path": TEXT, "sha": TEXT, "size": COUNT, "binary": FLAG, "text": TEXT, "truncated": FLAG}),
        ),
    )

    def call(self, verb: str, arguments: Json, context: CallContext) -> Outcome:
        """Perform a skill by the REST API of the connection's address."""
        spec = next((each for each in self.skills if each.verb == verb), None)
        if spec is None:
            raise SkillFailed(f"there is no skill github.{verb[:40]}", code=Code.BAD_INPUT)
        if faults := compiled(spec.input_schema).faults(arguments, at="/input", code="bad_input"):
            raise SkillFailed(f"{faults[0].path}: {faults[0].message}", code=Code.BAD_INPUT)
        if context.connection is None:
            raise SkillFailed(
                "GitHub is not connected", code=Code.UNAVAILABLE, recovery="An admin of the workspace connects it."
            )
        verbs: dict[str, Callable[[GitHub, str, Json], Json]] = {
            "list_issues": _list_issues,
            "get_issue": _get_issue,
            "create_issue": _create_issue,
            "comment_on_issue": _comment,
            "list_pull_requests": _list_pulls,
            "get_pull_request": _get_pull,
            "list_pull_request_files": _list_files,
            "get_file": _get_file,
        }
        github = GitHub(context.connection, context.deadline)
        place = f"/repos/{arguments['repo']}"
        try:
            return Outcome(verbs[verb](github, place, arguments))
        except (KeyError, TypeError, ValueError, AttributeError):
            # It did answer, only not as it is documented; a write was done by then.
            effect: Any = "none" if spec.side_effect == "read_only" else "maybe"
            raise SkillFailed("GitHub answered in a form that is not its documented one", effect=effect) from None


def _list_issues(github: GitHub, place: str, given: Json) -> Json:
    params = {"state": given.get("state", "open"), "sort": "created", "direction": "desc"}
    if given.get("labels"):
        params["labels"] = ",".join(given["labels"])
    # Issues and pull requests come in one list; the latter have a key of their own.
    page = github.items(
        f"{place}/issues", params, given.get("limit", LIST_LIMIT), keep=lambda each: "pull_request" not in each
    )
    return _page("issues", page, _issue_head)


def _get_issue(github: GitHub, place: str, given: Json) -> Json:
    found = github.get(f"{place}/issues/{given['number']}")
    body, is_cut = _cut(found.get("body") or "", TEXT_MOST)
    return {
        **_issue_head(found),
        "body": body,
        "is_pull_request": "pull_request" in found,
        "closed_at": found.get("closed_at"),
        "truncated": is_cut,
    }


def _create_issue(github: GitHub, place: str, given: Json) -> Json:
    body: Json = {name: given[name] for name in ("title", "body", "labels") if name in given}
    made = github.post(f"{place}/issues", body)
    return {"number": int(made["number"]), "url": str(made["html_url"])}


def _comment(github: GitHub, place: str, given: Json) -> Json:
    made = github.post(f"{place}/issues/{given['number']}/comments", {"body": given["body"]})
    return {"id": int(made["id"]), "url": str(made["html_url"])}


def _list_pulls(github: GitHub, place: str, given: Json) -> Json:
    params = {"state": given.get("state", "open"), "sort": "created", "direction": "desc"}
    if "base" in given:
        params["base"] = given["base"]
    return _page("pull_requests", github.items(f"{place}/pulls", params, given.get("limit", LIST_LIMIT)), _pull_head)


def _get_pull(github: GitHub, place: str, given: Json) -> Json:
    found = github.get(f"{place}/pulls/{given['number']}")
    body, is_cut = _cut(found.get("body") or "", TEXT_MOST)
    counts = {name: int(found[name]) for name in ("commits", "changed_files", "additions", "deletions")}
    return {**_pull_head(found), "body": body, "truncated": is_cut, "merged": bool(found["merged"]), **counts}


def _list_files(github: GitHub, place: str, given: Json) -> Json:
    page = github.items(f"{place}/pulls/{given['number']}/files", {}, given.get("limit", LIST_LIMIT))
    return _page("files", page, _file)


def _get_file(github: GitHub, place: str, given: Json) -> Json:
    path = given["path"].strip("/")
    if any(part in ("", ".", "..") for part in path.split("/")):
        raise SkillFailed("a path in a repository has no empty part, `.` or `..`", code=Code.BAD_INPUT)
    found = github.get(f"{place}/contents/{quote(path)}", {"ref": given["ref"]} if "ref" in given else {})
    if isinstance(found, list) or found["type"] != "file":
        raise SkillFailed(f"{path[:200]} is not a file", code=Code.BAD_INPUT)
    if found.get("encoding") != "base64":
        raise SkillFailed(f"{path[:200]} is larger than GitHub gives out here (1 MB)", code=Code.TOO_LARGE)
    try:
        content = base64.b64decode("".join(found["content"].split()), validate=True)
    except binascii.Error:
        raise SkillFailed("GitHub answered in a form that is not its documented one") from None
    told = {"path": str(found["path"]), "sha": str(found["sha"]), "size": int(found["size"])}
    try:
        text = content.decode()
    except UnicodeDecodeError:
        text = "\x00"
    if "\x00" in text:
        return {**told, "binary": True, "text": "", "truncated": False}
    text, is_cut = _cut(text, TEXT_MOST)
    return {**told, "binary": False, "text": text, "truncated": is_cut}


def _page(name: str, page: Page, shape: Callable[[Json], Json]) -> Json:
    return {name: [shape(each) for each in page.items], "truncated": page.is_cut}


def _issue_head(found: Json) -> Json:
    labels = [each["name"] if isinstance(each, Mapping) else str(each) for each in found["labels"]]
    return {
        "number": int(found["number"]),
        "title": str(found["title"]),
        "state": str(found["state"]),
        "author": _login(found["user"]),
        "labels": labels,
        "comments": int(found["comments"]),
        "created_at": found["created_at"],
        "updated_at": found["updated_at"],
        "url": str(found["html_url"]),
    }


def _pull_head(found: Json) -> Json:
    return {
        "number": int(found["number"]),
        "title": str(found["title"]),
        "state": str(found["state"]),
        "author": _login(found["user"]),
        "draft": bool(found.get("draft")),
        "head": str(found["head"]["label"]),
        "base": str(found["base"]["label"]),
        "created_at": found["created_at"],
        "updated_at": found["updated_at"],
        "merged_at": found.get("merged_at"),
        "url": str(found["html_url"]),
    }


def _file(found: Json) -> Json:
    patch, is_cut = _cut(found.get("patch") or "", PATCH_MOST)
    return {
        "path": str(found["filename"]),
        "status": str(found["status"]),
        "additions": int(found["additions"]),
        "deletions": int(found["deletions"]),
        "patch": patch,
        "truncated": is_cut,
    }


def _login(user: Any) -> str:
    """Return whose account it is; one that was deleted is null."""
    return str(user["login"]) if user else "ghost"


def _cut(text: str, most: int) -> tuple[str, bool]:
    return text[:most], len(text) > most
