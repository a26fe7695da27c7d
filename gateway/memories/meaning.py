"""Find memories by their words and by what they mean: full-text search, and vectors of an embedder compared by pgvector.

Both lists are joined by reciprocal rank fusion. Where the embedder does not answer, or the data base has no pgvector, the
words alone find; a memory that has no vector of the present model is found by its words.
Source: Cormack, Clarke, Buettcher, "Reciprocal Rank Fusion outperforms Condorcet", SIGIR 2009 (k = 60).
"""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any
from uuid import UUID

import structlog
from django.conf import settings
from django.db import connection, transaction
from django.db.models import Exists, OuterRef

from gateway.embedding import MOST_TEXTS, NoVectors, embed
from gateway.memory import Kept, Memory, Question
from gateway.models import MemoryEntry, MemoryVector
from gateway.remembering.words import find_by_words

log = structlog.get_logger(__name__)

SECONDS_TO_FIND = 3.0
RANKED_LATE = 60
# Of a large namespace only the newest are compared; vectors of another size are of another model under the same name.
NEAREST = """
    SELECT entry_id FROM (
        SELECT entry_id, vector::vector <=> %(asked)s::vector AS distance FROM (
            SELECT entry_id, vector FROM gateway_memoryvector
            WHERE workspace_id = %(workspace)s AND namespace = %(namespace)s AND model = %(model)s
                AND cardinality(vector) = %(size)s
            ORDER BY created_at DESC LIMIT 2000
        ) AS newest
    ) AS compared WHERE distance <= %(farthest)s ORDER BY distance LIMIT %(most)s
"""


class Meaning(Memory):
    """The words that the rows' own index finds, and vectors of an embedder beside them."""

    def keep(self, entries: Sequence[Kept]) -> None:
        """Store a vector of each entry; raises when the embedder gives none, so that it is tried again later."""
        for begin in range(0, len(entries), MOST_TEXTS):
            some = entries[begin : begin + MOST_TEXTS]
            vectors = embed([entry.text for entry in some])
            MemoryVector.objects.bulk_create(
                [
                    MemoryVector(
                        entry_id=entry.id, workspace_id=entry.workspace_id, namespace=entry.namespace,
                        model=settings.WORKA_EMBEDDER_MODEL, vector=vector,
                    )
                    for entry, vector in zip(some, vectors, strict=True)
                ],
                update_conflicts=True, unique_fields=["entry_id", "model"], update_fields=["vector"],
            )  # fmt: skip

    def find(self, question: Question) -> list[UUID]:
        """Return what either way finds, what both find first."""
        found: dict[UUID, float] = defaultdict(float)
        for way in (find_by_words(question), self._near(question)):
            for place, pk in enumerate(way, 1):
                found[pk] += 1 / (RANKED_LATE + place)
        return sorted(found, key=lambda pk: -found[pk])[: question.most]

    def forget(self, ids: Sequence[UUID]) -> None:
        """Erase the vectors: of what they were made from, much can be told by them."""
        MemoryVector.objects.filter(entry_id__in=list(ids)).delete()

    def unknown(self, most: int) -> list[UUID]:
        """Return entries that have no vector of the present model: from before there was an embedder, or of another one."""
        has_one = MemoryVector.objects.filter(entry_id=OuterRef("pk"), model=settings.WORKA_EMBEDDER_MODEL)
        rows = MemoryEntry.objects.filter(~Exists(has_one)).order_by("-created_at")
        return list(rows.values_list("pk", flat=True)[:most])

    def problem(self) -> str:
        """Say what keeps it from finding by meaning, or nothing."""
        if not _has_pgvector():
            return "the data base has no extension vector, so memories are found by their words alone"
        try:
            embed(["is anybody there"], seconds=SECONDS_TO_FIND)
        except NoVectors as error:
            return f"{error}; memories are found by their words alone"
        return ""

    def _near(self, question: Question) -> list[UUID]:
        if not question.text.strip() or not _has_pgvector():
            return []
        try:
            (asked,) = embed([question.text], seconds=SECONDS_TO_FIND)
        except NoVectors as error:
            log.warning("memory_without_vectors", because=str(error))
            return []
        if not any(asked):
            return []
        about: dict[str, Any] = {
            "asked": asked, "size": len(asked), "workspace": question.workspace_id, "namespace": question.namespace,
            "model": settings.WORKA_EMBEDDER_MODEL, "farthest": 1 - settings.WORKA_EMBEDDER_CLOSENESS, "most": question.most,
        }  # fmt: skip
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(NEAREST, about)
            return [pk for (pk,) in cursor.fetchall()]


def _has_pgvector() -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT to_regtype('vector') IS NOT NULL")
        return bool(cursor.fetchone()[0])
