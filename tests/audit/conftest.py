import pytest
from django.db import connection

from audit.ledger import record
from audit.models import AuditEvent
from audit.principals import SYSTEM
from tests.audit.lamps import make_table


@pytest.fixture
def lamps(db):
    make_table()


@pytest.fixture
def committed_lamps(committed_db):
    make_table()


@pytest.fixture
def heads(settings, tmp_path):
    """The file of tree heads of this test."""
    settings.WORKA_TREE_HEADS = tmp_path / "heads" / "tree_heads.jsonl"
    return settings.WORKA_TREE_HEADS


@pytest.fixture
def log(committed_db, heads):
    """A function that commits entries; the data base and the heads outside are this test's own."""

    def write(number=1, **facts):
        return [
            record("lamp.light", f"lamps.lamp:{n}", by=SYSTEM, because="it is dark", n=n, **facts)
            for n in range(number)
        ]

    return write


@pytest.fixture
def tamper(committed_db):
    """Run SQL as an attacker who owns the server: no trigger fires."""

    def run(sql, *params):
        with connection.cursor() as cursor:
            cursor.execute("SET session_replication_role = replica")
            cursor.execute(sql, params)
            count = cursor.rowcount
            cursor.execute("SET session_replication_role = DEFAULT")
        return count

    return run


@pytest.fixture
def at_position(committed_db):
    return lambda position: AuditEvent.objects.get(position=position)
