"""Calls that go out through a connection: which one, what people agree to, and what a service may send back."""

from datetime import timedelta

import pytest
from django.utils.timezone import now

from audit.core.canonical import digest
from gateway.connector import all_connectors
from gateway.models import Connection
from gateway.treasury import connections, secrets
from governance.core.explain import explain
from governance.models import Burn, Consent, Gate, SkillInvocation
from governance.payloads import open_value, value_of
from runtime.queries import snapshots
from tests import desk
from tests.fakes import FakeBackend
from tests.gateway.treasury.bank import GITHUB_POLICY, equip, plug, put
from tests.journeys import Journey
from tests.people import use_policy
from tests.wire.github import TOKEN

READ, WRITE = "github.get_issue", "github.create_issue"
LOOK = {"repo": "acme/orders", "number": 5}
OPEN = {"repo": "acme/orders", "title": "Broken", "body": "It is."}


@pytest.fixture
def j(house, monkeypatch):
    """A run in which one step reads an issue and another opens one."""
    backend = FakeBackend()
    monkeypatch.setattr("runtime.tasks.configured_backend", lambda: backend)
    monkeypatch.setattr("gateway.tools.all_connectors", lambda: {**all_connectors(), "desk": desk.Desk})
    return Journey(house, backend)


def step(ref, skill, value):
    return {
        **desk.step(ref), "allowed_skills": [skill],
        "instruction": {"kind": "direct", "calls": [{"call_id": ref, "skill": skill, "input": value}]},
    }  # fmt: skip


def begin(j, look=None, write=None):
    j.ask("Look at the issue and open another")
    return j.propose(step("look", READ, look or LOOK), step("write", WRITE, write or OPEN))


def call_of(ref):
    return SkillInvocation.objects.filter(call_id=ref).latest("created_at")


def release(j):
    """Let bob agree to what is held, and return the call as it is then."""
    j.answer()
    return call_of("write")


def test_a_call_goes_out_through_the_workspaces_connection_and_is_bound_to_it(j, house, github):
    _, connection = equip(house, github.url)
    begin(j)

    read, held = j.call("look", "look"), j.call("write", "write")

    look = call_of("look")
    assert (read.state, look.state, look.connection) == ("running", "succeeded", str(connection.pk))
    assert open_value(j.run.pk, look, "output")["title"] == "Issue 5"
    payload = value_of(held.gate.payload)["payload"]
    assert payload["connection"] == {
        "id": str(connection.pk), "service": "github", "account": "acme-bot", "base_url": github.url, "access": "write",
        "digest": digest({"token": "{{secret:github-token}}"}),
    }  # fmt: skip
    assert digest(payload) == held.gate.payload_digest and not github.created

    call = release(j)

    assert (call.state, len(github.created), call.lock_status) == ("succeeded", 1, "released")
    assert Connection.objects.get().last_used_at is not None
    assert Consent.objects.get().used_by == call.pk


def test_without_a_connection_that_fits_the_call_waits_for_one_and_says_for_which(j, house, github):
    begin(j)

    def why(ref="look", code="no_connection"):
        answer = j.call(ref, ref)
        assert (answer.state, answer.code, answer.gate.effect) == ("refused", code, "deny")
        return answer.reason

    assert why() == "github is not connected in this workspace"
    look = call_of("look")
    assert (look.state, look.connection, look.error) == (
        "requested", "",
        {"code": "no_connection", "message": why(), "skill": READ, "service": "github", "account": "", "access": "read"},
    )  # fmt: skip
    _, first = equip(house, github.url, access="read")
    assert why("write") == "github is connected for reading only"
    assert call_of("write").error["access"] == "write"
    second = plug(house, github.url, account="second")
    several = "github is connected more than once: the input says which in `connection` (acme-bot, second)"
    assert why(code="bad_input") == several
    for each in (first, second):
        connections.disable(each.pk, by=house.by("dora"), because="odd calls")
    assert why() == "github is connected, and disabled: odd calls"
    assert call_of("look").error["message"] == why()
    connections.enable(first.pk, by=house.by("dora"), because="explained")

    assert j.call("look", "look").state == "running"
    look.refresh_from_db()
    assert (look.state, look.connection, look.error) == ("succeeded", str(first.pk), None)
    assert SkillInvocation.objects.count() == 2 and not github.created


