"""The contract of an audit sink: somewhere the sealed ledger is copied to, at least once and in order."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, Self

from django.conf import settings

from audit.core.canonical import canonical
from audit.core.plugins import discover
from audit.models import AuditEvent


class Sink(ABC):
    """Receive sealed entries in order of position.

    After a crash the last entries may come once more: writing an entry twice is harmless, because its position says
    so. A sink is made anew for each round of delivery.
    """

    # How many entries are written together: what failed among them comes again as a whole.
    at_once: ClassVar[int] = 200

    @classmethod
    def configured(cls) -> Self:
        """Make the sink from the settings."""
        return cls()

    @classmethod
    def problem(cls) -> str:
        """Say in one sentence why the settings cannot work, or "". No secret is in it."""
        return ""

    @abstractmethod
    def write(self, events: Sequence[AuditEvent]) -> None:
        """Store the entries durably before returning, or raise anything: they come again."""


def all_sinks() -> dict[str, type[Sink]]:
    """Return every sink there is, by name."""
    return discover("audit.sinks", Sink)  # type: ignore[type-abstract]  # it is asked for its subclasses


def configured_sinks() -> list[str]:
    """Return the names of the sinks that the settings ask for."""
    return list(settings.WORKA_SINKS)


def whole(event: AuditEvent) -> dict[str, Any]:
    """Return a sealed entry with all that its digest is made of: the exact body, its id, position and seal."""
    return {**event.exact, "id": event.pk, "position": event.position, "seal": event.seal}


def line_of(event: AuditEvent) -> bytes:
    """Return a sealed entry as one line of canonical JSON."""
    return canonical(whole(event)) + b"\n"
