"""Append to the ledger: one row, in the transaction that made it happen."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from functools import partial
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import Model
from django.utils.timezone import now

from audit import correlation
from audit.core.canonical import MAX_INTEGER, canonical, escaped
from audit.core.times import timestamp
from audit.models import AuditEvent
from audit.principals import Principal
from audit.rows import insert, swap
from audit.signals import recorded

BODY_VERSION = 1


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry that is ready to be written: nothing but the data base can still refuse it."""

    columns: Mapping[str, Any]

    def write(self) -> AuditEvent:
        event = AuditEvent(**self.columns)
        insert(event)
        _tell(event)
        return event

    def write_with(self, row: Model, changes: Mapping[str, Any], *, state: str) -> AuditEvent | None:
        """Write the entry together with what it is about: columns of a row that is still in this state, else nothing."""
        event = AuditEvent(**self.columns)
        if not swap(row, changes, state=state, noting=event):
            return None
        _tell(event)
        return event


def _tell(event: AuditEvent) -> None:
    transaction.on_commit(partial(recorded.send_robust, sender=AuditEvent, event=event))


def record(type_: str, subject: Model | str, /, *, by: Principal, because: str = "", **facts: Any) -> AuditEvent:
    """Write down what happened, in one INSERT, in the transaction that made it happen.

    Workspace and run are read off the subject. Facts are JSON, or ids, times, amounts and sets, which become JSON;
    hostile characters in any text are escaped. Refuses with `not_canonical` what has no canonical form.
    """
    return entry(type_, subject, by=by, because=because, facts=facts).write()


def entry(type_: str, subject: Model | str, *, by: Principal, because: str, facts: Mapping[str, Any]) -> Entry:
    """Prepare an entry, so that everything that can be wrong with it is found before anything is changed."""
    workspace, run = scope_of(subject)
    label = getattr(subject, "audit_label", "")
    exact = json_of({"label": label, **facts} if label else facts)
    at = now()
    texts = {
        "type": type_,
        "subject": subject_of(subject),
        "actor": escaped(str(by)),
        "actor_id": by.id,
        "via": escaped(by.via),
        "on_behalf_of": escaped(by.on_behalf_of),
        "because": escaped(because),
        "correlation_id": correlation.current(),
    }
    body = canonical(
        {
            **texts,
            "v": BODY_VERSION,
            "facts": exact,
            "at": timestamp(at),
            "workspace": str(workspace) if workspace else None,
            "run": str(run) if run else None,
        }
    )
    return Entry({**texts, "facts": exact, "at": at, "workspace": workspace, "run": run, "body": body})


def subject_of(subject: Model | str) -> str:
    """Return how entries name a row: `app.model:key`; a text names what is no row."""
    return subject if isinstance(subject, str) else f"{subject._meta.label_lower}:{subject.pk}"


def scope_of(subject: Model | str) -> tuple[UUID | None, UUID | None]:
    """Return the workspace and the run that a row belongs to, where it does."""
    if isinstance(subject, str):
        return None, None
    kind = subject._meta.model_name
    workspace = subject.pk if kind == "workspace" else getattr(subject, "workspace_id", None)
    run = subject.pk if kind == "run" else getattr(subject, "run_id", None)
    return workspace, run


def json_of(value: Any) -> Any:
    """Turn ids, times, amounts, sets and big integers into JSON, and escape hostile text, all the way down."""
    match value:
        case Enum():
            return json_of(value.value)
        case str():
            return escaped(value)
        case bool() | None | float():
            return value
        case int():
            return value if -MAX_INTEGER <= value <= MAX_INTEGER else str(value)
        case Mapping():
            return {escaped(str(key)): json_of(item) for key, item in value.items()}
        case list() | tuple():
            return [json_of(item) for item in value]
        case set() | frozenset():
            return sorted((json_of(item) for item in value), key=str)
        case datetime():
            return timestamp(value)
        case date() | time():
            return value.isoformat()
        case timedelta():
            return value.total_seconds()
        case UUID() | Decimal():
            return str(value)
        case _:
            return value
