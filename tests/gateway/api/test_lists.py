"""Lists: whole, in order, and as fast with many rows as with few."""

from datetime import timedelta

import pytest
import time_machine
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils.timezone import now

from governance.actions.burns import store_burn
from governance.actions.manifests import draft_manifest
from governance.models import Run
from tests.desk import POLICY, step
from tests.gateway.api.world import run_now
from tests.modelling import answered

LISTS = [
    "/v1/runs",
    "/v1/runs/{run}/gates",
    "/v1/runs/{run}/invocations",
    "/v1/runs/{run}/model-calls",
    "/v1/runs/{run}/artifacts",
    "/v1/runs/{run}/burns",
    "/v1/runs/{run}/events",
    "/v1/runs/{run}/steps",
    "/v1/approvals",
    "/v1/policies",
    "/v1/audit/events",
    "/v1/audit/seals",
    "/v1/agents",
    "/v1/skills",
    "/v1/connections",
]


def pages(client, path, **query):
    found, cursor, count = [], None, 0
    while True:
        answer = client.get(path, {**query, **({"cursor": cursor} if cursor else {})})
        assert answer.status_code == 200, answer.content
        body = answer.json()
        assert set(body) == {"items", "next_cursor"}
        found += body["items"]
        cursor, count = body["next_cursor"], count + 1
        if cursor is None:
            return found, count
        assert body["items"] and count < 100


def grow(world):
    """Let everything that is listed have more of itself."""
    j = world.journey
    j.run = run_now(world.own.run)
    for number in range(4):
        j.call("look", "b" if number else "a")
        answered(j)
        store_burn(j.run, j.step("look"), "job_failed", f"number {number}")
        draft_manifest(world.house.workspace.pk, POLICY, by=world.house.by("dora"))
    from governance.actions.artifacts import store_artifact
    from tests.gateway.api.world import digest_of_bytes

    for number in range(4):
        content = str(number).encode()
        store_artifact(
            j.caller(j.step("look")),
            name="n.txt",
            media_type="text/plain",
            content=content,
            sha256=digest_of_bytes(content),
        )
    for _ in range(4):
        j.ask("More")
        j.propose(step("send", ("c", "send", "a letter")))
        j.call("send", "c")


def test_the_number_of_queries_does_not_grow_with_rows(world):
    client = world.client("dora")

    def cost(path):
        with CaptureQueriesContext(connection) as asked:
            answer = client.get(path.format(run=world.own.run))
        assert answer.status_code == 200
        return len(asked), len(answer.json()["items"])

    for path in LISTS:
        cost(path)
    before = {path: cost(path) for path in LISTS}
    grow(world)
    after = {path: cost(path) for path in LISTS}

    grown = [path for path in LISTS if after[path][1] > before[path][1]]
    assert len(grown) >= 7
    assert {path: after[path][0] for path in LISTS if after[path][0] > before[path][0]} == {}
    assert max(count for count, _ in after.values()) <= 20


@pytest.mark.parametrize("limit", [1, 2, 3, 7])
def test_pages_are_whole_and_in_order_also_where_times_are_equal(world, limit):
    j = world.journey
    for number in range(7):
        j.ask(f"Number {number}")
    moment = now() - timedelta(days=1)
    Run.objects.filter(request_text__in=[f"Number {number}" for number in range(1, 6)]).update(created_at=moment)
    expected = [
        str(pk)
        for pk in Run.objects.filter(workspace=world.house.workspace)
        .order_by("-created_at", "-pk")
        .values_list("pk", flat=True)
    ]

    found, count = pages(world.client("dora"), "/v1/runs", limit=limit)

    assert [run["id"] for run in found] == expected
    assert count == -(-len(expected) // limit)


def test_a_page_goes_on_where_it_was_when_rows_come_and_go(world):
    j = world.journey
    for number in range(4):
        j.ask(f"Number {number}")
    client = world.client("dora")
    first = client.get("/v1/runs", {"limit": 2, "state": "planning"}).json()
    j.ask("A newer one")
    # The last of the page leaves the list, with nothing skipped by it.
    client.post(f"/v1/runs/{first['items'][-1]['id']}/cancel", {"because": "x"}, format="json")

    second = client.get("/v1/runs", {"limit": 2, "state": "planning", "cursor": first["next_cursor"]}).json()

    assert [run["request"] for run in first["items"]] == ["Number 3", "Number 2"]
    assert [run["request"] for run in second["items"]] == ["Number 1", "Number 0"]


@pytest.mark.parametrize("path", [path for path in LISTS if not path.endswith(("/steps", "/agents", "/skills"))])
def test_every_long_list_is_the_same_in_pages_of_one(world, path):
    client = world.client("dora")
    address = path.format(run=world.own.run)
    # The `why` of a run counts seconds.
    with time_machine.travel(now(), tick=False):
        whole, _ = pages(client, address, limit=200)
        single, count = pages(client, address, limit=1) if len(whole) < 40 else pages(client, address, limit=10)

    assert single == whole and len(whole) > 0 and count == (len(whole) if len(whole) < 40 else -(-len(whole) // 10))


def test_a_page_has_fifty_items_unless_told_and_never_more_than_two_hundred(world):
    run = run_now(world.own.run)
    for number in range(60):
        store_burn(run, None, "job_failed", str(number))
    client = world.client("dora")

    def size(**query):
        return len(client.get(f"/v1/runs/{world.own.run}/burns", query).json()["items"])

    assert (size(), size(limit=200), size(limit=99999), size(limit=0)) == (50, 61, 61, 1)


def test_cursors_that_were_never_given_out_are_refused_by_every_list(world):
    client = world.client("dora")
    for path in LISTS:
        if path.endswith(("/steps", "/agents", "/skills")):
            continue
        for cursor in ("x", "-1", "u", "é", "MjAyNg", "MjAyNi0wMS0wMVQwMDowMDowMCA", "9" * 30, "null"):
            answer = client.get(path.format(run=world.own.run), {"cursor": cursor})
            assert (answer.status_code, answer.json()["code"]) == (400, "bad_request"), (path, cursor)
