"""Answers: of who is asked, to exactly what they saw, once."""

from datetime import timedelta

import pytest
import time_machine
from django.utils.timezone import now

from audit.models import AuditEvent
from audit.principals import SYSTEM
from governance.actions.people import add_approvers, add_member
from governance.models import Consent, Gate, ServiceAccount, SkillInvocation, Vote
from tests.desk import Desk
from tests.gateway.api.world import run_now


def gate_of(world):
    return Gate.objects.get(pk=world.own.gate)


def answer(world, client, verdict="approve", because="looked at it", digest=None):
    digest = gate_of(world).payload_digest if digest is None else digest
    path = f"/v1/approvals/{world.own.gate}/vote"
    return client.post(path, {"verdict": verdict, "because": because, "payload_digest": digest}, format="json")


def refused(world, client, status, code, **more):
    said = answer(world, client, **more)
    assert (said.status_code, said.json()["code"]) == (status, code), said.content
    assert gate_of(world).state == "waiting"
    assert not Vote.objects.filter(gate=world.own.gate, user=getattr(client, "person", None)).exists()
    return said


def test_an_approval_shows_exactly_what_would_be_done_and_what_a_yes_binds_to(world):
    shown = world.client("bob").get(f"/v1/approvals/{world.own.gate}").json()

    gate = gate_of(world)
    assert (
        shown["payload_digest"] == gate.payload_digest
        and shown["subject"] == "desk.send"
        and shown["state"] == "waiting"
    )
    assert shown["payload"] == {
        "v": 1,
        "workspace": str(world.house.workspace.pk),
        "run": world.own.run,
        "step": str(gate.step_id),
        "call_id": "c",
        "skill": "desk.send",
        "skill_digest": shown["payload"]["skill_digest"],
        "connection": "",
        "input": {"text": "a letter"},
    }
    assert shown["missing"] == [{"group": "operators", "needed": 1, "missing": 1}]
    assert [rule["because"] for rule in shown["rules"] if rule["effect"] == "hold"] == ["it leaves the house"]
    assert shown["you_may_answer"] is True and shown["votes"] == [] and shown["expires_at"]
    assert world.client("ada").get(f"/v1/approvals/{world.own.gate}").json()["you_may_answer"] is False


def test_a_yes_releases_the_call_which_is_then_performed_once(world):
    said = answer(world, world.client("bob"))

    assert (said.status_code, said.json()["state"]) == (200, "approved")
    assert [vote["voter"] for vote in said.json()["votes"]] == ["user:bob"]
    assert SkillInvocation.objects.get(gate=world.own.gate).state == "released"
    assert Consent.objects.get(gate=world.own.gate).payload_digest == gate_of(world).payload_digest
    entry = AuditEvent.objects.filter(type="gate.vote").latest("pk")
    assert (entry.actor, entry.because) == ("user:bob", "looked at it") and entry.facts["channel"] == "api"
    world.journey.tick()
    assert Desk.done == [("send", "a letter")]


def test_a_no_ends_the_run(world):
    said = answer(world, world.client("bob"), "reject", because="not like this")

    assert (said.status_code, said.json()["state"]) == (200, "rejected")
    run = run_now(world.own.run)
    assert (run.state, run.reason) == ("refused", "not like this")
    assert world.client("ada").get(f"/v1/runs/{world.own.run}").json()["why"]["code"] == "finished"
    assert Desk.done == [] and not Consent.objects.filter(gate=world.own.gate).exists()


def test_a_vote_on_another_payload_than_was_seen_is_refused(world):
    for digest in ("0" * 64, "x", gate_of(world).payload_digest.upper()):
        refused(world, world.client("bob"), 409, "payload_changed", digest=digest)


def test_nobody_approves_what_they_asked_for_by_any_key_of_theirs(world):
    refused(world, world.client("ada"), 403, "own_request")
    add_approvers(world.house.workspace, "operators", [world.people["ada"]], by=SYSTEM, because="a test")
    refused(world, world.client("ada"), 403, "own_request")
    refused(world, world.client("ada", ["approvals:write"]), 403, "own_request")


