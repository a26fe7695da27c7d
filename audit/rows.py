"""The statements of the hot path, written once per model instead of compiled at each use.

A gated call sends over a dozen statements, and the ORM spends several times as long on composing each of them as the data
base on answering. These do what `save(force_insert=True)`, `filter(…).update(…)` and `select_for_update(no_key=True).get()`
do, for whole rows and plain values only; everything else stays with the ORM.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Model
from django.db.models.base import ModelState

from audit.statements import database, finding, insertion, insertion_parts, prepared, quoted, swapping, values_of

Row = TypeVar("Row", bound=Model)

# What cannot be a number is the error that undoes the transaction.
ONE_MOVED = "SELECT CASE WHEN count(*) = 1 THEN 1 ELSE (count(*)::text || ' rows were as they were read')::integer END FROM moved"


@dataclass(slots=True)
class _Waiting:
    """What `together` has gathered: new rows, statements that answer nothing, and at last the move of one row."""

    rows: list[Model] = field(default_factory=list)
    statements: list[tuple[str, list[Any]]] = field(default_factory=list)
    move: tuple[str, str, list[Any]] | None = None


_waiting: ContextVar[_Waiting | None] = ContextVar("worka_waiting", default=None)


@contextmanager
def together() -> Iterator[None]:
    """Send what is written inside as one statement: with COMMIT, or before the next statement on this connection.

    Inside, the ORM does not see it yet, and a key that the data base makes is not read back. Rows of one model keep their
    order; those of the model that came last are inserted last. A new row that is moved on before it was sent is inserted as
    it is then, with the entries of its birth and of its moves. A row that this transaction has locked and read here is moved
    in the statement, too: nobody else can have moved it, and if it is not as it was read the transaction fails.
    """
    if _waiting.get() is not None:
        yield
        return
    token = _waiting.set(_Waiting())
    try:
        yield
        if (composed := _composed()) is not None:
            database().send_later(*composed)  # type: ignore[attr-defined]  # worka_site.pooled has it
    finally:
        _waiting.reset(token)


def insert(row: Model) -> None:
    """Insert a new row with all its columns; a key that the data base makes is read back."""
    db, waiting = database(), _waiting.get()
    if waiting is not None:
        _send_move(waiting)
        waiting.rows.append(row)
    else:
        text, columns, key = insertion(type(row))
        with db.cursor() as cursor:
            cursor.execute(text, values_of(columns, row, db))
            if key is not None:
                setattr(row, key, cursor.fetchone()[0])
    row._state.adding, row._state.db = False, db.alias


def along(text: str, values: list[Any]) -> None:
    """Execute a statement that writes and answers nothing: inside `together` with what comes next, else now.

    What comes next may be a `swap` that finds its row moved on; the statement has then been executed all the same.
    """
    waiting = _waiting.get()
    if waiting is not None:
        _send_move(waiting)
        waiting.statements.append((text, values))
        return
    with database().cursor() as cursor:
        cursor.execute(text, values)


def swap(row: Model, changes: Mapping[str, Any], *, state: str, noting: Model) -> bool:
    """Write columns of a row if it still has this state, and insert `noting` with it, in one statement; say whether it had.

    Neither is written without the other. A row that waits to be inserted is changed where it waits.
    """
    db, waiting = database(), _waiting.get()
    if waiting is not None and any(each is row for each in waiting.rows):
        if getattr(row, "state", None) != state:
            return False
        for name, value in changes.items():
            setattr(row, name, value)
        insert(noting)
        return True
    if waiting is not None:
        _send_move(waiting)
    update, note, key, moving = _move_of(row, changes, state, noting, db)
    if waiting is not None and not waiting.rows and getattr(row, "state", None) == state and _is_held(row, db):
        waiting.move = update, note, moving
        noting._state.adding, noting._state.db = False, db.alias
        return True
    statements: list[tuple[str, list[Any]]] = []
    if waiting is not None:
        statements, waiting.statements = waiting.statements, []
    _flush()
    values = [value for _, given in statements for value in given] + moving
    with db.cursor() as cursor:
        cursor.execute(_with(statements, f"WITH moved AS ({update}) {note} RETURNING {key}"), values)
        found = cursor.fetchone()
    if found is None:
        return False
    noting.pk = found[0]
    noting._state.adding, noting._state.db = False, db.alias
    return True


def _move_of(
    row: Model, changes: Mapping[str, Any], state: str, noting: Model, db: BaseDatabaseWrapper
) -> tuple[str, str, str, list[Any]]:
    update, note, key, changed, noted = swapping(type(row), tuple(changes), type(noting))
    values = [
        prepared(column, value.pk if isinstance(value, Model) else value, db)
        for column, value in zip(changed, changes.values(), strict=True)
    ]
    return update, note, key, [*values, row.pk, state, *values_of(noted, noting, db)]


def _is_held(row: Model, db: BaseDatabaseWrapper) -> bool:
    """Say whether this very transaction has locked and read the row, so that it is in the data base as it is here."""
    return db.in_atomic_block and getattr(row._state, "held_in", None) is db.transaction_mark  # type: ignore[attr-defined]


def _send_move(waiting: _Waiting) -> None:
    """Send a move that waits before what comes after it: entries keep their order."""
    if waiting.move is not None:
        _flush()


def lock(model: type[Row], key: Any) -> Row:
    """Read a row and lock it (FOR NO KEY UPDATE) until the transaction ends; raises the model's DoesNotExist."""
    found = find(model, locked=True, pk=key)
    if found is None:
        raise model.DoesNotExist(f"there is no {model._meta.verbose_name} {key}")  # type: ignore[attr-defined]
    return found


