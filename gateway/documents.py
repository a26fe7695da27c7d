"""Keep and find the documents of a workspace. Every question names the workspace; there is no way past it.

Paths are names inside the workspace, never places on a disk, and content lies in PostgreSQL (at most 10 MiB a version):
a write is one short transaction, a backup is whole, and there is no folder that a path could lead out of.
"""

import hashlib
import time
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import PurePosixPath
from typing import Any, Literal
from uuid import UUID

from django.contrib.postgres.search import SearchVector
from django.db import connection, transaction
from django.db.models import F, QuerySet, Value

from audit.core.codes import Code
from audit.core.refusals import Refused
from gateway.models.document import Document, DocumentVersion

CONTENT_MOST = 10 * 1024**2
PATH_MOST = 200
WORDS_MOST = 256 * 1024
"""Bytes of a text whose words are found; an index entry of PostgreSQL is limited, too."""
LANGUAGE = "english"
"""How words are cut to their stems; words of other languages stand for themselves."""
DOCUMENTS_QUOTED, LINES_QUOTED, LINE_READ = 10, 5, 2000
MEDIA_TYPES = {
    ".csv": "text/csv",
    ".html": "text/html",
    ".json": "application/json",
    ".md": "text/markdown",
    ".pdf": "application/pdf",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".txt": "text/plain",
    ".xml": "application/xml",
    ".yaml": "application/yaml",
    ".yml": "application/yaml",
}


def check_path(path: str) -> str:
    """Return `path` if it can name a document, else refuse with `bad_input`."""
    parts = path.split("/")
    if (
        len(path) > PATH_MOST
        or any(part in ("", ".", "..") or part != part.strip() for part in parts)
        or "\\" in path
        or not unicodedata.is_normalized("NFC", path)
        or any(unicodedata.category(character)[0] == "C" or character in "\u2028\u2029" for character in path)
    ):
        raise Refused(
            f"{path[:80]!r} cannot name a document",
            code=Code.BAD_INPUT,
            recovery=f"Use a relative path such as reports/june.md, without `..`, at most {PATH_MOST} characters.",
        )
    return path


@transaction.atomic
def write_document(
    workspace_id: UUID,
    path: str,
    content: bytes,
    *,
    invocation_id: UUID,
    taint: frozenset[str],
    if_exists: Literal["replace", "fail"] = "replace",
) -> DocumentVersion:
    """Store the next version of a document; the same invocation again gets the version that it wrote.

    Refused with `bad_input` (a bad path, or it exists and must not) or `too_large`.
    """
    check_path(path)
    if len(content) > CONTENT_MOST:
        raise Refused(f"a document holds at most {CONTENT_MOST // 1024**2} MiB", code=Code.TOO_LARGE)
    Document.objects.get_or_create(workspace_id=workspace_id, path=path)
    # Two writers of one document take their turn here, so numbers have no gaps and no version is lost.
    document = Document.objects.select_for_update().get(workspace_id=workspace_id, path=path)
    written = DocumentVersion.objects.select_related("document").filter(invocation_id=invocation_id).first()
    if written is not None:
        return written
    if document.version and if_exists == "fail":
        raise Refused(f"there is a document {path} already", code=Code.BAD_INPUT, recovery="Choose another path.")
    is_text = _is_text(content)
    version = DocumentVersion.objects.create(
        document=document,
        number=document.version + 1,
        content=content,
        size=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
        media_type=_media_type(path, is_text=is_text),
        is_text=is_text,
        taint=sorted(taint),
        invocation_id=invocation_id,
        words=SearchVector(Value(_head(content)), config=LANGUAGE) if is_text else None,
    )
    document.version = version.number
    document.save(update_fields=["version"])
    return version


@dataclass(frozen=True, slots=True)
class Listed:
    """A version of a document as it stands in a list, without its content."""

    path: str
    version: int
    media_type: str
    size: int
    sha256: str
    written_at: datetime
    taint: list[str]

    @classmethod
    def of(cls, version: DocumentVersion) -> "Listed":
        """Return how one version stands in a list."""
        return cls(
            version.document.path,
            version.number,
            version.media_type,
            version.size,
            version.sha256,
            version.created_at,
            version.taint,
        )


# What agents ask for most, so it is not composed anew each time.
LISTING = """
    SELECT document.path, version.number, version.media_type, version.size, version.sha256, version.created_at, version.taint
    FROM gateway_document document
    JOIN gateway_documentversion version ON version.document_id = document.id AND version.number = document.version
    WHERE document.workspace_id = %s AND starts_with(document.path, %s) ORDER BY document.path LIMIT %s
"""


def list_documents(workspace_id: UUID, prefix: str, limit: int) -> list[Listed]:
    """Return the first `limit` documents whose path starts with `prefix`, by path."""
    with connection.cursor() as cursor:
        cursor.execute(LISTING, [workspace_id, prefix, limit])
        return [Listed(*row) for row in cursor.fetchall()]


