import pytest
from django.db import IntegrityError, connection, transaction

from audit.ledger import record
from audit.models import AuditEvent, Seal
from audit.principals import SYSTEM
from audit.sealing import seal_all
from audit.triggers import append_only
from tests.audit.lamps import Lamp, hang


@pytest.fixture
def sealed(db, heads):
    for n in range(3):
        record("lamp.light", f"lamps.lamp:{n}", by=SYSTEM, n=n)
    seal_all()


def refused(sql, *params):
    with pytest.raises(IntegrityError) as error, transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(sql, params)
    return str(error.value)


COLUMNS = ["type", "subject", "actor", "actor_id", "via", "on_behalf_of", "because", "correlation_id"]


@pytest.mark.parametrize(
    "change",
    [f"{column} = 'forged'" for column in COLUMNS]
    + [
        "facts = '{}'",
        "at = now()",
        "workspace = gen_random_uuid()",
        "run = gen_random_uuid()",
        "body = ''",
        "id = id + 1000",
    ],
)
def test_no_column_of_an_entry_is_ever_changed(sealed, change):
    assert "never changed" in refused(f"UPDATE audit_auditevent SET {change}")


def test_every_column_is_covered_by_these_tests():
    names = {field.column for field in AuditEvent._meta.fields}

    assert names == {*COLUMNS, "facts", "at", "workspace", "run", "body", "id", "position", "seal"}


@pytest.mark.parametrize("change", ["position = position + 100", "seal = seal + 1", "position = NULL, seal = NULL"])
def test_a_position_is_written_once(sealed, change):
    assert "is written once" in refused(f"UPDATE audit_auditevent SET {change}")


def test_an_entry_without_a_seal_gets_no_position(db):
    record("lamp.light", "lamps.lamp:1", by=SYSTEM)

    assert "audit_numbered_by_a_seal" in refused("UPDATE audit_auditevent SET position = 1")


@pytest.mark.parametrize("table", ["audit_auditevent", "audit_seal"])
def test_nothing_is_deleted_or_truncated(sealed, table):
    assert "never deleted" in refused(f"DELETE FROM {table}")
    assert "never truncated" in refused(f"TRUNCATE {table}")
    assert "never truncated" in refused(f"TRUNCATE {table} CASCADE")
    assert AuditEvent.objects.count() == 3
    assert Seal.objects.count() == 1


@pytest.mark.parametrize("column", [field.column for field in Seal._meta.fields])
def test_no_column_of_a_seal_is_ever_changed(sealed, column):
    values = {"sealed_at": "now()", "kid": "'forged'"} | dict.fromkeys(
        ["root", "digests", "edge", "signature"], "'\\x00'"
    )

    refused(f"UPDATE audit_seal SET {column} = {values.get(column, f'{column} + 1')}")


def test_a_table_of_another_app_says_which_columns_may_change(lamps):
    with connection.schema_editor() as editor:
        append_only("lamps_lamp", allowed=("state", "state_changed_at"), write_once=("gift",)).database_forwards(
            "lamps", editor, None, None
        )
    lamp = hang()

    Lamp.objects.update(state="lit", state_changed_at="2026-11-21T08:00:00Z")
    Lamp.objects.update(gift="a wick")
    Lamp.objects.update(gift="a wick", state="dark")

    assert "lamps_lamp.gift is written once" in refused("UPDATE lamps_lamp SET gift = 'oil'")
    assert "lamps_lamp.gift is written once" in refused("UPDATE lamps_lamp SET gift = NULL")
    assert "never changed" in refused("UPDATE lamps_lamp SET colour = 'red', state = 'lit'")
    assert "never deleted" in refused("DELETE FROM lamps_lamp WHERE id = %s", lamp.pk)
    row = Lamp.objects.get()
    assert (row.state, row.gift, row.colour) == ("dark", "a wick", "white")


def test_a_table_that_allows_nothing_allows_nothing(lamps):
    with connection.schema_editor() as editor:
        append_only("lamps_lamp").database_forwards("lamps", editor, None, None)
    hang()

    assert "never changed" in refused("UPDATE lamps_lamp SET state = 'lit'")
    assert "never changed" in refused("UPDATE lamps_lamp SET gift = 'oil'")
    Lamp.objects.update(colour="white")  # no change at all


def test_a_migration_takes_its_triggers_back(lamps):
    guard = append_only("lamps_lamp")
    with connection.schema_editor() as editor:
        guard.database_forwards("lamps", editor, None, None)
        guard.database_backwards("lamps", editor, None, None)

    hang()
    assert Lamp.objects.all().delete()[0] == 1


@pytest.mark.parametrize("name", ["lamps; DROP TABLE x", "a,b", "it's", ""])
def test_a_name_that_is_none_does_not_reach_the_data_base(name):
    with pytest.raises(ValueError, match="not the name"):
        append_only(name)
    with pytest.raises(ValueError, match="not the name"):
        append_only("lamps_lamp", allowed=(name,))
