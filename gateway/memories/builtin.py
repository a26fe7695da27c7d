"""Find memories by PostgreSQL's full-text search: no model, nothing beside the data base."""

from collections.abc import Sequence
from uuid import UUID

from gateway.memory import Kept, Memory, Question
from gateway.remembering.words import find_by_words


class Builtin(Memory):
    """The rows' own index finds; there is nothing to keep or to forget beside them."""

    def keep(self, entries: Sequence[Kept]) -> None:
        """Do nothing: the rows are indexed by the data base."""

    def find(self, question: Question) -> list[UUID]:
        """Ask the rows' own index."""
        return find_by_words(question)

    def forget(self, ids: Sequence[UUID]) -> None:
        """Do nothing: the rows are the index."""
