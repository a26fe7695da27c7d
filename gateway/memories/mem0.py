"""Find memories with mem0, over the data base's own pgvector: an extra (requirements/mem0.txt), with its telemetry off.

Each text is kept as it is, under its entry as mem0's run and its workspace and namespace as mem0's agent: mem0 asks no model to
rewrite it, and the embedder is asked by the gateway's one way out. mem0's own history, which would keep what was erased, is none.
Source: github.com/mem0ai/mem0, mem0/memory/main.py; docs.mem0.ai/open-source.
"""

import hashlib
import logging
from collections.abc import Sequence
from functools import lru_cache
from threading import Lock
from typing import Any
from uuid import UUID

import psycopg
from django.conf import settings
from django.db import connection
from psycopg import DatabaseError, sql
from psycopg.conninfo import make_conninfo

from gateway.embedding import NoVectors, embed
from gateway.memory import Kept, Memory, Question

SECONDS_TO_FIND = 3.0
LONGEST_QUESTION = 4000  # characters
TABLE = "worka_mem0_"
CONNECTED_BY = ("host", "port", "user", "password", "dbname", "sslmode", "sslrootcert", "sslcert", "sslkey")
_opening = Lock()


class NotUsable(Exception):
    """mem0 cannot be used here. The message says why, and quotes nothing that was asked."""


class Mem0(Memory):
    """The memory that the field knows, behind the same rows, gates and erasing as any other."""

    def keep(self, entries: Sequence[Kept]) -> None:
        """Store each entry once; raises when the embedder or the data base does not take it, so that it is tried again."""
        store = _store(_size())
        for entry in entries:
            # mem0 gives each text a key of its own: told of an entry again, it would have it twice.
            store.delete_all(run_id=str(entry.id))
            store.add(
                entry.text, agent_id=_agent(entry.workspace_id, entry.namespace), run_id=str(entry.id), infer=False
            )

    def find(self, question: Question) -> list[UUID]:
        """Ask mem0 for what is near enough, best first."""
        text = question.text.replace("\x00", "").strip()[:LONGEST_QUESTION]
        if not text or not any(asked := embed([text], seconds=SECONDS_TO_FIND)[0]):
            return []
        found = _store(len(asked)).search(
            text,
            top_k=question.most,
            filters={"agent_id": _agent(question.workspace_id, question.namespace)},
            threshold=settings.WORKA_EMBEDDER_CLOSENESS,
        )
        return [UUID(each["run_id"]) for each in found["results"]]

    def forget(self, ids: Sequence[UUID]) -> None:
        """Erase the texts and their vectors, also those of earlier models; without the embedder, which may be gone."""
        with connection.cursor() as cursor:
            cursor.execute("SELECT tablename FROM pg_tables WHERE schemaname = current_schema()")
            tables = [name for (name,) in cursor.fetchall() if name.startswith(TABLE)]
        if not tables:
            return
        # On a connection of its own, as mem0 writes: whoever asks may be in a transaction.
        with psycopg.connect(_conninfo(), autocommit=True) as own:
            for name in tables:
                erase = sql.SQL("DELETE FROM {} WHERE payload->>'run_id' = ANY(%s)").format(sql.Identifier(name))
                own.execute(erase, [[str(pk) for pk in ids]])

    def problem(self) -> str:
        """Say that mem0 is not installed, or that its embedder or pgvector are not there."""
        try:
            _store(_size())
        except (NotUsable, NoVectors) as error:
            return f"{error}; runs go on without memories"
        return ""


def _agent(workspace_id: UUID, namespace: str) -> str:
    return f"{workspace_id}/{namespace}"


def _size() -> int:
    return len(embed(["is anybody there"], seconds=SECONDS_TO_FIND)[0])


def _store(size: int) -> Any:
    """Return mem0 on the data base that is connected now, with a table for each model of the embedder."""
    with _opening:
        return _opened(_conninfo(), settings.WORKA_EMBEDDER_MODEL, size)


def _conninfo() -> str:
    known: dict[str, Any] = connection.get_connection_params()
    return make_conninfo(**{name: known[name] for name in CONNECTED_BY if known.get(name)})


@lru_cache(maxsize=4)
def _opened(conninfo: str, model: str, size: int) -> Any:
    library = _imported()
    table = TABLE + hashlib.sha256(f"{model} {size}".encode()).hexdigest()[:16]
    store = library.Memory.from_config(
        {
            "vector_store": {
                "provider": "pgvector",
                # No index of vectors: with one, whoever has few among many finds nothing of their own.
                "config": {
                    "connection_string": conninfo,
                    "collection_name": table,
                    "embedding_model_dims": size,
                    "hnsw": False,
                },
            },
            # Neither is ever asked: vectors come from the gateway's embedder, and nothing is rewritten by a model.
            "embedder": {"provider": "openai", "config": {"api_key": "none"}},
            "llm": {"provider": "openai", "config": {"api_key": "none"}},
            "history_db_path": ":memory:",
        }
    )
    store.db.close()
    store.embedding_model, store.db = _Embedder(), _NoHistory()
    try:
        store.vector_store.create_col()
    except DatabaseError:
        store.vector_store.connection_pool.close()
        raise NotUsable("the data base has no extension vector, or lets nobody make it") from None
    with psycopg.connect(conninfo, autocommit=True) as own:
        for number, name in enumerate(("agent_id", "run_id")):
            make = sql.SQL("CREATE INDEX IF NOT EXISTS {} ON {} ((payload->>{}))")
            own.execute(make.format(sql.Identifier(f"{table}_{number}"), sql.Identifier(table), name))
    return store


def _imported() -> Any:
    """Import mem0, which reads the switch of its telemetry then: the settings have put it off before."""
    try:
        import mem0
        from mem0.memory import telemetry
    except ImportError:
        raise NotUsable("mem0 is not installed (requirements/mem0.txt)") from None
    if telemetry.MEM0_TELEMETRY:
        raise NotUsable("mem0 was imported with its telemetry on")
    # It logs what it was given.
    logging.getLogger("mem0").setLevel(logging.CRITICAL)
    return mem0


class _Embedder:
    """What mem0 asks for a vector."""

    def embed(self, text: str, memory_action: str | None = None) -> list[float]:
        return embed([text], seconds=SECONDS_TO_FIND)[0]

    def embed_batch(self, texts: Sequence[str], memory_action: str | None = None) -> list[list[float]]:
        return embed(texts)


class _NoHistory:
    """In the place of mem0's history: the ledger keeps what happened, and what is erased is gone."""

    def add_history(self, *args: Any, **kwargs: Any) -> None:
        """Write nothing down."""

    def close(self) -> None:
        """Close nothing."""
