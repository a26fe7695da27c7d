"""The statements of the hot path, written once per model instead of compiled at each use.

A gated call sends over a dozen statements, and the ORM spends several times as long on composing each of them as the data
base on answering. These do what `save(force_insert=True)`, `filter(…).update(…)` and `select_for_update(no_key=True).get()`
do, for whole rows and plain values only; everything else stays with the ORM.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from typing import Any, Generic, TypeVar
from uuid import UUID

from django.db import DEFAULT_DB_ALIAS, connections, models
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import AutoField, Model
from django.db.models.base import ModelState

Row = TypeVar("Row", bound=Model)


@dataclass(slots=True)
class _Waiting:
    """What `together` has gathered: new rows, and statements that answer nothing."""

    rows: list[Model] = field(default_factory=list)
    statements: list[tuple[str, list[Any]]] = field(default_factory=list)


_waiting: ContextVar[_Waiting | None] = ContextVar("worka_waiting", default=None)


@contextmanager
def together() -> Iterator[None]:
    """Send what is written inside as one statement: at the end, or before the next statement of this module.

    Inside, the ORM does not see it yet, and a key that the data base makes is not read back. Rows of one model keep their
    order; those of the model that came last are inserted last. A new row that is moved on before it was sent is inserted as
    it is then, with the entries of its birth and of its moves.
    """
    if _waiting.get() is not None:
        yield
        return
    token = _waiting.set(_Waiting())
    try:
        yield
        _flush()
    finally:
        _waiting.reset(token)


def insert(row: Model) -> None:
    """Insert a new row with all its columns; a key that the data base makes is read back."""
    db, waiting = _db(), _waiting.get()
    if waiting is not None:
        waiting.rows.append(row)
    else:
        text, columns, key = _insertion(type(row))
        with db.cursor() as cursor:
            cursor.execute(text, _values(columns, row, db))
            if key is not None:
                setattr(row, key, cursor.fetchone()[0])
    row._state.adding, row._state.db = False, db.alias


def along(text: str, values: list[Any]) -> None:
    """Execute a statement that writes and answers nothing: inside `together` with what comes next, else now.

    What comes next may be a `swap` that finds its row moved on; the statement has then been executed all the same.
    """
    waiting = _waiting.get()
    if waiting is not None:
        waiting.statements.append((text, values))
        return
    with _db().cursor() as cursor:
        cursor.execute(text, values)


def swap(row: Model, changes: Mapping[str, Any], *, state: str, noting: Model) -> bool:
    """Write columns of a row if it still has this state, and insert `noting` with it, in one statement; say whether it had.

    Neither is written without the other. A row that waits to be inserted is changed where it waits.
    """
    db, waiting = _db(), _waiting.get()
    if waiting is not None and any(each is row for each in waiting.rows):
        if getattr(row, "state", None) != state:
            return False
        for name, value in changes.items():
            setattr(row, name, value)
        insert(noting)
        return True
    statements: list[tuple[str, list[Any]]] = []
    if waiting is not None:
        statements, waiting.statements = waiting.statements, []
    _flush()
    model = type(row)
    text, changed, noted, key = _swapping(model, tuple(changes), type(noting))
    values = [value for _, given in statements for value in given]
    for column, value in zip(changed, changes.values(), strict=True):
        values.append(_prepared(column, value.pk if isinstance(value, Model) else value, db))
    values += [row.pk, state]
    values += _values(noted, noting, db)
    with db.cursor() as cursor:
        cursor.execute(_with(statements, text), values)
        found = cursor.fetchone()
    if found is None:
        return False
    setattr(noting, key, found[0])
    noting._state.adding, noting._state.db = False, db.alias
    return True


def lock(model: type[Row], key: Any) -> Row:
    """Read a row and lock it (FOR NO KEY UPDATE) until the transaction ends; raises the model's DoesNotExist."""
    found = find(model, locked=True, pk=key)
    if found is None:
        raise model.DoesNotExist(f"there is no {model._meta.verbose_name} {key}")  # type: ignore[attr-defined]
    return found


