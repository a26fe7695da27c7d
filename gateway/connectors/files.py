"""Read and write the documents of the workspace: what runs leave behind for people and for later runs."""

import hashlib
import time
from collections.abc import Callable, Sequence
from typing import Any

from django.db import Error as DatabaseError

from audit.core.codes import Code
from audit.core.refusals import Refused
from gateway.connector import CallContext, Connector, Json, Outcome, SkillFailed, SkillSpec
from gateway.documents import (
    PATH_MOST,
    Listed,
    OutOfTime,
    check_path,
    list_documents,
    matching_lines,
    quotations,
    read_document,
    write_document,
)
from gateway.models.document import DocumentVersion

LIST_LIMIT, LIST_MOST = 200, 1000
MATCH_LIMIT, MATCHES_MOST = 100, 500
TEXT_MOST = 256 * 1024
LINE_MOST = 500

PATH: Json = {
    "type": "string",
    "minLength": 1,
    "maxLength": PATH_MOST,
    "description": "The document's path in the workspace, such as reports/june.md.",
}
PREFIX: Json = {
    "type": "string",
    "maxLength": PATH_MOST,
    "default": "",
    "description": "Only paths that start like this.",
}
TEXT: Json = {"type": "string"}
COUNT: Json = {"type": "integer", "minimum": 0}
FLAG: Json = {"type": "boolean"}
HASH: Json = {"type": "string", "pattern": "^[0-9a-f]{64}$"}
ARTIFACT: Json = {
    "type": "object",
    "properties": {
        "$artifact": {
            "type": "object",
            "properties": {
                "id": TEXT,
                "step": TEXT,
                "name": TEXT,
                "sha256": HASH,
                "media_type": TEXT,
                "size": COUNT,
            },
            "additionalProperties": False,
        }
    },
    "required": ["$artifact"],
    "additionalProperties": False,
}
DOCUMENT: Json = {
    "path": TEXT,
    "version": COUNT,
    "media_type": TEXT,
    "size": COUNT,
    "sha256": HASH,
    "written_at": {"type": "string", "format": "date-time"},
}


def _closed(properties: Json, required: list[str] | None = None) -> Json:
    names = list(properties) if required is None else required
    return {"type": "object", "properties": properties, "required": names, "additionalProperties": False}


def _limit(normal: int, most: int) -> Json:
    return {"type": "integer", "minimum": 1, "maximum": most, "default": normal}


class Files(Connector):
    """Keep the workspace's documents. A new version never replaces what was there; what is stored keeps its taint."""

    skills = (
        SkillSpec(
            name="files.list",
            description="List the workspace's documents, by path.",
            input_schema=_closed({"prefix": PREFIX, "limit": _limit(LIST_LIMIT, LIST_MOST)}, []),
            output_schema=_closed({"documents": {"type": "array", "items": _closed(DOCUMENT)}, "truncated": FLAG}),
            side_effect="read_only",
            labels=frozenset({"reads_private"}),
            idempotent=True,
            timeout_s=30,
        ),
        SkillSpec(
            name="files.read",
            description="Read a document, its newest version or the one named.",
            input_schema=_closed({"path": PATH, "version": {"type": "integer", "minimum": 1}}, ["path"]),
            output_schema=_closed({**DOCUMENT, "binary": FLAG, "text": TEXT, "truncated": FLAG}),
            side_effect="read_only",
            labels=frozenset({"reads_private"}),
            idempotent=True,
            timeout_s=30,
        ),
        SkillSpec(
            name="files.search",
            description=(
                "Find the lines of documents that contain a text, in upper or lower case; or, with by: words, the lines that "
                "say most about a topic in the documents that have all its words, best documents first."
            ),
            input_schema=_closed(
                {
                    "text": {"type": "string", "minLength": 1, "maxLength": 200},
                    "by": {"enum": ["text", "words"], "default": "text"},
                    "prefix": PREFIX,
                    "limit": _limit(MATCH_LIMIT, MATCHES_MOST),
                },
                ["text"],
            ),
            output_schema=_closed(
                {
                    "matches": {"type": "array", "items": _closed({"path": TEXT, "line": COUNT, "text": TEXT})},
                    "truncated": FLAG,
                }
            ),
            side_effect="read_only",
            labels=frozenset({"reads_private"}),
            idempotent=True,
            timeout_s=30,
        ),
        SkillSpec(
            name="files.write",
            description="Write a text or an artifact into a document, as its next version.",
            input_schema=_closed(
                {
                    "path": PATH,
                    "content": {"anyOf": [{"type": "string", "maxLength": 1_000_000}, ARTIFACT]},
                    "if_exists": {"enum": ["replace", "fail"], "default": "replace"},
                },
                ["path", "content"],
            ),
            output_schema=_closed({**DOCUMENT, "created": FLAG}),
            side_effect="write",
            idempotent=True,
            lock_key="document:{args.path}",
            timeout_s=30,
        ),
    )

    def call(self, verb: str, arguments: Json, context: CallContext) -> Outcome:
        """Perform a skill on the documents of the context's workspace."""
        verbs: dict[str, Callable[[Json, CallContext], Outcome]] = {
            "list": _list,
            "read": _read,
            "search": _search,
            "write": _write,
        }
        if verb not in verbs:
            raise SkillFailed(f"files has no skill {verb!r}", code=Code.BAD_INPUT)
        try:
            return verbs[verb](arguments, context)
        except SkillFailed:
            raise
        except Refused as refusal:
            raise SkillFailed(str(refusal), code=refusal.code, recovery=refusal.recovery) from None
        except DatabaseError as error:
            # A commit whose answer was lost may have been one; writing is idempotent, so asking again is safe.
            raise SkillFailed(
                "the documents cannot be reached", effect="maybe" if verb == "write" else "none", code=Code.UNAVAILABLE
            ) from error
        except Exception as error:
            raise SkillFailed(f"files.{verb} was given what it cannot read ({type(error).__name__})") from error


