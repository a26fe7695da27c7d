"""Memories found by mem0: the library itself, over this data base's pgvector, with nobody called but the gateway's embedder."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from django.conf import settings as site
from django.db import connection

from gateway.memories.mem0 import TABLE, Mem0
from gateway.memory import Kept, Question
from gateway.models import MemoryEntry
from gateway.remembering import writing
from gateway.remembering.configured import memory_problem
from gateway.remembering.forgetting import forget_run
from tests.journeys import journey
from tests.remembering import done, of
from tests.wire.embedder import KEY, MODEL, embedder, mem0_opened
from worka_site.env import PROJECT


@pytest.fixture(scope="module")
def server():
    with embedder() as found:
        yield found


@pytest.fixture
def words(committed_db, server, settings):
    server.status, server.body, server.stalls = 200, None, False
    settings.WORKA_MEMORY = "mem0"
    settings.WORKA_EMBEDDER_URL, settings.WORKA_EMBEDDER_KEY, settings.WORKA_EMBEDDER_MODEL = server.url, KEY, MODEL
    settings.WORKA_EMBEDDER_CLOSENESS = 0.2
    with mem0_opened():
        yield server


@pytest.fixture
def j(monkeypatch, words):
    writing._resting.clear()
    return journey(monkeypatch)


def find(j, text, namespace="agent:hari", most=5):
    return Mem0().find(Question(j.house.workspace.pk, namespace, text, most))


def kept_of(pk):
    """What lies in mem0's tables of an entry, whatever it lies under."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT tablename FROM pg_tables WHERE tablename LIKE %s", [f"{TABLE}%"])
        found = []
        for (name,) in cursor.fetchall():
            cursor.execute(f'SELECT payload FROM "{name}" WHERE payload::text LIKE %s', [f"%{pk}%"])
            found += [payload for (payload,) in cursor.fetchall()]
    return found


def test_a_run_is_found_by_what_it_means_once_and_in_its_own_namespace(j):
    fees, roses = done(j, "Sort the letters about harbour fees"), done(j, "Plant roses in the garden")

    assert find(j, "dock dues") == [of(fees)]
    assert find(j, "roses garden dues dock")[:1] == [of(roses)]
    assert find(j, "a moonlit concert") == []
    assert find(j, "dock dues", namespace="agent:ernest") == []
    assert memory_problem() == ""
    entry = MemoryEntry.objects.get(pk=of(fees))
    Mem0().keep([Kept(entry.pk, entry.workspace_id, entry.namespace, entry.text)])
    assert len(kept_of(entry.pk)) == 1


@pytest.mark.parametrize("now", ["mem0", "builtin", "off"])
def test_what_is_erased_is_gone_whichever_memory_is_configured_by_then_and_without_the_embedder(
    j, settings, words, now
):
    run, other = done(j, "Sort the letters about harbour fees"), done(j, "Plant roses in the garden")
    pk = of(run)
    words.status, settings.WORKA_MEMORY = 503, now

    forget_run(run, by=j.house.by("dora"), because="they asked for it")

    assert kept_of(pk) == [] and len(kept_of(of(other))) == 1
    assert not MemoryEntry.objects.filter(pk=pk).exists()


def test_it_calls_nobody_but_the_data_base_and_the_embedder(j, monkeypatch):
    asked = []
    connect, resolve = socket.socket.connect, socket.getaddrinfo
    monkeypatch.setattr(socket, "getaddrinfo", lambda *about, **more: asked.append(about[0]) or resolve(*about, **more))
    monkeypatch.setattr(socket.socket, "connect", lambda own, where: asked.append(where) or connect(own, where))

    assert done(j, "Sort the letters about harbour fees") and find(j, "dock dues")

    assert {where[0] if isinstance(where, tuple) else where for where in asked} == {"127.0.0.1"}


def test_its_telemetry_stays_off_whatever_the_environment_says(tmp_path):
    code = (
        "import django; django.setup()\n"
        "from gateway.memories.mem0 import _imported; _imported()\n"
        "from mem0.memory import setup, telemetry; print(telemetry.MEM0_TELEMETRY, setup.mem0_dir)"
    )
    home = tmp_path / "home"
    given = {**os.environ, "MEM0_TELEMETRY": "True", "HOME": str(home), "DJANGO_SETTINGS_MODULE": "tests.settings"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=given, capture_output=True, text=True, check=True, cwd=PROJECT
    )

    switch, folder = done.stdout.split()
    assert switch == "False" and Path(folder).parent.name.startswith(site.WORKA_HOME.name[:12])
    assert not home.exists()


def test_an_embedder_that_is_down_is_told_and_the_run_is_remembered_later(j, words):
    words.status = 500
    run = done(j, "Sort the letters about harbour fees")
    assert not MemoryEntry.objects.exists()
    assert "status 500" in memory_problem()

    words.status = 200
    writing._resting.clear()
    writing.remember_runs()

    assert find(j, "dock dues") == [of(run)]


def test_where_it_is_not_installed_health_says_so_and_runs_go_on(j, monkeypatch):
    monkeypatch.setitem(sys.modules, "mem0", None)

    done(j, "Sort the letters about harbour fees")

    assert "requirements/mem0.txt" in memory_problem()
    assert not MemoryEntry.objects.exists()
