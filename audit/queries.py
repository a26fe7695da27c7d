"""Read the ledger: only entries of workspaces that the caller may see, newest first, page by page.

Whoever asks says which workspaces those are (None: all, for auditors); what lies outside is as if it were not there.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db.models import Q, QuerySet

from audit.core.codes import Code
from audit.core.refusals import Refused
from audit.models import AuditEvent, AuditEventQuerySet

MAX_PAGE = 200


@dataclass(frozen=True, slots=True)
class Filter:
    """What to look for; empty fields match everything. `type` may end in `.`: every event of that subject."""

    type: str = ""
    subject: str = ""
    actor: str = ""
    run: UUID | None = None
    correlation_id: str = ""
    since: datetime | None = None
    until: datetime | None = None
    text: str = ""


@dataclass(frozen=True, slots=True)
class Page:
    """Some entries, and the cursor that the next page begins after ("" at the end)."""

    entries: list[AuditEvent]
    next_cursor: str


def visible_entries(workspaces: Collection[UUID] | None, wanted: Filter | None = None) -> AuditEventQuerySet:
    """Return the entries that match, newest first."""
    found = AuditEvent.objects.newest_first()
    if workspaces is not None:
        found = found.filter(workspace__in=list(workspaces))
    return found.filter(_condition(wanted)) if wanted else found


def page_of(found: QuerySet[AuditEvent], *, cursor: str = "", limit: int = 50) -> Page:
    """Cut a page of at most `limit` entries; refuses a cursor that is none with `bad_request`."""
    limit = max(1, min(limit, MAX_PAGE))
    rows = list(found.filter(_after(cursor))[: limit + 1] if cursor else found[: limit + 1])
    entries = rows[:limit]
    return Page(entries, _cursor_of(entries[-1]) if len(rows) > limit else "")


def entry(id_: int, workspaces: Collection[UUID] | None) -> AuditEvent:
    """Return one entry by its id, or refuse with `not_found`, also for what the caller may not see."""
    found = visible_entries(workspaces).filter(pk=id_).first()
    if found is None:
        raise Refused(f"there is no ledger entry {id_}", code=Code.NOT_FOUND)
    return found


def entries_after(position: int, workspaces: Collection[UUID] | None, *, limit: int = MAX_PAGE) -> list[AuditEvent]:
    """Return sealed entries behind a position, oldest first: what a live stream sends next and misses nothing."""
    found: QuerySet[AuditEvent] = AuditEvent.objects.sealed().filter(position__gt=position)
    if workspaces is not None:
        found = found.filter(workspace__in=list(workspaces))
    return list(found[:limit])


def last_verification() -> AuditEvent | None:
    """Return the entry of the last time that somebody had the whole ledger checked."""
    return AuditEvent.objects.filter(type="ledger.verify").order_by("-at").first()


def last_rotations() -> dict[str, datetime]:
    """Return when the key of each kind was last replaced, by kind; a kind that never was is left out."""
    rotated = AuditEvent.objects.filter(type="key.rotate").order_by("at").values_list("facts__kind", "at")
    return {str(kind): at for kind, at in rotated}


def first_entry_at() -> datetime | None:
    """Return when the ledger began."""
    return AuditEvent.objects.order_by("pk").values_list("at", flat=True).first()


def _condition(wanted: Filter) -> Q:
    condition = Q()
    if wanted.type:
        condition &= Q(type__startswith=wanted.type) if wanted.type.endswith(".") else Q(type=wanted.type)
    for name in ("subject", "actor", "correlation_id"):
        if value := getattr(wanted, name):
            condition &= Q(**{name: value})
    if wanted.run:
        condition &= Q(run=wanted.run)
    if wanted.since:
        condition &= Q(at__gte=wanted.since)
    if wanted.until:
        condition &= Q(at__lt=wanted.until)
    if wanted.text:
        words = (Q(**{f"{name}__icontains": wanted.text}) for name in ("because", "subject", "actor", "facts__label"))
        matches = Q()
        for word in words:
            matches |= word
        condition &= matches
    return condition


def _cursor_of(event: AuditEvent) -> str:
    return str(event.position) if event.position is not None else f"u{event.pk}"


def _after(cursor: str) -> Q:
    number = cursor.removeprefix("u")
    if not (number.isascii() and number.isdecimal() and len(number) < 19):
        raise Refused("the cursor is not one that was given out", code=Code.BAD_REQUEST)
    if cursor.startswith("u"):
        # Behind an entry that was not yet sealed come older ones of that kind, then all that is sealed.
        return Q(position__isnull=True, pk__lt=int(number)) | Q(position__isnull=False)
    return Q(position__lt=int(number))