def newest_versions(workspace_id: UUID, prefix: str = "") -> "QuerySet[DocumentVersion]":
    """Return the newest version of each document whose path starts with `prefix`, by path, without its content."""
    return (
        DocumentVersion.objects.filter(
            document__workspace_id=workspace_id, document__path__startswith=prefix, number=F("document__version")
        )
        .select_related("document")
        .defer("content", "words")
        .order_by("document__path")
    )


def read_document(workspace_id: UUID, path: str, number: int | None = None) -> DocumentVersion:
    """Return one version of a document, the newest if none is named, or refuse with `not_found`."""
    versions = (
        DocumentVersion.objects.select_related("document")
        .defer("words")
        .filter(
            document__workspace_id=workspace_id,
            document__path=path,
            number=F("document__version") if number is None else number,
        )
    )
    version = versions.first()
    if version is None:
        which = "" if number is None else f" with a version {number}"
        raise Refused(f"there is no document {path[:80]!r}{which}", code=Code.NOT_FOUND)
    return version


class OutOfTime(Exception):
    """The deadline passed before every document was looked at."""


def matching_lines(
    workspace_id: UUID, text: str, prefix: str = "", *, deadline: float
) -> Iterator[tuple[DocumentVersion, int, str]]:
    """Yield the lines of newest text documents that contain `text`, whatever its case, by path and line number.

    Past `deadline` (of `time.monotonic`) no further document is opened: OutOfTime.
    """
    wanted = text.casefold()
    for version in newest_versions(workspace_id, prefix).filter(is_text=True):
        if time.monotonic() > deadline:
            raise OutOfTime
        # One content at a time: a search through many documents must not hold them all in memory.
        content = bytes(DocumentVersion.objects.values_list("content", flat=True).get(pk=version.pk)).decode("utf-8")
        if wanted not in content.casefold():
            continue
        for number, line in enumerate(content.split("\n"), 1):
            if wanted in line.casefold():
                yield version, number, line.rstrip("\r")


# The newest versions that have all the words, what has them closest together first.
FIND = """
    SELECT version.id FROM gateway_documentversion version
    JOIN gateway_document document ON document.id = version.document_id AND document.version = version.number,
        plainto_tsquery(%(language)s, %(topic)s) AS wanted
    WHERE document.workspace_id = %(workspace)s AND starts_with(document.path, %(prefix)s) AND version.words @@ wanted
    ORDER BY ts_rank_cd(version.words, wanted) DESC, document.path LIMIT %(most)s
"""
# Of one text the lines that share most words with the topic, in their order.
QUOTE = """
    SELECT number, line FROM (
        SELECT number, line, ts_rank(to_tsvector(%(language)s, line), wanted.any_word) AS rank
        FROM unnest(%(lines)s::text[]) WITH ORDINALITY AS told (line, number), (
            SELECT string_agg(quote_literal(lexeme), ' | ')::tsquery AS any_word
            FROM unnest(to_tsvector(%(language)s, %(topic)s))) AS wanted
        WHERE to_tsvector(%(language)s, line) @@ wanted.any_word
        ORDER BY rank DESC, number LIMIT %(most)s) AS best
    ORDER BY number
"""


def quotations(
    workspace_id: UUID, topic: str, prefix: str = "", *, deadline: float
) -> Iterator[tuple[DocumentVersion, int, str]]:
    """Yield what newest text documents say about a topic: of those with all its words, the best first, the best lines.

    At most ten documents, five lines each, as they stand there. Past `deadline` (of `time.monotonic`): OutOfTime.
    """
    about = {"language": LANGUAGE, "topic": topic.replace("\x00", "")}
    for pk in _ids(FIND, {**about, "workspace": workspace_id, "prefix": prefix, "most": DOCUMENTS_QUOTED}):
        if time.monotonic() > deadline:
            raise OutOfTime
        version = DocumentVersion.objects.select_related("document").defer("words").get(pk=pk)
        # Longer lines than anybody reads are looked at as far as they are shown.
        lines = [line.rstrip("\r")[:LINE_READ] for line in _head(bytes(version.content)).split("\n")]
        with connection.cursor() as cursor:
            cursor.execute(QUOTE, {**about, "lines": lines, "most": LINES_QUOTED})
            for number, line in cursor.fetchall():
                yield version, number, line


def _ids(statement: str, about: dict[str, Any]) -> list[UUID]:
    with connection.cursor() as cursor:
        cursor.execute(statement, about)
        return [pk for (pk,) in cursor.fetchall()]


def _head(content: bytes) -> str:
    return content[:WORDS_MOST].decode("utf-8", "ignore")


def _is_text(content: bytes) -> bool:
    try:
        return "\x00" not in content.decode("utf-8")
    except UnicodeDecodeError:
        return False


def _media_type(path: str, *, is_text: bool) -> str:
    otherwise = "text/plain" if is_text else "application/octet-stream"
    return MEDIA_TYPES.get(PurePosixPath(path).suffix.lower(), otherwise)
