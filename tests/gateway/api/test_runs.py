"""POST /v1/runs once per key, looking at runs, cancelling them."""

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import httpx2
import time_machine
from django.utils.timezone import now

from audit.models import AuditEvent
from audit.principals import SYSTEM
from gateway.idempotency import forget_old_answers
from gateway.models import IdempotencyRecord
from governance.actions.freezing import freeze_workspace
from governance.models import Gate, Run
from runtime.models import AgentJob


def post(client, body, key="k"):
    return client.post("/v1/runs", body, format="json", **({"HTTP_IDEMPOTENCY_KEY": key} if key is not None else {}))


def test_a_request_becomes_a_run_of_the_one_who_asks(world):
    said = post(world.client("ada"), {"request": "Report, please", "metadata": {"ticket": 7}})

    run = Run.objects.latest("created_at")
    assert said.status_code == 202
    assert said.json() == {"id": str(run.pk), "number": 3, "state": "received", "url": f"/v1/runs/{run.pk}"}
    assert (run.requester, run.requester_name, run.source, run.metadata) == (
        world.people["ada"],
        "user:ada",
        "api",
        {"ticket": 7},
    )
    entry = AuditEvent.objects.get(run=run.pk)
    assert (entry.type, entry.actor, entry.correlation_id) == ("run.receive", "user:ada", said["X-Correlation-Id"])


def test_a_service_account_asks_and_its_owners_are_behind_it(world):
    post(world.client("robot"), {"request": "Report"})

    run = Run.objects.latest("created_at")
    assert (run.requester, run.requester_name, run.requester_persons) == (
        None,
        "service:robot",
        [str(world.people["bob"].pk)],
    )
    assert [each["id"] for each in world.client("robot").get("/v1/runs").json()["items"]] == [str(run.pk)]


def test_without_a_key_nothing_is_created(world):
    for key in (None, "", "x" * 256, "a\tb"):
        said = post(world.client("ada"), {"request": "x"}, key)
        assert (said.status_code, said.json()["code"]) == (409, "idempotency_required"), key
    assert Run.objects.filter(workspace=world.house.workspace).count() == 2


def test_the_same_key_and_payload_get_the_first_answer(world):
    client = world.client("ada")
    first = post(client, {"request": "x", "metadata": {"a": 1, "b": 2}})

    again = client.post(
        "/v1/runs",
        '{"metadata":{"b":2,"a":1},  "request":"x"}',
        content_type="application/json",
        HTTP_IDEMPOTENCY_KEY="k",
    )
    other_key_of_ada = post(world.client("ada"), {"request": "x", "metadata": {"a": 1, "b": 2}})

    assert again.json() == other_key_of_ada.json() == first.json()
    assert again.status_code == 202
    assert Run.objects.filter(workspace=world.house.workspace).count() == 3


def test_the_same_key_with_another_payload_is_a_conflict(world):
    post(world.client("ada"), {"request": "x"})

    for body in ({"request": "y"}, {"request": "x", "metadata": {}}):
        said = post(world.client("ada"), body)
        assert (said.status_code, said.json()["code"]) == (409, "idempotency_conflict")
    assert Run.objects.filter(workspace=world.house.workspace).count() == 3


def test_a_key_is_ones_own(world):
    mine, theirs = post(world.client("ada"), {"request": "x"}), post(world.client("bob"), {"request": "x"})

    assert mine.json()["id"] != theirs.json()["id"]


def test_a_refusal_is_not_kept(world):
    client = world.client("ada")
    assert post(client, {"request": "  \n "}).status_code == 422
    freeze_workspace(world.house.workspace.pk, by=SYSTEM, because="an incident")
    frozen = post(client, {"request": "x"})
    assert (frozen.status_code, frozen.json()["code"]) == (409, "frozen")
    assert not IdempotencyRecord.objects.exists()


def test_an_answer_is_kept_for_a_day(world):
    first = post(world.client("ada"), {"request": "x"})
    with time_machine.travel(now() + timedelta(hours=23), tick=False):
        assert forget_old_answers() == 0
    with time_machine.travel(now() + timedelta(hours=25), tick=False):
        assert forget_old_answers() == 1

    assert post(world.client("ada"), {"request": "x"}).json()["id"] != first.json()["id"]


def test_twenty_posts_at_once_with_one_key_are_one_run(living_world, web):
    """Seen to fail with the ON CONFLICT insert replaced by a look before the create."""
    headers = {"Authorization": f"Bearer {living_world.key('ada')}", "Idempotency-Key": "one"}
    barrier = threading.Barrier(20)

    def go(_):
        barrier.wait(20)
        return httpx2.post(f"{web}/v1/runs", json={"request": "x"}, headers=headers, timeout=60)

    before = Run.objects.count()
    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(go, range(20)))

    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert Run.objects.count() == before + 1


def test_bodies_that_do_not_fit_are_refused_with_every_fault(world):
    client = world.client("ada")
    for body, places in (
        ({}, {"/request"}),
        ({"request": ""}, {"/request"}),
        ({"request": "x" * 20_001}, {"/request"}),
        ({"request": ["x"]}, {"/request"}),
        ({"request": "x", "requester": "dora", "state": "running"}, {"/requester", "/state"}),
        ({"request": 1, "metadata": [], "input": "x", "more": 1}, {"/metadata", "/input", "/more"}),
    ):
        said = post(client, body)
        assert (said.status_code, said.json()["code"]) == (422, "invalid"), body
        assert places <= {error["path"].rpartition("/0")[0] or error["path"] for error in said.json()["errors"]}
    assert Run.objects.filter(workspace=world.house.workspace).count() == 2


