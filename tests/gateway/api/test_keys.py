"""Who comes in: API keys, sessions with CSRF, and how often."""

from datetime import timedelta

import pytest
import time_machine
from django.utils.timezone import now
from rest_framework.test import APIClient

from audit.core.refusals import Refused
from audit.models import AuditEvent
from audit.principals import SYSTEM
from gateway.actions import create_key, revoke_key
from gateway.keys import digest_of
from gateway.limiting import _limiter
from gateway.models import ApiKey
from governance.actions.people import add_member
from governance.models import Run


def get(text, path="/v1/runs", **more):
    return APIClient().get(path, **({"HTTP_AUTHORIZATION": text} if text is not None else {}), **more)


def key_row(text):
    return ApiKey.objects.get(prefix=text.split("_")[1])


def unauthorized(answer):
    assert (answer.status_code, answer.json()["code"]) == (401, "unauthorized"), answer.content
    assert answer["WWW-Authenticate"] == 'Bearer realm="worka"' and answer["Content-Type"] == "application/problem+json"
    return answer.json()["detail"]


def test_a_key_is_stored_as_its_hash_only_and_notes_its_use(world):
    text = world.key("ada")
    row = key_row(text)

    assert row.digest == digest_of(text.split("_", 2)[2]) and text.split("_", 2)[2] not in str(row.__dict__)
    assert row.last_used_at is None
    assert get(f"Bearer {text}").status_code == 200
    row.refresh_from_db()
    assert row.last_used_at


def test_what_is_no_key_is_refused(world):
    text = world.key("ada")
    _, prefix, secret = text.split("_", 2)

    for wrong in (
        None,
        "",
        "Bearer",
        "Bearer ",
        f"Basic {text}",
        text,
        "Bearer x",
        "Bearer wk__",
        f"Bearer wk_{prefix}_",
        f"Bearer wk_{prefix}",
        f"Bearer wk_unknown_{secret}",
        f"Bearer wk_{prefix}_{secret[:-1]}",
        f"Bearer wk_{prefix}_{secret}x",
        f"Bearer WK_{prefix}_{secret}",
        f"Bearer xx_{prefix}_{secret}",
        f"Bearer wk_{prefix}_{secret} more",
        "Bearer \u00e9\u00ff",
        f"Bearer wk_%_{secret}",
        "Bearer " + "x" * 9000,
    ):
        unauthorized(get(wrong))


def test_an_unknown_prefix_and_a_wrong_secret_are_told_apart_by_nothing(world):
    _, prefix, _ = world.key("ada").split("_", 2)
    secret = "x" * 43

    assert unauthorized(get(f"Bearer wk_{prefix}_{secret}")) == unauthorized(get(f"Bearer wk_nothere_{secret}"))


def test_an_agents_token_is_no_key(world):
    from runtime.models import AgentJob
    from runtime.tokens import mint_token

    unauthorized(get(f"Bearer {mint_token(AgentJob.objects.filter(run=world.own.run).first())}"))


def test_a_key_ends_with_its_time(world):
    text = world.key("ada", expires_at=now() + timedelta(hours=1))
    assert get(f"Bearer {text}").status_code == 200

    with time_machine.travel(now() + timedelta(hours=1, seconds=1), tick=False):
        unauthorized(get(f"Bearer {text}"))


def test_a_revoked_key_is_dead_at_once(world):
    text = world.key("ada")
    revoke_key(key_row(text).pk, by=SYSTEM, because="it leaked")

    unauthorized(get(f"Bearer {text}"))


@pytest.mark.parametrize(
    ("networks", "address", "status"),
    [
        (["127.0.0.0/8"], "127.0.0.1", 200),
        (["10.0.0.0/8", "127.0.0.1/32"], "127.0.0.1", 200),
        (["10.0.0.0/8"], "127.0.0.1", 401),
        (["::1/128"], "127.0.0.1", 401),
        (["::1/128"], "::1", 200),
        (["0.0.0.0/0"], "::1", 401),
    ],
)
def test_a_key_comes_from_its_networks_only(world, networks, address, status):
    text = world.key("ada", networks=networks)

    assert get(f"Bearer {text}", REMOTE_ADDR=address).status_code == status


def test_a_forwarded_address_counts_only_from_a_trusted_proxy(world, settings):
    from ipaddress import ip_address

    text = world.key("ada", networks=["10.1.0.0/16"])
    forwarded = {"REMOTE_ADDR": "127.0.0.1", "HTTP_X_FORWARDED_FOR": "9.9.9.9, 10.1.2.3", "secure": True}
    unauthorized(get(f"Bearer {text}", **forwarded))

    settings.WORKA_TRUSTED_PROXIES = [ip_address("127.0.0.1")]
    assert get(f"Bearer {text}", **forwarded).status_code == 200
    unauthorized(get(f"Bearer {text}", **(forwarded | {"HTTP_X_FORWARDED_FOR": "10.1.2.3, 9.9.9.9"})))


def test_plain_http_from_elsewhere_is_refused(world):
    text = world.key("ada")

    answer = get(f"Bearer {text}", REMOTE_ADDR="10.1.2.3")
    assert (answer.status_code, answer.json()["code"]) == (403, "https_required")
    assert get(f"Bearer {text}", REMOTE_ADDR="10.1.2.3", secure=True).status_code == 200


def test_a_key_of_another_workspace_sees_that_workspace(world):
    from gateway.actions import create_key
    from gateway.keys import Scope

    text = create_key(world.other.workspace, by=SYSTEM, label="theirs", scopes=[Scope.ADMIN], user=world.other.dora)[1]

    assert {run["id"] for run in get(f"Bearer {text}").json()["items"]} == {world.foreign.run, world.foreign.quiet}
    # A header names a workspace for sessions only: a key has its own.
    assert {run["id"] for run in get(f"Bearer {text}", HTTP_WORKA_WORKSPACE="acme").json()["items"]} == {
        world.foreign.run,
        world.foreign.quiet,
    }


