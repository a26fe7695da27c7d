"""The ledger's entries as the pages of the console tell them."""

from collections.abc import Iterable
from dataclasses import replace
from itertools import zip_longest

from django.db.models import QuerySet

from audit.models import AuditEvent
from audit.queries import Filter, visible_entries
from governance.models import Run
from governance.people import Asker
from worka_site.portal.links import to
from worka_site.portal.sentences import said
from worka_site.portal.shapes import Entry

# What happens at every step of every run; the ledger has it, and the page of the run already shows it.
ROUTINE = frozenset({
    "gate.allow", "gate.open", "artifact.open", "step.create", "step.release", "step.start", "run.plan", "run.release",
    "job.queue", "job.submit", "job.start", "job.succeed", "invocation.request", "invocation.start", "invocation.hold", "invocation.release", "step.skip",
    "llm_call.start", "llm_call.succeed",
})  # fmt: skip
SHOWN = 14


def entries_about(events: Iterable[AuditEvent]) -> list[Entry]:
    """Say entries with links to their proofs; for whom an agent acted is said elsewhere on the page."""
    entries = [_entry(event) for event in events]
    # One answer does several things: its reason stands once, with what came first.
    return [
        replace(entry, because="") if before and entry.because == before.because else entry
        for entry, before in zip_longest(entries, entries[1:])
    ]


def _entry(event: AuditEvent) -> Entry:
    entry = said(event, href=to("audit_auditevent_change", event.pk))
    because = "" if entry.because in entry.sentence else entry.because
    return replace(entry, actor=entry.actor.partition(" (for ")[0], because=because)


def story_of(asker: Asker, run: Run) -> QuerySet[AuditEvent]:
    """Return what was decided and done in a run, newest first, without what happens in every run."""
    return visible_entries([asker.workspace_id], Filter(run=run.pk)).exclude(type__in=ROUTINE)[:SHOWN]


def history_of(asker: Asker, subject: str) -> QuerySet[AuditEvent]:
    """Return what the ledger says about one row, newest first."""
    return visible_entries([asker.workspace_id], Filter(subject=subject))[:SHOWN]
