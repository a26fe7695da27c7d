"""Old keys are forgotten while somebody asks for a run whose payloads such a key protects."""

import threading
from io import StringIO
from uuid import UUID

import pytest
from django.core.management import call_command
from django.db import connection, transaction

from audit.keys import generate_key_file, ring, rotate
from governance import payloads
from governance.actions.runs import request_run
from governance.models import DataKey, Run
from tests.concurrency.meeting import PATIENCE_S, at_once
from tests.journeys import journey

pytestmark = pytest.mark.concurrency


def test_a_run_that_is_not_committed_yet_does_not_lose_its_key(committed_db, monkeypatch, settings, tmp_path):
    """Guard: the lock that a new data key shares and the dropping takes alone. Without it nobody wraps this run's key again."""
    settings.WORKA_KEYS_FILE = tmp_path / "keys.json"
    generate_key_file(settings.WORKA_KEYS_FILE)
    j = journey(monkeypatch)
    (old,) = ring().kids("encryption")
    asked, dropped = threading.Event(), threading.Event()

    @transaction.atomic
    def ask():
        run = request_run(
            j.house.workspace.pk, by=j.house.by("ada"), user=j.house.ada, text="a secret request", source="api"
        )
        asked.set()
        assert not dropped.wait(0.3), "the old keys went while this run was not there yet"
        return run.pk

    def drop():
        asked.wait(PATIENCE_S)
        rotate("encryption")
        call_command(
            "rotate_keys", "--by", "dora", "--because", "it leaked", "--only-rewrap", "--drop-old", stdout=StringIO()
        )
        dropped.set()

    pk, done = at_once(ask, drop)

    assert isinstance(pk, UUID), pk
    assert done is None and old not in ring().kids("encryption"), done
    payloads._data_key.cache_clear()
    assert payloads.open_value(pk, Run.objects.get(pk=pk), "request_exact")["text"] == "a secret request"
    assert DataKey.objects.get(run=pk).wrapped_with == ring().active_kid("encryption")
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
        )
        assert cursor.fetchone() == (0,), "others may make keys again"