def test_a_superuser_approves_only_when_asked_and_never_their_own(world):
    refused(world, world.client("root"), 403, "not_asked")
    world.people["ada"].is_superuser = True
    world.people["ada"].save()
    try:
        refused(world, world.client("ada"), 403, "own_request")
    finally:
        world.people["ada"].is_superuser = False
    add_approvers(world.house.workspace, "operators", [world.people["root"]], by=SYSTEM, because="a test")
    assert answer(world, world.client("root")).status_code == 200


def test_a_service_account_is_never_asked_and_never_answers_for_its_owners(world):
    # Its owner bob is asked, and it sees all: it is still not bob.
    assert answer(world, world.client("robot")).status_code == 404
    ServiceAccount.objects.filter(pk=world.robot.pk).update(role="admin")
    refused(world, world.client("robot"), 403, "not_asked")
    world.robot.owners.set([world.people["ada"]])
    refused(world, world.client("robot"), 403, "own_request")


def test_what_a_service_account_asked_for_its_owner_cannot_approve_and_others_can(world):
    from governance.models import Run
    from tests.desk import step

    asked = world.client("robot").post("/v1/runs", {"request": "x"}, format="json", HTTP_IDEMPOTENCY_KEY="k").json()
    j = world.journey
    j.run = Run.objects.get(pk=asked["id"])
    j.tick()
    j.propose(step("send", ("c", "send", "a letter")))
    assert j.call("send", "c").state == "held"
    gate = j.gate()
    body = {"verdict": "approve", "because": "fine", "payload_digest": gate.payload_digest}
    path = f"/v1/approvals/{gate.pk}/vote"

    # Its owner bob is asked, as a member of the operators: his own key does not make it another's request.
    own = world.client("bob").post(path, body, format="json")
    shown = world.client("bob").get(f"/v1/approvals/{gate.pk}").json()
    assert (own.status_code, own.json()["code"], shown["you_may_answer"]) == (403, "own_request", False)
    assert j.gate().pk == gate.pk and not Vote.objects.filter(gate=gate).exists()

    world.people["ben"] = world.house.ben
    said = world.client("ben").post(path, body, format="json")
    assert (said.status_code, said.json()["state"]) == (200, "approved")
    assert [vote.voter for vote in Vote.objects.filter(gate=gate)] == ["user:ben"]


def test_who_is_not_asked_is_refused(world):
    refused(world, world.client("olga"), 403, "not_asked")
    refused(world, world.client("carol"), 403, "forbidden")


def test_a_viewer_in_the_asked_group_may_still_not_answer(world):
    add_approvers(world.house.workspace, "operators", [world.people["vic"]], by=SYSTEM, because="a test")

    refused(world, world.client("vic"), 403, "forbidden")


def test_nobody_votes_twice(world):
    from tests.desk import POLICY, step
    from tests.people import use_policy

    use_policy(
        world.house.workspace,
        POLICY.replace("side_effect: external, ask: operators", "side_effect: external, ask: operators, quorum: 2"),
    )
    j = world.journey
    j.ask("Two must agree")
    j.propose(step("send", ("c", "send", "a letter")))
    j.call("send", "c")
    gate = Gate.objects.get(run=j.run, state="waiting")
    body = {"verdict": "approve", "because": "fine", "payload_digest": gate.payload_digest}
    path = f"/v1/approvals/{gate.pk}/vote"

    first = world.client("bob").post(path, body, format="json")
    assert first.json()["state"] == "waiting" and first.json()["missing"] == [
        {"group": "operators", "needed": 2, "missing": 1}
    ]
    again = world.client("bob").post(path, body, format="json")
    assert (again.status_code, again.json()["code"]) == (409, "already_voted")
    assert world.client("bob").get("/v1/approvals").json()["items"][0]["id"] != str(gate.pk)
    assert world.client("dora").post(path, body, format="json").json()["state"] == "approved"
    assert Vote.objects.filter(gate=gate).count() == 2


