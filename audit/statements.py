"""How rows are read and written, composed once per model and kept: the columns, their values, and the texts of statements."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any
from uuid import UUID

from django.db import DEFAULT_DB_ALIAS, connections, models
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import AutoField, Model


@dataclass(frozen=True, slots=True)
class Column:
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
def column_of(model_field: Any) -> Column:
    target = model_field
    while isinstance(target, models.ForeignKey):
        target = target.target_field
    plain = _PLAIN.get(type(target), frozenset())
    if getattr(model_field, "auto_now", False) or getattr(model_field, "auto_now_add", False):
        plain = frozenset()
    return Column(model_field, model_field.attname, plain)


def values_of(columns: Sequence[Column], row: Model, db: BaseDatabaseWrapper) -> list[Any]:
    """Return what is stored of a new row."""
    values = []
    for column in columns:
        value = getattr(row, column.name) if column.plain else column.field.pre_save(row, add=True)
        values.append(prepared(column, value, db))
    return values


def prepared(column: Column, value: Any, db: BaseDatabaseWrapper) -> Any:
    kind = type(value)
    if kind in column.plain and (kind is not datetime or value.tzinfo is not None):
        return value
    return column.field.get_db_prep_save(value, db)


@lru_cache
def insertion_parts(model: type[Model]) -> tuple[str, str, tuple[Column, ...]]:
    fields = tuple(each for each in model._meta.local_concrete_fields if not isinstance(each, AutoField))
    columns = ", ".join(quoted(each.column) for each in fields)
    return (
        f"INSERT INTO {quoted(model._meta.db_table)} ({columns})",
        f"({', '.join(map(_placeholder, fields))})",
        tuple(map(column_of, fields)),
    )


@lru_cache
def insertion(model: type[Model]) -> tuple[str, tuple[Column, ...], str | None]:
    head, places, columns = insertion_parts(model)
    made = [each for each in model._meta.local_concrete_fields if isinstance(each, AutoField)]
    if made:
        return f"{head} VALUES {places} RETURNING {quoted(made[0].column)}", columns, made[0].attname
    return f"{head} VALUES {places}", columns, None


@lru_cache
def swapping(
    model: type[Model], names: tuple[str, ...], noting: type[Model]
) -> tuple[str, str, str, tuple[Column, ...], tuple[Column, ...]]:
    """Return the UPDATE, the INSERT of what is noted, its key, and the columns of both."""
    fields: list[Any] = [model._meta.get_field(name) for name in names]
    columns = ", ".join(f"{quoted(each.column)} = {_placeholder(each)}" for each in fields)
    key: Any = model._meta.pk
    head, _, noted = insertion_parts(noting)
    # A value in a SELECT has the type that it is sent with, where one in VALUES takes the column's. The cast has no length:
    # one to varchar(80) would cut what is longer, and say nothing.
    values = ", ".join(f"%s::{str(each.field.db_type(database())).partition('(')[0]}" for each in noted)
    made: Any = noting._meta.pk
    update = (
        f"UPDATE {quoted(model._meta.db_table)} SET {columns} "  # noqa: S608 - names of our own models
        f"WHERE {quoted(key.column)} = %s AND {quoted('state')} = %s RETURNING 1"
    )
    note = f"{head} SELECT {values} FROM moved"  # noqa: S608 - as above
    return update, note, quoted(made.column), tuple(map(column_of, fields)), noted


@lru_cache
def finding(
    model: type[Model], where: tuple[str, ...], locked: bool, without: tuple[str, ...]
) -> tuple[str, list[str], tuple[tuple[int, Any, Any], ...]]:
    fields = [each for each in model._meta.local_concrete_fields if each.attname not in without]
    columns = ", ".join(quoted(each.column) for each in fields)
    keys: list[Any] = [model._meta.pk if name == "pk" else model._meta.get_field(name) for name in where]
    condition = " AND ".join(f"{quoted(key.column)} = %s" for key in keys)
    text = f"SELECT {columns} FROM {quoted(model._meta.db_table)} WHERE {condition}{' FOR NO KEY UPDATE' if locked else ''}"  # noqa: S608 - names of our own models
    converters = tuple(
        (place, each.get_col(model._meta.db_table), converter)
        for place, each in enumerate(fields)
        for converter in each.get_db_converters(database())
    )
    return text, [each.attname for each in fields], converters


def _placeholder(model_field: Any) -> str:
    # Arrays are cast to their type; the placeholder does not depend on the value.
    return str(model_field.get_placeholder(None, None, database())) if hasattr(model_field, "get_placeholder") else "%s"


def quoted(name: str | None) -> str:
    return str(database().ops.quote_name(name or ""))


def database() -> BaseDatabaseWrapper:
    """Return the connection itself: through Django's stand-in for it each attribute costs several calls."""
    return connections[DEFAULT_DB_ALIAS]
