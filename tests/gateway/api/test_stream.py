"""The event stream, over real HTTP: nothing missed, nothing of others, nothing held."""

import json
import time
from contextlib import contextmanager

import httpx2
import pytest
from django.db import connection

from audit.models import AuditEvent
from audit.principals import SYSTEM
from audit.sealing import seal_all
from gateway.actions import revoke_key
from gateway.keys import Scope
from gateway.models import ApiKey
from governance.actions.runs import cancel_run
from tests.gateway.api.world import run_now


@pytest.fixture
def follow(living_world, web):
    """Return a context manager that follows the stream as somebody; it yields a function that reads the next notice."""

    @contextmanager
    def following(name="dora", cursor=None, key=None, scopes=(Scope.ADMIN,)):
        headers = {"Authorization": f"Bearer {key or living_world.key(name, scopes)}"}
        if cursor is not None:
            headers["Last-Event-ID"] = str(cursor)
        with httpx2.stream(
            "GET", f"{web}/v1/events/stream", headers=headers, timeout=httpx2.Timeout(20, read=8)
        ) as answer:
            lines = answer.iter_lines()

            def next_event():
                event = {}
                for line in lines:
                    if not line and event:
                        return event
                    name, _, value = line.partition(": ")
                    if name:
                        event[name] = value
                return None

            next_event.answer = answer
            yield next_event

    return following


def happen(world, because="enough"):
    """Let something happen to the run that asks, and to one of the neighbours."""
    from governance.actions.burns import store_burn

    run = run_now(world.own.run)
    store_burn(run, None, "job_failed", because)
    store_burn(run_now(world.foreign.run), None, "job_failed", "a secret of theirs")
    seal_all()


def test_a_reader_is_told_what_happens_from_now_on(living_world, follow):
    with follow() as next_event:
        assert next_event.answer.headers["content-type"].startswith("text/event-stream")
        assert next_event.answer.headers["cache-control"] == "no-store"
        hello = next_event()
        assert (hello["event"], hello["retry"]) == ("hello", "2000")
        assert int(hello["id"]) == AuditEvent.objects.sealed().latest("position").position
        happen(living_world)
        told = next_event()

    data = json.loads(told["data"])
    entry = AuditEvent.objects.get(position=int(told["id"]))
    assert told["event"] == "change" and entry.type == "burn.store"
    assert (data["position"], data["type"], data["run"]) == (entry.position, "burn.store", living_world.own.run)
    assert "because" not in data and "facts" not in data


def test_a_reader_resumes_where_it_was_and_misses_nothing(living_world, follow):
    everything = AuditEvent.objects.sealed().filter(workspace=living_world.house.workspace.pk, run__isnull=False)
    expected = list(everything.values_list("position", flat=True))
    middle = expected[len(expected) // 2]

    with follow(cursor=middle) as next_event:
        next_event()
        found = [int(next_event()["id"]) for _ in range(len([each for each in expected if each > middle]))]

    assert found == [each for each in expected if each > middle]


def test_a_member_hears_only_of_runs_they_see_and_nobody_of_other_workspaces(living_world, follow):
    quiet = living_world.own.quiet
    with follow("ada", cursor=0) as ada, follow("dora", cursor=0) as dora:
        cancel_run(run_now(quiet).pk, by=SYSTEM, because="x")
        happen(living_world, "the last")
        heard = {"ada": [], "dora": []}
        for name, next_event in (("ada", ada), ("dora", dora)):
            next_event()
            while not heard[name] or "the last" not in heard[name][-1].get("sentence", "") + str(heard[name][-1]):
                notice = json.loads(next_event()["data"])
                heard[name].append(notice)
                if (
                    notice["position"]
                    >= AuditEvent.objects.filter(type="burn.store", run=living_world.own.run).latest("pk").position
                ):
                    break

    assert {notice["run"] for notice in heard["ada"]} == {living_world.own.run}
    assert {notice["run"] for notice in heard["dora"]} == {living_world.own.run, quiet}


def test_a_stream_ends_when_its_key_is_revoked(living_world, follow):
    text = living_world.key("dora")
    with follow(key=text) as next_event:
        next_event()
        revoke_key(ApiKey.objects.get(prefix=text.split("_")[1]).pk, by=SYSTEM, because="it leaked")
        happen(living_world)

        assert next_event() is None


def test_a_stream_needs_its_scope_and_a_cursor_that_was_given_out(living_world, web):
    def ask(scopes, **more):
        headers = {"Authorization": f"Bearer {living_world.key('dora', scopes)}", **more.pop("headers", {})}
        return httpx2.request(more.pop("method", "GET"), f"{web}/v1/events/stream", headers=headers, timeout=20, **more)

    missing = ask([Scope.AUDIT_READ])
    assert (missing.status_code, missing.json()["required"]) == (403, "runs:read")
    for cursor in ("x", "-1", "1e3", "9" * 19):
        assert ask([Scope.RUNS_READ], params={"cursor": cursor}).json()["code"] == "bad_request"
        assert ask([Scope.RUNS_READ], headers={"Last-Event-ID": cursor}).json()["code"] == "bad_request"
    assert ask([Scope.RUNS_READ], method="POST").status_code in (403, 405)
    assert httpx2.get(f"{web}/v1/events/stream", timeout=20).status_code == 401


def test_an_open_stream_holds_no_connection_to_the_data_base(living_world, follow):
    """Seen to fail without the close after each look: every reader then keeps one for ten minutes."""
    with follow() as one, follow() as two:
        one(), two()
        lowest, deadline = 99, time.monotonic() + 6
        while lowest and time.monotonic() < deadline:
            with connection.cursor() as cursor:
                cursor.execute(
                    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
                )
                lowest = min(lowest, cursor.fetchone()[0])
    assert lowest == 0