def test_after_the_decision_nobody_answers_any_more(world):
    answer(world, world.client("bob"))

    late = answer(world, world.client("dora"), "reject")
    assert (late.status_code, late.json()["code"]) == (409, "transition_refused")
    again = answer(world, world.client("bob"))
    assert (again.status_code, again.json()["code"]) == (409, "already_voted")
    assert Vote.objects.filter(gate=world.own.gate).count() == 1


def test_after_its_time_a_gate_takes_no_answer_and_ends_in_a_no(world):
    from governance.actions.votes import expire_gate

    client = world.client("bob")
    with time_machine.travel(now() + timedelta(hours=25), tick=False):
        refused(world, client, 409, "expired")
        assert expire_gate(gate_of(world).pk)
        late = answer(world, client)
    assert (late.status_code, late.json()["code"]) == (409, "expired")
    assert run_now(world.own.run).state == "refused"


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"verdict": "approve"},
        {"verdict": "perhaps", "because": "x", "payload_digest": "0" * 64},
        {"verdict": "approve", "because": "", "payload_digest": "0" * 64},
        {"verdict": "approve", "because": "   ", "payload_digest": "0" * 64},
        {"verdict": "approve", "because": "x", "payload_digest": "0" * 65},
        {"verdict": "approve", "because": ["x"], "payload_digest": "0" * 64},
        {"verdict": "approve", "because": "x", "payload_digest": "0" * 64, "force": True},
    ],
)
def test_a_vote_without_verdict_reason_and_digest_is_refused(world, body):
    said = world.client("bob").post(f"/v1/approvals/{world.own.gate}/vote", body, format="json")

    assert (said.status_code, said.json()["code"]) == (422, "invalid") and said.json()["errors"]
    assert not Vote.objects.filter(gate=world.own.gate).exists()


# Calls of unknown effect


def settle(world, client, **body):
    return client.post(
        f"/v1/invocations/{world.own.call}/settle",
        {"outcome": "succeeded", "because": "I saw it", **body},
        format="json",
    )


def call_of(world):
    return SkillInvocation.objects.get(pk=world.own.call)


def test_a_person_says_what_really_happened(world):
    said = settle(world, world.client("dora"), output={"said": "A LETTER"})

    assert (said.status_code, said.json()["state"], said.json()["output"]) == (200, "succeeded", {"said": "A LETTER"})
    entry = AuditEvent.objects.filter(type__startswith="invocation.settle").latest("pk")
    assert (entry.actor, entry.because) == ("user:dora", "I saw it")
    again = settle(world, world.client("olga"))
    assert (again.status_code, again.json()["code"]) == (409, "transition_refused")


def test_a_call_is_settled_as_failed(world):
    said = settle(world, world.client("olga"), outcome="failed")

    assert (said.json()["state"], said.json()["error"]["code"]) == ("failed", "settled_failed")


def test_who_asked_for_the_run_does_not_settle_its_calls(world):
    add_member(world.house.workspace, world.people["ada"], "admin", by=SYSTEM, because="a test")
    world.people["ada"].memberships.filter(workspace=world.house.workspace).update(role="admin")

    said = settle(world, world.client("ada"))

    assert (said.status_code, said.json()["code"]) == (403, "own_request")
    assert call_of(world).state == "unknown"


def test_a_service_account_settles_nothing(world):
    ServiceAccount.objects.filter(pk=world.robot.pk).update(role="admin")

    said = settle(world, world.client("robot"))

    assert (said.status_code, said.json()["code"]) == (403, "forbidden")
    assert call_of(world).state == "unknown"


@pytest.mark.parametrize(
    "body", [{"outcome": "perhaps"}, {"because": ""}, {"output": [1]}, {"output": "x"}, {"more": 1}, {"outcome": None}]
)
def test_settling_wants_an_outcome_and_a_reason(world, body):
    said = settle(world, world.client("dora"), **body)

    assert (said.status_code, said.json()["code"]) == (422, "invalid")
    assert call_of(world).state == "unknown"