def test_a_step_sleeps_until_its_service_is_connected_and_says_so(j, house, github):
    begin(j)
    j.call("look", "look")

    j.finish("look", "suspended", waits_for=["look"])

    (fact,) = snapshots([j.run])
    why = explain(fact, now())
    assert (why.code, why.detail["service"]) == ("awaiting_connection", "github")
    assert why.sentence == (
        "github.get_issue (call look of step 1) waits for a connection: github is not connected in this workspace. "
        "An admin or owner of the workspace can see to that."
    )
    j.tick()
    assert (j.step("look").state, j.step("look").attempt) == ("suspended", 1)
    equip(house, github.url)

    j.tick()

    step = j.step("look")
    assert (step.state, step.attempt, step.retries, step.empty_waits) == ("running", 2, 0, 0)
    assert j.call("look", "look").state == "running"
    assert call_of("look").state == "succeeded"


def test_an_attempt_that_dies_of_a_missing_connection_sleeps_too_and_spends_no_retry(j, house, github):
    begin(j)
    j.call("look", "look")

    j.finish("look", "failed", summary="409 no_connection")

    step = j.step("look")
    assert (step.state, step.retries, step.waits_for["calls"]) == ("suspended", 0, ["look"])
    assert not Burn.objects.exists()
    # Once it is connected, the same end is a failure like any other.
    equip(house, github.url)
    j.tick()
    j.finish("look", "failed", summary="something else")
    assert (j.step("look").state, j.step("look").retries) == ("ready", 1)


def test_a_sleep_for_a_call_that_only_its_agent_can_bring_on_is_no_wait(j, house, github):
    begin(j)
    j.call("look", "look")
    equip(house, github.url)

    j.finish("look", "suspended", waits_for=["look"])

    assert j.step("look").empty_waits == 1


def test_the_input_may_name_the_connection(j, house, github):
    secret, first = equip(house, github.url)
    second = plug(house, github.url, account="second")
    secrets.give_grant(secret.pk, connection_id=second.pk, by=house.by("olga"), because="that too")
    begin(j, look={**LOOK, "connection": "second"}, write={**OPEN, "connection": "third"})

    j.call("look", "look")

    assert call_of("look").connection == str(second.pk) != str(first.pk)
    asked = j.call("write", "write")
    assert (asked.code, asked.reason) == ("bad_input", "github is not connected as third, but as acme-bot, second")
    assert [fault.path for fault in asked.faults] == ["/input/connection"]
    assert not SkillInvocation.objects.filter(call_id="write").exists()


def test_an_account_that_is_named_in_advance_is_waited_for(j, house, github):
    begin(j, look={**LOOK, "connection": "later"}, write={**OPEN, "connection": "../no account"})

    assert j.call("look", "look").reason == "github is not connected as later"
    assert j.call("write", "write").code == "bad_input"
    j.finish("look", "suspended", waits_for=["look"])
    secret, _ = equip(house, github.url)
    j.tick()
    # Now there is a choice, and who asked is told of it.
    assert j.call("look", "look").reason == "github is not connected as later, but as acme-bot"
    later = plug(house, github.url, account="later")
    secrets.give_grant(secret.pk, connection_id=later.pk, by=house.by("olga"), because="that too")

    j.call("look", "look")

    assert (call_of("look").state, call_of("look").connection) == ("succeeded", str(later.pk))


def test_a_yes_is_void_when_the_connection_is_another_one(j, house, github):
    secret, connection = equip(house, github.url)
    begin(j)
    j.call("write", "write")
    connections.disconnect(connection.pk, by=house.by("dora"), because="moved")
    other = plug(house, github.url, account="other")
    secrets.give_grant(secret.pk, connection_id=other.pk, by=house.by("olga"), because="x")

    call = release(j)

    assert (call.state, call.error["code"]) == ("denied", "payload_changed")
    assert "the connection is not the one" in call.error["message"]
    assert not github.created and Gate.objects.filter(effect="deny", call_id="write").exists()
    j.run.refresh_from_db()
    assert j.run.state == "refused"


