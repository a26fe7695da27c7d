"""Carry the sealed ledger to the sinks, each from where its own cursor stands; one that fails holds up no other."""

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from time import monotonic
from zlib import crc32

from django.db import connection
from django.db.models import F
from django.utils.timezone import now

from audit.core.canonical import escaped
from audit.models import AuditEvent, Seal, SinkCursor
from audit.sink import Sink, all_sinks, configured_sinks

BATCH = 200
BATCHES_A_ROUND = 25
ROUND_S = 2.0  # then it is another sink's turn
SINK_LOCK = 0x51C  # the first key of the advisory locks that keep two processes off one sink
LONGEST_WAIT = timedelta(minutes=5)
ERROR_CHARACTERS = 500

log = logging.getLogger(__name__)


class SinkUnknown(Exception):
    """The settings ask for a sink that does not exist."""


@dataclass(frozen=True, slots=True)
class SinkHealth:
    """How a sink is doing: how many sealed entries wait for it, since when the oldest does, and what went wrong."""

    name: str
    position: int
    behind: int
    waiting_since: datetime | None
    failing_since: datetime | None
    last_error: str

    @property
    def is_healthy(self) -> bool:
        return not self.last_error


def deliver(name: str, sink: Sink, *, batches: int = BATCHES_A_ROUND) -> int:
    """Write what the sink has not had yet and return how many entries; 0 too if another process is at it.

    The cursor moves after the sink has stored, so a crash between the two repeats and never loses.
    """
    total, over_at = 0, monotonic() + ROUND_S
    with _alone_with(name) as is_alone:
        if not is_alone:
            return 0
        cursor, _ = SinkCursor.objects.get_or_create(sink=name)
        for _round in range(batches):
            events = list(AuditEvent.objects.sealed().filter(position__gt=cursor.position)[:BATCH])
            for start in range(0, len(events), sink.at_once):
                portion = events[start : start + sink.at_once]
                sink.write(portion)
                _move(cursor, portion[-1].position or 0)
                total += len(portion)
                if monotonic() > over_at:
                    return total
            if not events:
                break
    return total


def deliver_all() -> int:
    """Deliver to every configured sink; return how many entries were written."""
    return deliver_each({name: partial(_made, name) for name in configured_sinks()})


def deliver_each(sinks: Mapping[str, Callable[[], Sink]]) -> int:
    """Make and serve each sink that is not waiting after a failure; return how many entries were written."""
    total = 0
    waiting = set(SinkCursor.objects.filter(retry_at__gt=now()).values_list("sink", flat=True))
    for name, make in sinks.items():
        if name in waiting:
            continue
        try:
            total += deliver(name, make())
        except Exception as error:
            log.exception("the audit sink %s failed", name)
            _remember_failure(name, error)
    return total


def begin_at_the_end(name: str) -> None:
    """Let a sink that has no cursor yet begin with what is sealed from now on."""
    if not SinkCursor.objects.filter(sink=name).exists():
        SinkCursor.objects.get_or_create(sink=name, defaults={"position": _last_position()})


def sinks_health() -> list[SinkHealth]:
    """Return how each configured sink is doing, for the health page."""
    unknown = {name: f"there is no sink called {name}" for name in configured_sinks() if name not in all_sinks()}
    return health_of(configured_sinks(), unknown)


def health_of(names: Iterable[str], errors: Mapping[str, str] | None = None) -> list[SinkHealth]:
    """Return how the named cursors are doing; `errors` says what is wrong with those that have not been tried."""
    names, last = list(names), _last_position()
    cursors = {cursor.sink: cursor for cursor in SinkCursor.objects.filter(sink__in=names)}
    found = []
    for name in names:
        cursor = cursors.get(name) or SinkCursor(sink=name)
        oldest = Seal.objects.filter(last_position__gt=cursor.position).order_by("last_position")
        since = oldest.values_list("sealed_at", flat=True).first()
        error = cursor.last_error or (errors or {}).get(name, "")
        found.append(
            SinkHealth(name, cursor.position, max(0, last - cursor.position), since, cursor.failing_since, error)
        )
    return found


def _last_position() -> int:
    return Seal.objects.order_by("-number").values_list("last_position", flat=True).first() or 0


def _move(cursor: SinkCursor, position: int) -> None:
    cursor.position = position
    SinkCursor.objects.filter(pk=cursor.pk).update(
        position=position, delivered_at=now(), failures=0, failing_since=None, retry_at=None, last_error=""
    )


def _made(name: str) -> Sink:
    try:
        return all_sinks()[name].configured()
    except KeyError:
        raise SinkUnknown(f"there is no sink called {name}; there are {', '.join(sorted(all_sinks()))}") from None


def _remember_failure(name: str, error: Exception) -> None:
    cursor, _ = SinkCursor.objects.get_or_create(sink=name)
    wait = min(timedelta(seconds=2 ** min(cursor.failures, 10)), LONGEST_WAIT)
    text = escaped(f"{type(error).__name__}: {error}")[:ERROR_CHARACTERS]
    SinkCursor.objects.filter(pk=cursor.pk).update(
        failures=F("failures") + 1, failing_since=cursor.failing_since or now(), retry_at=now() + wait, last_error=text
    )


@contextmanager
def _alone_with(name: str) -> Iterator[bool]:
    """Hold the sink's lock for this connection, in no transaction: a slow sink must not keep one open."""
    keys = [SINK_LOCK, crc32(name.encode()) - 2**31]
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(%s, %s)", keys)
        (is_alone,) = cursor.fetchone()
    try:
        yield is_alone
    finally:
        if is_alone:
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_advisory_unlock(%s, %s)", keys)
