"""A data base that cannot do its part now is a 503 that says when to come again, at both edges."""

import asyncio
import json
from types import SimpleNamespace

import psycopg
import pytest
from django.db import OperationalError, connection
from psycopg_pool import PoolTimeout
from starlette.requests import Request

from gateway.api.errors import exception_handler
from gateway.door import verbs
from worka_site.settings import LOCK_TIMEOUT_S, _database  # noqa: TID251 (the suite replaces what the site is given)


def lock_error():
    error = OperationalError("canceling statement due to lock timeout")
    error.__cause__ = psycopg.errors.LockNotAvailable("canceling statement due to lock timeout")
    return error


ERRORS = [lock_error, lambda: OperationalError("connection refused"), lambda: PoolTimeout("no connection after 10 s")]


@pytest.mark.parametrize("make", ERRORS)
def test_rest_says_unavailable_and_when_to_come_again(make):
    answer = exception_handler(make(), {"request": SimpleNamespace(path="/v1/runs")})

    assert (answer.status_code, answer.data["code"], answer.headers["Retry-After"]) == (503, "unavailable", "2")
    assert "refused" not in json.dumps(answer.data)


@pytest.mark.parametrize("make", ERRORS)
def test_the_door_says_unavailable_and_when_to_come_again(monkeypatch, make):
    async def broken(*_):
        raise make()

    monkeypatch.setattr(verbs, "_serve", broken)
    endpoint = verbs.verb()(broken)
    answer = asyncio.run(
        endpoint(Request({"type": "http", "method": "GET", "path": "/context", "headers": [], "query_string": b""}))
    )

    assert (answer.status_code, json.loads(answer.body)["code"], answer.headers["Retry-After"]) == (
        503,
        "unavailable",
        "2",
    )


def test_connections_wait_for_a_lock_for_a_bounded_time():
    assert f"-c lock_timeout={LOCK_TIMEOUT_S}s" in _database()["OPTIONS"]["options"]


@pytest.mark.django_db
def test_the_server_takes_the_setting_as_it_is_written():
    options = _database()["OPTIONS"]["options"]
    wanted = connection.get_connection_params() | {"options": options}
    wanted = {
        name: value
        for name, value in wanted.items()
        if name in {"host", "port", "user", "password", "dbname", "options"}
    }
    with psycopg.connect(**wanted) as other:
        assert other.execute("SHOW lock_timeout").fetchone() == ("15s",)
