"""A server of OpenAI's embeddings API: strict about what it is sent; texts that share words lie close to each other."""

import asyncio
import re
import socket
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import psycopg
import pytest
from django.db import connection
from psycopg import sql
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from gateway.memories import mem0
from tests.gateway.live import serving

KEY = "an-embedders-key-of-these-tests"
MODEL = "words-64"
SIZE = 256
# What means the same has the same place.
SYNONYMS = {"dues": "fees", "fee": "fees", "charges": "fees", "port": "harbour", "dock": "harbour", "letter": "letters"}
EMPTY = {
    "the",
    "of",
    "and",
    "a",
    "in",
    "my",
    "what",
    "which",
    "are",
    "for",
    "do",
    "about",
    "say",
    "there",
    "is",
    "asked",
}


def demand_pgvector() -> None:
    """Let a test fail as expected where the server has no pgvector; to be called with a data base at hand."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT EXISTS (SELECT FROM pg_available_extensions WHERE name = 'vector')")
        if not cursor.fetchone()[0]:
            pytest.xfail("this server has no pgvector")


@contextmanager
def mem0_opened() -> Iterator[None]:
    """Let mem0 have a table in this data base, and leave none: what puts a test's rows in again knows those of migrations."""
    demand_pgvector()
    mem0._opened.cache_clear()
    yield
    with psycopg.connect(mem0._conninfo(), autocommit=True) as own:
        own.execute("SET lock_timeout = '5s'")
        tables = own.execute("SELECT tablename FROM pg_tables WHERE tablename LIKE %s", [f"{mem0.TABLE}%"]).fetchall()
        for (name,) in tables:
            own.execute(sql.SQL("DROP TABLE {}").format(sql.Identifier(name)))
    if mem0._opened.cache_info().currsize:
        mem0._store(SIZE).vector_store.connection_pool.close()
        mem0._opened.cache_clear()


def vector_of(text: str) -> list[float]:
    found = [0.0] * SIZE
    for word in re.findall(r"[a-z]+", text.lower()):
        if word not in EMPTY:
            found[zlib.crc32(SYNONYMS.get(word, word).encode()) % SIZE] += 1.0
    return found


@dataclass
class Embedder:
    """What it was asked, and what it is to do wrong next."""

    url: str = ""
    asked: list[list[str]] = field(default_factory=list)
    status: int = 200
    body: Any = None
    stalls: bool = False

    async def embeddings(self, request: Request) -> Response:
        """Answer one request."""
        if request.headers.get("authorization") != f"Bearer {KEY}":
            return JSONResponse(
                {"error": {"message": "Incorrect API key provided", "type": "invalid_request_error"}}, 401
            )
        given = await request.json()
        texts = given.get("input")
        if set(given) - {"model", "input", "encoding_format", "dimensions", "user"} or not isinstance(texts, list):
            return JSONResponse({"error": {"message": "unknown field", "type": "invalid_request_error"}}, 400)
        if any(not isinstance(text, str) or not text for text in texts):
            return JSONResponse({"error": {"message": "input may not be empty", "type": "invalid_request_error"}}, 400)
        self.asked.append(texts)
        if self.stalls:
            await asyncio.sleep(30)
        if self.status != 200:
            return JSONResponse({"error": {"message": "scripted", "type": "server_error"}}, self.status)
        if self.body is not None:
            return JSONResponse(self.body)
        data = [
            {"object": "embedding", "index": place, "embedding": vector_of(text)} for place, text in enumerate(texts)
        ]
        return JSONResponse(
            {"object": "list", "data": data[::-1], "model": given["model"], "usage": {"total_tokens": 1}}
        )


@contextmanager
def embedder() -> Iterator[Embedder]:
    """Serve the API on a free port of this machine."""
    found = Embedder()
    listener = socket.create_server(("127.0.0.1", 0))
    found.url = f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
    with serving(Starlette(routes=[Route("/v1/embeddings", found.embeddings, methods=["POST"])]), listener):
        yield found