def lock_unread(model: type[Model], key: Any) -> None:
    """Lock a row whose columns nobody needs, before whatever comes next; one that is not there locks nothing."""
    db = database()
    if not db.in_atomic_block:
        raise RuntimeError("a lock outside a transaction locks nothing")
    _flush()
    table, column = quoted(model._meta.db_table), quoted(model._meta.pk.column)
    db.send_later(f"SELECT 1 FROM {table} WHERE {column} = %s FOR NO KEY UPDATE", [key])  # type: ignore[attr-defined]  # noqa: S608 - names of our own models


def hold(row: Model) -> None:
    """Take a row for what the data base has of it, as if this transaction had locked and read it.

    Only for a row that waits to be moved in one state and that nobody else touches without moving it: where somebody has, the
    transaction that moves it fails with DataError.
    """
    row._state.held_in = database().transaction_mark  # type: ignore[attr-defined]


def find(model: type[Row], *, locked: bool = False, **where: Any) -> Row | None:
    """Read the one row whose columns have these values, locked where asked; None when there is none."""
    db = database()
    if locked and not db.in_atomic_block:
        raise RuntimeError("a lock outside a transaction locks nothing")
    _flush()
    text, _, _ = finding(model, tuple(where), locked, ())
    with db.cursor() as cursor:
        cursor.execute(text, list(where.values()))
        found = cursor.fetchone()
    if found is None:
        return None
    return _row_of(Wanted(model, where, locked), found, db)


@dataclass(frozen=True, slots=True)
class Wanted(Generic[Row]):
    """The one row of a model whose columns have these values, locked where asked.

    Columns in `without` are not read: whoever asks for one all the same has it fetched then, as of any row of Django's.
    """

    model: type[Row]
    where: Mapping[str, Any]
    locked: bool = True
    without: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Asked:
    """A statement that answers one row of plain values."""

    text: str
    values: Sequence[Any]