def test_a_workflow_is_refused_while_there_are_none(world):
    said = post(world.client("ada"), {"workflow": "report", "input": {}})

    assert (said.status_code, said.json()["code"]) == (409, "no_active_deployment")


def test_a_workspace_without_policy_takes_no_requests(world):
    from governance.models import PolicyManifest

    PolicyManifest.objects.filter(workspace=world.house.workspace).update(state="retired")

    said = post(world.client("ada"), {"request": "x"})
    assert (said.status_code, said.json()["code"]) == (503, "unavailable")


# Looking


def test_a_run_says_in_one_sentence_why_it_waits(world):
    for name in (world.own.run, "1", "%231"):
        run = world.client("ada").get(f"/v1/runs/{name}").json()
        assert run["id"] == world.own.run
    assert (run["number"], run["state"], run["requester"]) == (1, "running", "user:ada")
    assert run["why"]["code"] == "awaiting_settlement" and run["why"]["sentence"].endswith(".")


def test_everything_of_a_run_is_listed(world):
    client = world.client("ada")

    def items(of):
        return client.get(f"/v1/runs/{world.own.run}/{of}").json()["items"]

    assert [(step["ref"], step["agent"]) for step in items("steps")] == [("look", "ernest"), ("send", "ernest")]
    assert {(gate["action"], gate["effect"]) for gate in items("gates")} >= {
        ("plan.propose", "allow"),
        ("skill.invoke", "hold"),
    }
    assert {(call["call_id"], call["state"]) for call in items("invocations")} == {
        ("a", "succeeded"),
        ("c", "held"),
        ("s", "unknown"),
    }
    assert [artifact["content_url"] for artifact in items("artifacts")] == [
        f"/v1/artifacts/{world.own.artifact}/content"
    ]
    assert [burn["kind"] for burn in items("burns")] == ["connector"]
    events = items("events")
    assert events[-1]["type"] == "run.receive" and all(event["sentence"] for event in events)
    plan = client.get(f"/v1/runs/{world.own.run}/plan").json()
    assert (plan["state"], plan["version"], len(plan["steps"])) == ("accepted", 1, 2)


def test_a_run_without_a_plan_says_so(world):
    assert world.client("dora").get(f"/v1/runs/{world.own.quiet}/plan").status_code == 404


def test_runs_are_filtered_by_state_requester_and_time(world):
    client = world.client("dora")

    def numbers(**query):
        return [run["number"] for run in client.get("/v1/runs", query).json()["items"]]

    assert numbers() == [2, 1]
    assert numbers(state="planning") == [2] and numbers(state=["planning", "running"]) == [2, 1]
    assert numbers(requester="ada") == [1] and numbers(requester="nobody") == []
    moment = Run.objects.get(pk=world.own.quiet).created_at.isoformat()
    assert numbers(since=moment) == [2] and numbers(until=moment) == [1]


def test_filters_that_mean_nothing_are_refused(world):
    client = world.client("dora")
    for query in (
        "state=running&state=flying",
        "since=yesterday",
        "since=2026-01-01",
        "until=2026-13-45T00:00:00Z",
        "since=2026-01-01T00:00:00",
        "limit=many",
        "limit=1.5",
        "limit=-1",
        "limit=%D9%A3",
        "cursor=x",
        "cursor=AAAA",
        "requester=a%00b",
        "cursor=%00",
        f"cursor={'9' * 400}",
    ):
        said = client.get(f"/v1/runs?{query}")
        assert (said.status_code, said.json()["code"]) == (400, "bad_request"), query


# Cancelling


def test_a_cancelled_run_ends_whole(world):
    said = world.client("ada").post(f"/v1/runs/{world.own.run}/cancel", {"because": "no longer needed"}, format="json")

    assert (said.status_code, said.json()["state"], said.json()["reason"]) == (200, "cancelled", "no longer needed")
    assert Gate.objects.get(pk=world.own.gate).state == "withdrawn"
    entry = AuditEvent.objects.get(type="run.cancel")
    assert (entry.actor, entry.because) == ("user:ada", "no longer needed")
    world.journey.tick()
    assert not AgentJob.objects.filter(
        run=world.own.run, wanted=True, state__in=["queued", "submitted", "running"]
    ).exists()
    again = world.client("ada").post(f"/v1/runs/{world.own.run}/cancel", {"because": "again"}, format="json")
    assert (again.status_code, again.json()["code"]) == (409, "transition_refused")


def test_cancelling_needs_a_reason(world):
    for body in ({}, {"because": ""}, {"because": " "}, {"because": "x", "force": True}, {"because": "x" * 2001}):
        said = world.client("ada").post(f"/v1/runs/{world.own.run}/cancel", body, format="json")
        assert (said.status_code, said.json()["code"]) == (422, "invalid"), json.dumps(body)[:80]
    assert Run.objects.get(pk=world.own.run).state == "running"