def find(model: type[Row], *, locked: bool = False, **where: Any) -> Row | None:
    """Read the one row whose columns have these values, locked where asked; None when there is none."""
    db = _db()
    if locked and not db.in_atomic_block:
        raise RuntimeError("a lock outside a transaction locks nothing")
    _flush()
    text, _, _ = _finding(model, tuple(where), locked)
    with db.cursor() as cursor:
        cursor.execute(text, list(where.values()))
        found = cursor.fetchone()
    if found is None:
        return None
    return _row_of(model, tuple(where), locked, found, db)


@dataclass(frozen=True, slots=True)
class Wanted(Generic[Row]):
    """The one row of a model whose columns have these values, locked where asked."""

    model: type[Row]
    where: Mapping[str, Any]
    locked: bool = True


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
    db = _db()
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
                text, _, _ = _finding(each.model, tuple(each.where), each.locked)  # type: ignore[arg-type]  # every class is hashable
                cursor.execute(text, list(each.where.values()))
            asked.append(cursor)
        found = [cursor.fetchone() for cursor in asked]
    answers: list[Any] = []
    for each, cursor, values in zip(wanted, asked, found, strict=True):
        cursor.close()
        if values is None or isinstance(each, Asked):
            answers.append(values)
        else:
            answers.append(_row_of(each.model, tuple(each.where), each.locked, values, db))
    return answers


def _row_of(
    model: type[Row], where: tuple[str, ...], locked: bool, found: Sequence[Any], db: BaseDatabaseWrapper
) -> Row:
    _, names, converters = _finding(model, where, locked)
    values = list(found)
    for place, column, converter in converters:
        values[place] = converter(values[place], column, db)
    # What `from_db` does for a whole row, without its setters and signals for each field.
    row = model.__new__(model)
    row._state = ModelState()
    row._state.adding, row._state.db = False, db.alias
    row.__dict__.update(zip(names, values, strict=True))
    return row


def _flush() -> None:
    """Send what waits, the rows of one model by one INSERT, all of it in one statement."""
    waiting = _waiting.get()
    if waiting is None or not (waiting.rows or waiting.statements):
        return
    by_model: dict[type[Model], list[Model]] = {}
    for row in waiting.rows:
        by_model.setdefault(type(row), []).append(row)
    db = _db()
    # Parts of one statement run in no order that one may rely on; rows of one part do, and only the ledger's need it.
    parts = [*waiting.statements, *(_part(model, rows, db) for model, rows in by_model.items())]
    waiting.rows, waiting.statements = [], []
    with db.cursor() as cursor:
        cursor.execute(_with(parts[:-1], parts[-1][0]), [value for _, values in parts for value in values])


def _with(parts: Sequence[tuple[str, list[Any]]], text: str) -> str:
    """Put statements before another, as parts of it."""
    if not parts:
        return text
    named = ", ".join(f"part{number} AS ({part})" for number, (part, _) in enumerate(parts))
    return f"WITH {named}, {text.removeprefix('WITH ')}" if text.startswith("WITH ") else f"WITH {named} {text}"


def _part(model: type[Model], rows: Sequence[Model], db: BaseDatabaseWrapper) -> tuple[str, list[Any]]:
    head, places, columns = _insertion_parts(model)
    values = [value for row in rows for value in _values(columns, row, db)]
    return f"{head} VALUES {', '.join([places] * len(rows))}", values


# --- Columns and their values -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Column:
    """A field, and the types of which a value goes to the data base as it is; no types where the field has its own say."""

    field: Any
    name: str
    plain: frozenset[type]


_PLAIN: dict[type, frozenset[type]] = {
    models.CharField: frozenset({str, type(None)}),
    models.TextField: frozenset({str, type(None)}),
    models.UUIDField: frozenset({UUID, type(None)}),
    models.BooleanField: frozenset({bool, type(None)}),
    models.DateTimeField: frozenset({datetime, type(None)}),
}


@lru_cache(maxsize=1024)
def _column(model_field: Any) -> _Column:
    target = model_field
    while isinstance(target, models.ForeignKey):
        target = target.target_field
    plain = _PLAIN.get(type(target), frozenset())
    if getattr(model_field, "auto_now", False) or getattr(model_field, "auto_now_add", False):
        plain = frozenset()
    return _Column(model_field, model_field.attname, plain)