def find_in_order(*wanted: "Wanted[Any] | Asked") -> list[Any]:
    """Do several `find`s one after the other in one exchange with the server; None where there is no such row.

    Each sees, and waits for, what it would alone: they run in their order, the next when the one before is through. What an
    `Asked` answers comes as a tuple.
    """
    db = database()
    if not db.in_atomic_block and any(isinstance(each, Wanted) and each.locked for each in wanted):
        raise RuntimeError("a lock outside a transaction locks nothing")
    _flush()
    db.ensure_connection()
    asked = []
    with db.wrap_database_errors, db.connection.pipeline():
        for each in wanted:
            cursor = db.cursor()
            if isinstance(each, Asked):
                cursor.execute(each.text, each.values)
            else:
                text, _, _ = finding(each.model, tuple(each.where), each.locked, each.without)  # type: ignore[arg-type]  # every class is hashable
                cursor.execute(text, list(each.where.values()))
            asked.append(cursor)
        found = [cursor.fetchone() for cursor in asked]
    answers: list[Any] = []
    for each, cursor, values in zip(wanted, asked, found, strict=True):
        cursor.close()
        if values is None or isinstance(each, Asked):
            answers.append(values)
        else:
            answers.append(_row_of(each, values, db))
    return answers


def _row_of(wanted: "Wanted[Row]", found: Sequence[Any], db: BaseDatabaseWrapper) -> Row:
    model = wanted.model
    _, names, converters = finding(model, tuple(wanted.where), wanted.locked, wanted.without)
    values = list(found)
    for place, column, converter in converters:
        values[place] = converter(values[place], column, db)
    # What `from_db` does for a whole row, without its setters and signals for each field.
    row = model.__new__(model)
    row._state = ModelState()
    row._state.adding, row._state.db = False, db.alias
    if wanted.locked:
        row._state.held_in = db.transaction_mark  # type: ignore[attr-defined]
    row.__dict__.update(zip(names, values, strict=True))
    return row


def _flush() -> None:
    """Send what waits."""
    if (composed := _composed()) is not None:
        with database().cursor() as cursor:
            cursor.execute(*composed)


def _composed() -> tuple[str, list[Any]] | None:
    """Return what waits as one statement, the rows of one model as one INSERT, or None; nothing waits any more then."""
    waiting = _waiting.get()
    if waiting is None or not (waiting.rows or waiting.statements or waiting.move):
        return None
    if waiting.move is not None:
        return _composed_move(waiting)
    by_model: dict[type[Model], list[Model]] = {}
    for row in waiting.rows:
        by_model.setdefault(type(row), []).append(row)
    db = database()
    # Parts of one statement run in no order that one may rely on; rows of one part do, and only the ledger's need it.
    parts = [*waiting.statements, *(_part(model, rows, db) for model, rows in by_model.items())]
    waiting.rows, waiting.statements = [], []
    return _with(parts[:-1], parts[-1][0]), [value for _, values in parts for value in values]


def _composed_move(waiting: _Waiting) -> tuple[str, list[Any]]:
    """Return a move and what goes along with it; it fails as a whole where the row is not as it was read."""
    assert waiting.move is not None
    (update, note, values), statements = waiting.move, waiting.statements
    waiting.move, waiting.statements = None, []
    text = f"WITH moved AS ({update}), noted AS ({note}) {ONE_MOVED}"
    return _with(statements, text), [value for _, given in statements for value in given] + values


def _with(parts: Sequence[tuple[str, list[Any]]], text: str) -> str:
    """Put statements before another, as parts of it."""
    if not parts:
        return text
    named = ", ".join(f"part{number} AS ({part})" for number, (part, _) in enumerate(parts))
    return f"WITH {named}, {text.removeprefix('WITH ')}" if text.startswith("WITH ") else f"WITH {named} {text}"


def _part(model: type[Model], rows: Sequence[Model], db: BaseDatabaseWrapper) -> tuple[str, list[Any]]:
    head, places, columns = insertion_parts(model)
    values = [value for row in rows for value in values_of(columns, row, db)]
    return f"{head} VALUES {', '.join([places] * len(rows))}", values
