"""PostgreSQL as Django has it, with a pool that asks a connection whether it still lives once a second, not at each use.

A gated call takes three connections from the pool, one after the other; asking each of them first costs as much as three of
its statements. A server that was restarted is still noticed: by the question, or within that second by a first statement that
fails, which the door and the site answer with `unavailable`.
"""

import time
from typing import Any

from django.db.backends.postgresql import base
from psycopg import Connection, _queries
from psycopg_pool import ConnectionPool

ASK_AFTER_S = 1.0

# psycopg remembers how it reads a statement of up to 50 values, and reads longer ones anew each time, because an ORM's long
# ones seldom come again. Ours do: what a gated call writes (audit/rows.py) has 115 values, and reading it was a twentieth of
# the call. Where a later psycopg knows these names no more, it is that much slower and nothing else.
_queries.MAX_CACHED_STATEMENT_LENGTH, _queries.MAX_CACHED_STATEMENT_PARAMS = 16_384, 256


def check_now_and_then(connection: "Connection[Any]") -> None:
    """Ask a pooled connection whether it lives, unless that was asked within the last second; raises OperationalError."""
    asked: Any = connection
    now = time.monotonic()
    if now - getattr(asked, "worka_asked_at", 0.0) >= ASK_AFTER_S:
        ConnectionPool.check_connection(connection)
        asked.worka_asked_at = now


class DatabaseWrapper(base.DatabaseWrapper):
    """Django's PostgreSQL backend with that pool."""

    @property
    def pool(self) -> Any:
        """Return the pool of this process, None where none is configured."""
        pool = super().pool
        if pool is not None and pool._check is not None:
            pool._check = check_now_and_then
        return pool