def _values(columns: Sequence[_Column], row: Model, db: BaseDatabaseWrapper) -> list[Any]:
    """Return what is stored of a new row."""
    values = []
    for column in columns:
        value = getattr(row, column.name) if column.plain else column.field.pre_save(row, add=True)
        values.append(_prepared(column, value, db))
    return values


def _prepared(column: _Column, value: Any, db: BaseDatabaseWrapper) -> Any:
    kind = type(value)
    if kind in column.plain and (kind is not datetime or value.tzinfo is not None):
        return value
    return column.field.get_db_prep_save(value, db)


# --- The statements, composed once per model ---------------------------------------------------------------------------


@lru_cache
def _insertion_parts(model: type[Model]) -> tuple[str, str, tuple[_Column, ...]]:
    fields = tuple(each for each in model._meta.local_concrete_fields if not isinstance(each, AutoField))
    columns = ", ".join(_quoted(each.column) for each in fields)
    return (
        f"INSERT INTO {_quoted(model._meta.db_table)} ({columns})",
        f"({', '.join(map(_placeholder, fields))})",
        tuple(map(_column, fields)),
    )


@lru_cache
def _insertion(model: type[Model]) -> tuple[str, tuple[_Column, ...], str | None]:
    head, places, columns = _insertion_parts(model)
    made = [each for each in model._meta.local_concrete_fields if isinstance(each, AutoField)]
    if made:
        return f"{head} VALUES {places} RETURNING {_quoted(made[0].column)}", columns, made[0].attname
    return f"{head} VALUES {places}", columns, None


@lru_cache
def _swapping(
    model: type[Model], names: tuple[str, ...], noting: type[Model]
) -> tuple[str, tuple[_Column, ...], tuple[_Column, ...], str]:
    fields: list[Any] = [model._meta.get_field(name) for name in names]
    columns = ", ".join(f"{_quoted(each.column)} = {_placeholder(each)}" for each in fields)
    key: Any = model._meta.pk
    head, _, noted = _insertion_parts(noting)
    # A value in a SELECT has the type that it is sent with, where one in VALUES takes the column's. The cast has no length:
    # one to varchar(80) would cut what is longer, and say nothing.
    values = ", ".join(f"%s::{str(each.field.db_type(_db())).partition('(')[0]}" for each in noted)
    made: Any = noting._meta.pk
    text = (
        f"WITH moved AS (UPDATE {_quoted(model._meta.db_table)} SET {columns} "  # noqa: S608 - names of our own models
        f"WHERE {_quoted(key.column)} = %s AND {_quoted('state')} = %s RETURNING 1) "
        f"{head} SELECT {values} FROM moved RETURNING {_quoted(made.column)}"
    )
    return text, tuple(map(_column, fields)), noted, made.attname


@lru_cache
def _finding(
    model: type[Model], where: tuple[str, ...], locked: bool
) -> tuple[str, list[str], tuple[tuple[int, Any, Any], ...]]:
    fields = model._meta.local_concrete_fields
    columns = ", ".join(_quoted(each.column) for each in fields)
    keys: list[Any] = [model._meta.pk if name == "pk" else model._meta.get_field(name) for name in where]
    condition = " AND ".join(f"{_quoted(key.column)} = %s" for key in keys)
    text = f"SELECT {columns} FROM {_quoted(model._meta.db_table)} WHERE {condition}{' FOR NO KEY UPDATE' if locked else ''}"  # noqa: S608 - names of our own models
    converters = tuple(
        (place, each.get_col(model._meta.db_table), converter)
        for place, each in enumerate(fields)
        for converter in each.get_db_converters(_db())
    )
    return text, [each.attname for each in fields], converters


def _placeholder(model_field: Any) -> str:
    # Arrays are cast to their type; the placeholder does not depend on the value.
    return str(model_field.get_placeholder(None, None, _db())) if hasattr(model_field, "get_placeholder") else "%s"


def _quoted(name: str | None) -> str:
    return str(_db().ops.quote_name(name or ""))


def _db() -> BaseDatabaseWrapper:
    """Return the connection itself: through Django's stand-in for it each attribute costs several calls."""
    return connections[DEFAULT_DB_ALIAS]