def test_a_plan_that_people_agreed_to_covers_its_calls_through_the_same_connection_only(j, house, github):
    use_policy(
        house.workspace, GITHUB_POLICY + "approvals:\n  plan: {when: {any_side_effect: external}, ask: operators}\n"
    )
    secret, connection = equip(house, github.url)
    begin(j)
    covered = value_of(j.gate().payload)["payload"]["calls"]
    assert {each["connection"]["account"] for each in covered} == {"acme-bot"}
    j.answer()
    connections.disconnect(connection.pk, by=house.by("dora"), because="moved")
    other = plug(house, github.url, account="other")
    secrets.give_grant(secret.pk, connection_id=other.pk, by=house.by("olga"), because="x")

    assert j.call("write", "write").state == "held", "the yes was for another connection"

    assert not Consent.objects.exclude(used_at=None).exists() and not github.created
    begin(j)
    j.answer()
    assert j.call("write", "write").state == "running"
    assert len(github.created) == 1 and Consent.objects.exclude(used_at=None).count() == 1


@pytest.mark.parametrize("code", ["no_grant", "revoked", "unknown_secret"])
def test_a_secret_that_may_not_be_used_keeps_the_call_waiting_until_it_may(j, house, github, code):
    secret, connection = equip(house, github.url)
    more = {"by": house.by("dora"), "because": "x"}
    if code == "no_grant":
        secrets.withdraw_grant(secret.grants.get().pk, **more)
    elif code == "revoked":
        secrets.revoke_secret(secret.pk, **more)
    else:
        type(secret).objects.filter(pk=secret.pk).update(name="renamed")
    begin(j)

    answer = j.call("look", "look")

    assert (answer.code, call_of("look").state) == ("no_connection", "requested")
    assert {"no_grant": "granted", "revoked": "revoked", "unknown_secret": "not exist"}[code] in answer.reason
    assert github.asked == [] and not Burn.objects.exists()
    j.finish("look", "suspended", waits_for=["look"])
    assert j.step("look").state == "suspended"
    if code != "no_grant":
        secret = put(house)
    secrets.give_grant(secret.pk, connection_id=connection.pk, **more)
    j.tick()
    j.call("look", "look")
    assert call_of("look").state == "succeeded"


@pytest.mark.parametrize("code", ["no_grant", "revoked"])
def test_what_people_agreed_to_fails_by_name_where_its_secret_may_not_be_used_any_more(j, house, github, code):
    secret, _ = equip(house, github.url)
    begin(j)
    j.call("write", "write")
    more = {"by": house.by("dora"), "because": "x"}
    if code == "no_grant":
        secrets.withdraw_grant(secret.grants.get().pk, **more)
    else:
        secrets.revoke_secret(secret.pk, **more)

    call = release(j)

    assert (call.state, call.error["effect"]) == ("failed", "none")
    assert {"no_grant": "granted", "revoked": "revoked"}[code] in call.error["message"]
    assert github.asked == [] and Burn.objects.get().kind == "connector"


def test_while_a_rotation_overlaps_a_service_that_knows_only_one_value_is_served(j, house, github):
    secret, _ = equip(house, github.url)
    begin(j)
    secrets.rotate_secret(secret.pk, "the-new-value-of-it", by=house.by("olga"), because="yearly")

    j.call("look", "look")

    assert call_of("look").state == "succeeded"
    assert [path for _, path in github.asked] == ["/repos/acme/orders/issues/5"] * 2, "the newer value first"
    secrets.rotate_secret(secret.pk, "yet-another-value", by=house.by("olga"), because="x", overlap=timedelta(0))
    j.call("write", "write")
    assert release(j).state == "failed"
    assert "does not know the connection's token (401)" in call_of("write").error["message"]


def test_a_limit_of_the_service_puts_the_call_off_for_as_long_as_it_says(j, house, github):
    equip(house, github.url)
    begin(j)
    j.call("write", "write")
    github.answers.append((403, {"Retry-After": "40"}, {"message": "secondary rate limit"}))

    call = release(j)

    assert (call.state, call.error["retry_after_s"]) == ("released", 40)
    assert 38 < (call.not_before - call.state_changed_at).total_seconds() <= 41
    assert TOKEN not in str(call.error)
