"""Decisions, consents, votes, plans, policy and exact payloads are not rewritten, whoever writes the statement."""

import pytest
from django.db import connection

from governance.models import Consent, EncryptedPayload, Gate, Plan, PolicyManifest, Vote
from tests.governance.by_hand import refused, rows

pytestmark = pytest.mark.django_db

STATE = {"state", "state_changed_at"}
# Per model: what may change freely, and what from nothing to something, once.
MAY_CHANGE = {
    Gate: (STATE, {"consent_until"}),
    Consent: (set(), {"used_at", "used_by"}),
    Vote: (set(), set()),
    Plan: (STATE, set()),
    PolicyManifest: (STATE, {"activated_at", "activated_by", "activated_because"}),
    EncryptedPayload: (set(), set()),
}
FORGED = {
    "uuid": "gen_random_uuid()",
    "timestamp with time zone": "now() + interval '1 day'",
    "jsonb": """'{"forged": true}'""",
    "bytea": "'\\x00'",
    "text": "'forged'",
    "smallint": "42",
    "integer": "42",
    "varchar(64)[]": "array['forged']",
}


def columns(which):
    """Return (table, column, another value) for each column of these tables that `which(free, once)` takes."""
    found = []
    for model, (free, once) in MAY_CHANGE.items():
        for field in model._meta.concrete_fields:
            if which(field.column, free, once):
                kind = (field.rel_db_type if field.primary_key else field.db_type)(connection)
                value = FORGED[
                    "text" if kind.startswith("varchar") and not kind.endswith("]") else kind.split(" CHECK")[0]
                ]
                found.append(
                    pytest.param(model._meta.db_table, field.column, value, id=f"{model.__name__}.{field.column}")
                )
    return found


@pytest.fixture
def there():
    return rows()


def say(sql):
    with connection.cursor() as cursor:
        cursor.execute(sql)
        return cursor.rowcount


@pytest.mark.parametrize(("table", "column", "value"), columns(lambda name, free, once: name not in free | once))
def test_no_other_column_is_ever_changed(there, table, column, value):
    assert f"{table} is append-only: rows are never changed" in refused(say, f"UPDATE {table} SET {column} = {value}")


@pytest.mark.parametrize(("table", "column", "value"), columns(lambda name, free, once: name in free))
def test_state_may_change_and_change_again(there, table, column, value):
    first = "'draft'" if column == "state" else "now()"

    assert say(f"UPDATE {table} SET {column} = {first}") and say(f"UPDATE {table} SET {column} = {value}")


@pytest.mark.parametrize(("table", "column", "value"), columns(lambda name, free, once: name in once))
def test_what_is_written_once_is_neither_rewritten_nor_taken_back(there, table, column, value):
    another = "'another'" if value == "'forged'" else "now()" if "now()" in value else value

    assert say(f"UPDATE {table} SET {column} = {value}")
    assert say(f"UPDATE {table} SET {column} = {column}"), "the same again is no change"

    assert f"{table}.{column} is written once" in refused(say, f"UPDATE {table} SET {column} = {another}")
    assert f"{table}.{column} is written once" in refused(say, f"UPDATE {table} SET {column} = NULL")


@pytest.mark.parametrize("table", [model._meta.db_table for model in MAY_CHANGE])
def test_no_row_is_deleted_and_no_table_emptied(there, table):
    assert f"{table} is append-only: rows are never deleted" in refused(say, f"DELETE FROM {table}")
    assert f"{table} is append-only: it is never truncated" in refused(say, f"TRUNCATE {table} CASCADE")


def test_every_table_that_refuses_is_tested_here():
    with connection.cursor() as cursor:
        cursor.execute("SELECT tgrelid::regclass::text FROM pg_trigger WHERE tgname = 'worka_append_only'")
        guarded = {table for (table,) in cursor.fetchall()}

    assert {table for table in guarded if table.startswith("governance_")} == {
        model._meta.db_table for model in MAY_CHANGE
    }
