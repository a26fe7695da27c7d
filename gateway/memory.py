"""The contract of a memory: whoever finds again what agents remember.

Rows of `MemoryEntry` are the truth: text, provenance, taint, and who may be told. A memory only finds: it is told of each
entry once or more (`keep`, the same id again is the same entry), answers with ids, best first, and forgets. It never decides
who may read: what it answers is looked up again in the workspace and namespace that were asked about. It is called outside any
transaction, may raise anything, and stops no run when it does. Tests: tests/contracts/test_memories.py.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from audit.core.plugins import discover


@dataclass(frozen=True, slots=True)
class Kept:
    """An entry as a memory is told of it."""

    id: UUID
    workspace_id: UUID
    namespace: str
    text: str


@dataclass(frozen=True, slots=True)
class Question:
    """What somebody may remember something about, in their words; `most` bounds the answer."""

    workspace_id: UUID
    namespace: str
    text: str
    most: int


class Memory(ABC):
    """Finds entries by what they are about."""

    @abstractmethod
    def keep(self, entries: Sequence[Kept]) -> None:
        """Take entries in; they may not be rows yet, and never become any."""

    @abstractmethod
    def find(self, question: Question) -> list[UUID]:
        """Return the ids of at most `most` entries of the workspace and namespace that are about the question, best first."""

    @abstractmethod
    def forget(self, ids: Sequence[UUID]) -> None:
        """Erase entries; ids that it does not know are no error. Asked of every memory there is, configured or not."""

    def unknown(self, most: int) -> list[UUID]:
        """Return the ids of at most `most` entries that are rows and that it finds less well than if it were told of them anew.

        Asked when a process begins: whatever it finds by may have been changed since. `keep` is told of them then.
        """
        return []

    def problem(self) -> str:
        """Say what keeps it from doing all that it could, in a sentence without secrets, or nothing."""
        return ""


def all_memories() -> dict[str, type[Memory]]:
    """Return every memory by its name."""
    return discover("gateway.memories", Memory)  # type: ignore[type-abstract]