def _list(arguments: Json, context: CallContext) -> Outcome:
    limit = arguments.get("limit", LIST_LIMIT)
    found = list_documents(context.workspace_id, arguments.get("prefix", ""), limit + 1)
    kept = found[:limit]
    return Outcome({"documents": [_told(each) for each in kept], "truncated": len(found) > limit}, _taint_of(kept))


def _read(arguments: Json, context: CallContext) -> Outcome:
    version = read_document(context.workspace_id, check_path(arguments["path"]), arguments.get("version"))
    content = bytes(version.content)
    # What is cut off in the middle of a character loses that character.
    text = content[:TEXT_MOST].decode("utf-8", "ignore") if version.is_text else ""
    output = {
        **_told(Listed.of(version)),
        "binary": not version.is_text,
        "text": text,
        "truncated": len(content) > TEXT_MOST,
    }
    return Outcome(output, _taint_of([version]))


def _search(arguments: Json, context: CallContext) -> Outcome:
    limit = arguments.get("limit", MATCH_LIMIT)
    found: list[Json] = []
    read: list[DocumentVersion] = []
    find = quotations if arguments.get("by") == "words" else matching_lines
    lines = find(context.workspace_id, arguments["text"], arguments.get("prefix", ""), deadline=context.deadline)
    try:
        for version, number, line in lines:
            if len(found) == limit or time.monotonic() > context.deadline:
                return Outcome({"matches": found, "truncated": True}, _taint_of(read))
            text = line if len(line) <= LINE_MOST else line[: LINE_MOST - 1] + "…"
            found.append({"path": version.document.path, "line": number, "text": text})
            read.append(version)
    except OutOfTime:
        return Outcome({"matches": found, "truncated": True}, _taint_of(read))
    return Outcome({"matches": found, "truncated": False}, _taint_of(read))


def _write(arguments: Json, context: CallContext) -> Outcome:
    path = check_path(arguments["path"])
    version = write_document(
        context.workspace_id,
        path,
        _content_of(arguments["content"], context),
        invocation_id=context.invocation_id,
        taint=context.taint,
        if_exists=arguments.get("if_exists", "replace"),
    )
    return Outcome({**_told(Listed.of(version)), "created": version.number == 1})


def _content_of(content: str | Json, context: CallContext) -> bytes:
    if isinstance(content, str):
        return content.encode("utf-8")
    artifact: dict[str, Any] = content["$artifact"]
    if not artifact.get("id") or not artifact.get("sha256"):
        raise SkillFailed("the artifact is not named by id and SHA-256", code=Code.BAD_INPUT)
    try:
        found = context.artifacts(artifact["id"])
    except DatabaseError:
        raise
    except Exception as error:
        raise SkillFailed("the artifact cannot be opened", code=Code.NOT_FOUND) from error
    if hashlib.sha256(found).hexdigest() != artifact["sha256"]:
        raise SkillFailed("the artifact is not what was agreed to: its SHA-256 differs", code=Code.PAYLOAD_CHANGED)
    return found


def _told(document: Listed) -> Json:
    return {
        "path": document.path,
        "version": document.version,
        "media_type": document.media_type,
        "size": document.size,
        "sha256": document.sha256,
        "written_at": document.written_at.isoformat(),
    }


def _taint_of(versions: Sequence[DocumentVersion | Listed]) -> frozenset[str]:
    return frozenset(label for version in versions for label in version.taint)