# Sessions


@pytest.fixture
def session(world):
    client = APIClient(enforce_csrf_checks=True)
    client.force_login(world.people["ada"])
    return client


def token_of(client):
    from django.middleware.csrf import _get_new_csrf_string, _mask_cipher_secret

    secret = _get_new_csrf_string()
    client.cookies["worka-csrf"] = secret
    return _mask_cipher_secret(secret)


def test_a_session_reads_without_and_writes_only_with_its_csrf_token(world, session):
    assert session.get("/v1/runs").status_code == 200
    body = {"request": "x"}
    without = session.post("/v1/runs", body, format="json", HTTP_IDEMPOTENCY_KEY="k")
    assert (without.status_code, without.json()["code"]) == (403, "forbidden")
    assert without["Content-Type"] == "application/problem+json"
    assert Run.objects.filter(workspace=world.house.workspace).count() == 2

    token = token_of(session)
    assert (
        session.post("/v1/runs", body, format="json", HTTP_IDEMPOTENCY_KEY="k", HTTP_X_CSRFTOKEN=token).status_code
        == 202
    )
    assert (
        session.post("/v1/runs", body, format="json", HTTP_IDEMPOTENCY_KEY="k2", HTTP_X_CSRFTOKEN="x" * 64).status_code
        == 403
    )


def test_a_key_needs_no_csrf_token_and_goes_before_a_session(world, session):
    session.credentials(HTTP_AUTHORIZATION=f"Bearer {world.key('bob')}")

    assert session.post("/v1/runs", {"request": "x"}, format="json", HTTP_IDEMPOTENCY_KEY="k").status_code == 202
    assert Run.objects.latest("created_at").requester_name == "user:bob"
    session.credentials(HTTP_AUTHORIZATION="Bearer wk_wrong_key")
    unauthorized(session.get("/v1/runs"))


def test_a_session_in_two_workspaces_names_one(world, session):
    add_member(world.other.workspace, world.people["ada"], "member", by=SYSTEM, because="a test")

    unsaid = session.get("/v1/runs")
    assert (unsaid.status_code, unsaid.json()["code"]) == (400, "bad_request")
    assert unsaid.json()["workspaces"] == ["acme", "umbrella"]
    assert [run["id"] for run in session.get("/v1/runs", HTTP_WORKA_WORKSPACE="acme").json()["items"]] == [
        world.own.run
    ]
    assert session.get("/v1/runs", HTTP_WORKA_WORKSPACE="umbrella").json()["items"] == []


def test_a_signed_out_session_is_out(world, session):
    session.logout()

    unauthorized(session.get("/v1/runs"))


def test_a_form_of_a_session_is_refused_whatever_its_size(world, session):
    for size in (10, 2 * 2**20):
        answer = session.post(
            "/v1/runs",
            b"request=" + b"x" * size,
            content_type="application/x-www-form-urlencoded",
            HTTP_X_CSRFTOKEN=token_of(session),
        )
        assert answer.status_code in (400, 413, 415), (size, answer.content)
        assert answer["Content-Type"] == "application/problem+json"


# Rates


def test_every_answer_says_what_is_left_of_the_rate(world):
    client = world.client("ada")

    left = [int(client.get(path)["RateLimit-Remaining"]) for path in ("/v1/runs", "/v1/runs/nothing", "/v1/runs")]

    assert left == [599, 598, 597]
    assert (
        client.get("/v1/runs")["RateLimit-Limit"] == "600" and 0 < int(client.get("/v1/runs")["RateLimit-Reset"]) <= 60
    )


def test_too_many_requests_are_refused_with_the_time_to_wait(world):
    text = world.key("ada")
    ApiKey.objects.filter(pk=key_row(text).pk).update(rate_per_minute=3)
    try:
        assert [get(f"Bearer {text}").status_code for _ in range(4)] == [200, 200, 200, 429]
        answer = get(f"Bearer {text}")
        assert answer.json()["code"] == "rate_limited"
        assert 0 < int(answer["Retry-After"]) <= 60
        assert (answer["RateLimit-Limit"], answer["RateLimit-Remaining"]) == ("3", "0") and int(
            answer["RateLimit-Reset"]
        ) > 0
        assert get(f"Bearer {world.key('ada')}").status_code == 200
    finally:
        _limiter.storage.reset()


def test_a_key_of_the_first_start_is_made_once_from_its_text(world):
    from gateway.actions import seed_api_key

    text = "wk_first_" + "s" * 40
    seed_api_key(world.house.workspace, world.people["olga"], text, by=SYSTEM, because="the first start")

    assert get(f"Bearer {text}").status_code == 200


def test_the_text_of_a_key_is_one_and_revoking_it_twice_is_once(world):
    text = world.key("ada")
    for wrong in ("wk_short_secret", "xk_prefix_" + "s" * 43, "wk__" + "s" * 43):
        with pytest.raises(Refused, match="a key reads wk_"):
            create_key(world.house.workspace, by=SYSTEM, label="a test", scopes=[], user=world.house.ada, text=wrong)

    first = revoke_key(key_row(text).pk, by=SYSTEM, because="lost").revoked_at
    assert revoke_key(key_row(text).pk, by=world.house.by("dora"), because="again").revoked_at == first
    assert [entry.because for entry in AuditEvent.objects.filter(type="api_key.revoke")] == ["lost"]
