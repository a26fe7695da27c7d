"""Who may do what: everybody tries every endpoint (domain.md, section 5)."""

from tests.gateway.api.routes import GUARDED, Route
from tests.gateway.api.test_scopes import PLAIN, ask
from tests.gateway.api.world import EVERYBODY, run_now

OK, NO, GONE, OUT = 200, 403, 404, 401

#                                     ada   bob   carol dora  eve  olga  vic  root
EVERYONE_INSIDE = dict(zip(EVERYBODY, (OK, OK, OK, OK, OUT, OK, OK, OK), strict=True))
SEES_THE_LEDGER = dict(zip(EVERYBODY, (NO, NO, OK, OK, OUT, OK, OK, OK), strict=True))
VERIFIES = dict(zip(EVERYBODY, (NO, NO, OK, OK, OUT, OK, NO, OK), strict=True))
ASKS = dict(zip(EVERYBODY, (202, 202, NO, 202, OUT, 202, NO, NO), strict=True))
CANCELS_ADAS = dict(zip(EVERYBODY, (OK, NO, NO, OK, OUT, OK, NO, OK), strict=True))
VOTES = dict(zip(EVERYBODY, (NO, OK, NO, OK, OUT, NO, NO, NO), strict=True))
SETTLES = dict(zip(EVERYBODY, (NO, NO, NO, OK, OUT, OK, NO, OK), strict=True))
READS_EVIDENCE = dict(zip(EVERYBODY, (OK, NO, NO, OK, OUT, OK, NO, OK), strict=True))

EXCEPTIONS = {
    "POST /v1/runs": ASKS,
    "POST /v1/runs/{run}/cancel": CANCELS_ADAS,
    "POST /v1/approvals/{gate}/vote": VOTES,
    "POST /v1/invocations/{call}/settle": SETTLES,
    "GET /v1/artifacts/{artifact}/content": READS_EVIDENCE,
    "GET /v1/memories": SETTLES,
    "POST /v1/memories/forget": SETTLES,
    "GET /v1/audit/events": SEES_THE_LEDGER,
    "GET /v1/audit/seals": VERIFIES,
    "GET /v1/audit/proof/{event}": VERIFIES,
}


def fresh(world, name, route: Route):
    """Ask as somebody, and undo what came of it."""
    from django.db import transaction

    client = world.client(name)
    with transaction.atomic():
        if route.path.endswith("/vote"):
            digest = world.client("olga").get(world.own.for_path("/v1/approvals/{gate}")).json()["payload_digest"]
            body = {"verdict": "approve", "because": "fine", "payload_digest": digest}
            answer = client.post(world.own.for_path(route.path), body, format="json")
        else:
            answer = ask(client, route, world.own)
        transaction.set_rollback(True)
    return answer


def test_everybody_tries_everything(world):
    assert set(EXCEPTIONS) <= {str(route) for route in GUARDED}
    for route in PLAIN:
        expected = EXCEPTIONS.get(str(route), EVERYONE_INSIDE)
        found = {name: fresh(world, name, route).status_code for name in EVERYBODY}
        assert found == expected, route


def test_a_run_that_asks_one_nothing_and_is_not_ones_own_is_not_there(world):
    quiet = [
        route for route in PLAIN if "{run}" in route.path and route.method == "GET" and not route.path.endswith("/plan")
    ]
    assert len(quiet) >= 6
    for route in quiet:
        path = route.path.format(run=world.own.quiet)
        found = {name: world.client(name).get(path).status_code for name in EVERYBODY}
        assert found == EVERYONE_INSIDE | {"ada": GONE, "bob": GONE}, route
    for name in ("ada", "bob"):
        assert (
            world.client(name).post(f"/v1/runs/{world.own.quiet}/cancel", {"because": "x"}, format="json").status_code
            == GONE
        )
        assert [run["id"] for run in world.client(name).get("/v1/runs").json()["items"]] == [world.own.run]
    assert run_now(world.own.quiet).state == "planning"


def test_who_is_asked_sees_the_approval_in_the_list_and_nobody_else_does(world):
    listed = {}
    for name in EVERYBODY:
        if name != "eve":
            listed[name] = [gate["id"] for gate in world.client(name).get("/v1/approvals").json()["items"]]
    assert listed == {name: [world.own.gate] if name in ("bob", "dora") else [] for name in listed}


def test_only_who_may_read_payloads_gets_the_payload(world):
    path = f"/v1/approvals/{world.own.gate}"
    shown = {name: world.client(name).get(path).json()["payload"] for name in EVERYBODY if name != "eve"}

    assert {name for name, payload in shown.items() if payload is None} == {"carol", "vic"}
    assert {payload["input"]["text"] for payload in shown.values() if payload} == {"a letter"}


def test_looking_at_a_payload_is_a_ledger_entry(world):
    from audit.models import AuditEvent

    opened = AuditEvent.objects.filter(type="gate.open")
    before = opened.count()
    world.client("vic").get(f"/v1/approvals/{world.own.gate}")
    assert opened.count() == before
    world.client("bob").get(f"/v1/approvals/{world.own.gate}")
    assert opened.count() == before + 1 and opened.latest("pk").actor == "user:bob"


def test_a_superuser_asks_for_runs_only_as_a_member(world):
    from audit.principals import SYSTEM
    from governance.actions.people import add_member

    body = {"request": "Please"}
    assert world.client("root").post("/v1/runs", body, format="json", HTTP_IDEMPOTENCY_KEY="a").status_code == NO
    add_member(world.house.workspace, world.people["root"], "member", by=SYSTEM, because="a test")
    assert world.client("root").post("/v1/runs", body, format="json", HTTP_IDEMPOTENCY_KEY="b").status_code == 202


def test_somebody_who_was_sent_away_gets_no_further(world):
    client = world.client("dora")
    assert client.get("/v1/runs").status_code == OK

    world.people["dora"].memberships.all().delete()
    assert client.get("/v1/runs").status_code == OUT


def test_somebody_who_may_not_sign_in_may_not_use_a_key(world):
    client = world.client("ada")
    world.people["ada"].is_active = False
    world.people["ada"].save()

    assert client.get("/v1/runs").status_code == OUT

    world.people["ada"].is_active = True
