"""The one door. No state in this system changes anywhere else."""

from collections.abc import Mapping
from typing import Any, ClassVar, Protocol

from django.db import connection, transaction
from django.db.models import Model
from django.utils.timezone import now

from audit.core.codes import Code
from audit.core.machine import Machine
from audit.core.refusals import Refused
from audit.ledger import Entry, entry
from audit.models import AuditEvent
from audit.principals import Principal


class Governed(Protocol):
    """A row with a machine: its `state` is one of the machine's."""

    machine: ClassVar[Machine]
    state: Any
    state_changed_at: Any


class Overtaken(Refused):
    """Somebody else moved the subject first. Read it again and decide again."""

    code = Code.OVERTAKEN
    recovery = "Read it again; it may already be as you want it."


class ReasonMissing(Refused):
    """A person must say why."""

    code = Code.INVALID
    recovery = "Give a reason; it is written down."


def transition(
    subject: Any,
    event: str,
    *,
    by: Principal,
    because: str = "",
    details: Mapping[str, Any] | None = None,
    **changes: Any,
) -> AuditEvent:
    """Move `subject` along its machine and write the move down, both or neither, in one statement.

    `changes` are columns written with the state; `details` are added to the entry. Refuses with `transition_refused`,
    `overtaken` if the row is no longer in the state at hand, and `invalid` if a person gives no reason. After a
    refusal nothing was written, so the transaction around it may go on.
    """
    _demand_reason(by, because)
    before = subject.state
    after = subject.machine.after(before, event)
    facts = {**(details or {}), "before": str(before), "after": str(after)}
    prepared = entry(f"{subject.machine.subject}.{event}", subject, by=by, because=because, facts=facts)
    changes |= {"state": after, "state_changed_at": now()}
    if connection.in_atomic_block:
        # A savepoint would cost two more statements and protect nothing: only the data base can still fail.
        moved = _move(subject, before, changes, prepared)
    else:
        with transaction.atomic():
            moved = _move(subject, before, changes, prepared)
    for field, value in changes.items():
        setattr(subject, field, value)
    return moved


def born(subject: Any, *, by: Principal, because: str = "", **facts: Any) -> AuditEvent:
    """Write down that a row was made, in the same transaction, as its machine names a birth in its state.

    Refuses with `transition_refused` where the machine knows no such birth. A person who asks for something gives the
    reason with what they ask for, so none is demanded here.
    """
    if not connection.in_atomic_block:
        raise transaction.TransactionManagementError("a birth is written down in the transaction that makes the row")
    event = subject.machine.birth(subject.state)
    named = {**facts, "after": str(subject.state)}
    return entry(f"{subject.machine.subject}.{event}", subject, by=by, because=because, facts=named).write()


def _demand_reason(by: Principal, because: str) -> None:
    if by.kind == "user" and not because.strip():
        raise ReasonMissing("a person must say why")


def _move(subject: Model, before: str, changes: Mapping[str, Any], prepared: Entry) -> AuditEvent:
    written = prepared.write_with(subject, changes, state=before)
    if written is None:
        raise Overtaken(f"{subject} is no longer {before}")
    return written
