"""PostgreSQL as Django has it, with a pool that asks a connection whether it still lives once a second, and statements that wait.

A gated call takes three connections from the pool, one after the other; asking each of them first costs as much as three of
its statements. A server that was restarted is still noticed: by the question, or within that second by a first statement that
fails, which the door and the site answer with `unavailable`.

Statements whose answers nobody needs wait for whatever comes next, at last for COMMIT, and go with it in one exchange with the
server: audit/rows.py hands them over, and whatever asks for a cursor sends them first.
"""

import time
from collections.abc import Sequence
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


# Typed by hand: what Django's own stubs do not tell of a backend.
_Backend: Any = base.DatabaseWrapper


class DatabaseWrapper(_Backend):
    """Django's PostgreSQL backend with that pool, and statements that wait."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._waiting: tuple[tuple[str, Sequence[Any]], ...] = ()
        # Another one for each transaction: what was locked in one is not locked in the next, nor on another connection.
        self.transaction_mark = object()

    def send_later(self, text: str, values: Sequence[Any]) -> None:
        """Execute a statement whose answer nobody needs: in its turn, before whatever comes next, at last with COMMIT.

        What is wrong with it is raised then, and undoes the transaction like any error of a statement.
        """
        if self.in_atomic_block:
            self._waiting += ((text, values),)
            return
        with self.cursor() as cursor:
            cursor.execute(text, values)

    def _send_waiting(self) -> None:
        statements, self._waiting = self._waiting, ()
        for text, values in statements:
            with super().cursor() as cursor:
                cursor.execute(text, values)

    def _cursor(self, name: str | None = None) -> Any:
        self._send_waiting()
        return super()._cursor(name)

    def _commit(self) -> None:
        self.transaction_mark = object()
        if not self._waiting or self.connection is None:
            super()._commit()
            return
        with self.wrap_database_errors, self.connection.pipeline():
            self._send_waiting()
            super()._commit()

    def _rollback(self) -> None:
        self._waiting, self.transaction_mark = (), object()
        super()._rollback()

    def _savepoint_rollback(self, sid: str) -> None:
        # What was locked since the savepoint is free again.
        self._waiting, self.transaction_mark = (), object()
        super()._savepoint_rollback(sid)

    def close(self) -> None:
        self._waiting = ()
        super().close()

    @property
    def pool(self) -> Any:
        """Return the pool of this process, None where none is configured."""
        pool = super().pool
        if pool is not None and pool._check is not None:
            pool._check = check_now_and_then
        return pool
