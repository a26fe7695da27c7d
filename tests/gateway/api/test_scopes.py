"""Every route × method: its scope, and the walls between workspaces."""

import pytest

from gateway.api.stream import events_stream
from gateway.keys import Scope
from tests.gateway.api.routes import BODIES, GUARDED, ROUTES, Route, views

ALL = set(Scope) - {Scope.ADMIN}


def ask(client, route: Route, things, **more):
    path = things.for_path(route.path)
    if route.view is events_stream:
        pytest.fail("the stream is asked in test_stream")
    if route.method == "GET":
        return client.get(path)
    return client.post(path, BODIES[route.path], format="json", HTTP_IDEMPOTENCY_KEY="k", **more)


PLAIN = [route for route in GUARDED if route.view is not events_stream]


def test_every_method_of_every_route_has_a_scope_or_is_public():
    for path, view in views():
        if getattr(view, "is_public", False) or isinstance(getattr(view, "scope", None), Scope):
            continue
        handlers = {name.upper() for name in ("get", "post", "put", "patch", "delete") if hasattr(view, name)}
        assert handlers == set(view.scopes), path
        assert all(isinstance(scope, Scope) for scope in view.scopes.values())


def test_only_health_and_the_document_are_public():
    assert [route.path for route in ROUTES if route.scope is None] == ["/v1/health", "/v1/openapi.json", "/v1/docs"]


def test_what_writes_needs_a_scope_that_writes():
    readers = {"/v1/policies/check"}
    for route in GUARDED:
        assert (route.method == "GET" or route.path in readers) == str(route.scope).endswith(":read"), route


def test_every_scope_that_is_missing_is_named(world):
    for route in PLAIN:
        answer = ask(world.client("dora", ALL - {route.scope}), route, world.own)
        assert (answer.status_code, answer.json()["code"], answer.json()["required"]) == (
            403,
            "missing_scope",
            str(route.scope),
        ), route


def test_a_key_with_the_one_scope_gets_in(world):
    for route in PLAIN:
        answer = ask(world.client("olga", {route.scope}), route, world.own)
        assert answer.status_code != 401 and (answer.status_code < 400 or answer.json()["code"] != "missing_scope"), (
            route,
            answer.content,
        )


def test_without_a_key_every_route_says_unauthorized(world):
    from rest_framework.test import APIClient

    for route in PLAIN:
        answer = ask(APIClient(), route, world.own)
        assert (answer.status_code, answer.json()["code"]) == (401, "unauthorized"), route
        assert answer["WWW-Authenticate"].startswith("Bearer")


def test_public_routes_need_no_key(world):
    from rest_framework.test import APIClient

    for route in ROUTES:
        if route.scope is None:
            assert APIClient().get(route.path).status_code in (200, 503), route


# The walls


def test_another_workspaces_ids_are_not_there_for_anybody(world):
    for name in ("ada", "bob", "dora", "olga", "carol", "root", "vic", "robot"):
        client = world.client(name)
        for route in PLAIN:
            if route.has_id:
                answer = ask(client, route, world.foreign)
                assert (answer.status_code, answer.json()["code"]) == (404, "not_found"), (name, route, answer.content)


def test_the_same_routes_answer_for_ones_own_ids(world):
    client = world.client("dora")
    seen = 0
    for route in PLAIN:
        if route.has_id and route.method == "GET":
            assert ask(client, route, world.own).status_code == 200, route
            seen += 1
    assert seen >= 12


def test_no_list_holds_anything_of_another_workspace(world):
    for name in ("dora", "carol", "root"):
        client = world.client(name)
        for route in PLAIN:
            if route.method == "GET":
                text = ask(client, route, world.own).content.decode()
                assert not [each for each in world.foreign.all() if each in text], route
                assert "umbrella" not in text, route


def test_a_cursor_of_another_workspace_shows_nothing_of_it(world):
    from tests.gateway.api.world import World

    assert isinstance(world, World)
    for path in ("/v1/runs", "/v1/policies", "/v1/audit/events", "/v1/approvals"):
        items = world.client("root").get(path, {"cursor": world.foreign.run})
        assert items.status_code == 400, path


def test_a_foreign_number_of_a_run_is_ones_own_run(world):
    found = world.client("dora").get("/v1/runs/1").json()

    assert found["id"] == world.own.run
    assert world.client("dora").get("/v1/runs/99").status_code == 404


def test_a_session_cannot_name_a_workspace_that_is_not_its_own(world):
    from rest_framework.test import APIClient

    client = APIClient()
    client.force_login(world.people["dora"])
    assert client.get("/v1/runs", HTTP_WORKA_WORKSPACE="acme").status_code == 200
    for name in ("umbrella", str(world.other.workspace.pk), "nothing"):
        assert client.get("/v1/runs", HTTP_WORKA_WORKSPACE=name).status_code == 404
    client.force_login(world.people["eve"])
    assert client.get("/v1/runs").status_code == 404
