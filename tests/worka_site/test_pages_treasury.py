"""Connections and secrets in the console and by command: what depends on one is said first, and no value is ever shown."""

import io
import json

import pytest
from django.core.management import CommandError, call_command

from audit.models import AuditEvent
from gateway.models import Connection, Grant, Secret
from gateway.treasury.expanding import expand
from tests.console import at, console_journey, visit, words
from tests.gateway.treasury.bank import equip, plug, put
from tests.people import build_house
from tests.wire.github import TOKEN

pytestmark = pytest.mark.django_db

CONNECTIONS, SECRETS = "/admin/gateway/connection/", "/admin/gateway/secret/"
NEW = "the-new-value-of-it"


@pytest.fixture
def house(monkeypatch):
    return console_journey(monkeypatch).house


def told(response):
    assert TOKEN not in response.content.decode() and NEW not in response.content.decode()
    return " ".join(str(message) for message in response.context["messages"])


def press(client, secret, event, **fields):
    return client.post(
        at("gateway_secret_press", secret.pk, event), {"because": "a good reason", **fields}, follow=True
    )


def test_a_secret_lives_its_life_on_its_pages_and_its_value_is_never_on_one(house):
    dora = visit(house.dora)
    form = {"name": "github-token", "value": TOKEN, "description": "The bot", "because": "we work with GitHub"}
    page = dora.post(at("secret_new"), form, follow=True)
    secret = Secret.objects.get()
    assert page.redirect_chain == [(at("gateway_secret_change", secret.pk), 302)] and "Nothing may use it yet" in told(
        page
    )
    again = dora.post(at("secret_new"), form)
    assert again.status_code == 409 and "there is a secret github-token already" in told(again)
    connected = dora.post(at("connection_new"), {
        "service": "github", "account": "acme-bot", "base_url": "", "access": "write", "because": "x",
        "settings": '{"token": "{{secret:github-token}}"}',
    }, follow=True)  # fmt: skip
    connection = Connection.objects.get()
    assert "github as acme-bot is connected" in told(connected) and "github-token" in words(connected)
    assert "Granted: github-token for github as acme-bot" in told(
        press(dora, secret, "grant", connection=str(connection.pk))
    )

    shown = words(dora.get(at("gateway_secret_change", secret.pk)))
    assert "Will stop working: github as acme-bot with github.comment_on_issue" in shown
    assert "The new value will be used by: github as acme-bot" in shown
    rotated = press(dora, secret, "rotate", value=NEW, hours="2")
    assert "github-token is rotated. The new value is used by: github as acme-bot" in told(rotated)
    assert "works until" in words(rotated)
    assert len(expand(connection.pk, "github.get_issue", house.workspace.pk).turns) == 2
    for hours in ("-1", "x", "721", ""):
        assert "an overlap is a number of hours" in told(press(dora, secret, "rotate", value=NEW, hours=hours))
    grant = Grant.objects.get()
    assert "Taken back" in told(press(dora, secret, "ungrant", grant_id=str(grant.pk)))
    revoked = press(dora, secret, "revoke")
    assert "is revoked and erased. Stopped working: github as acme-bot" in told(revoked)
    assert press(dora, secret, "rotate", value=NEW, hours="1").status_code == 403
    assert words(dora.get(SECRETS)).count("a good reason") == 1
    assert AuditEvent.objects.filter(type__startswith="secret", actor="user:dora", via="session").count() >= 5


def test_a_refused_form_gives_no_secret_back_that_was_typed_in_clear(house):
    page = visit(house.dora).post(at("connection_new"), {
        "service": "github", "account": "a", "access": "read", "because": "x", "settings": json.dumps({"token": TOKEN}),
    })  # fmt: skip

    assert page.status_code == 409 and "A secret stands here in clear" in words(page)
    assert "the connection does not fit" in told(page).lower() and not Connection.objects.exists()


def test_secrets_are_for_who_manages_them_and_connections_for_everybody_of_the_workspace(house):
    secret, connection = equip(house, "")
    pages = [SECRETS, at("gateway_secret_change", secret.pk), at("secret_new"), at("connection_new"), CONNECTIONS]
    seen = {name: [visit(getattr(house, name)).get(page).status_code for page in pages] for name in ("ada", "carol", "eve", "dora")}  # fmt: skip

    assert seen == {
        "ada": [403, 403, 403, 403, 200], "carol": [403, 403, 403, 403, 200],
        "eve": [404, 404, 404, 404, 404], "dora": [200] * 5,
    }  # fmt: skip
    listed = words(visit(house.ada).get(CONNECTIONS))
    assert "acme-bot" in listed and "github-token" not in listed and "Disable" not in listed
    for name in ("ada", "carol"):
        client = visit(getattr(house, name))
        assert press(client, secret, "revoke").status_code == 403
        assert (
            client.post(at("gateway_connection_press", connection.pk, "disable"), {"because": "x"}).status_code == 403
        )
        assert client.post(at("secret_new"), {"name": "x", "value": NEW, "because": "x"}).status_code == 403
        assert client.post(at("connection_new"), {"because": "x", "settings": "{}"}).status_code in (403, 409)
    other = build_house("umbrella")
    foreign = put(other)
    dora = visit(house.dora)
    assert dora.get(at("gateway_secret_change", foreign.pk)).status_code == 404
    assert press(dora, foreign, "revoke").status_code == 404
    assert dora.post(at("gateway_connection_press", plug(other).pk, "disable"), {"because": "x"}).status_code == 404
    assert (
        Secret.objects.filter(revoked_at=None).count() == 2
        and Connection.objects.filter(state="connected").count() == 2
    )


def test_a_connection_is_stopped_and_started_with_a_reason(house):
    _, connection = equip(house, "")
    dora = visit(house.dora)

    off = dora.post(at("gateway_connection_press", connection.pk, "disable"), {"because": "odd calls"}, follow=True)
    on = dora.post(at("gateway_connection_press", connection.pk, "enable"), {"because": "explained"}, follow=True)

    assert "is disabled: no call goes out" in told(off) and "odd calls" in words(off)
    assert "works again" in told(on)


def run(monkeypatch, *arguments, stdin=""):
    monkeypatch.setattr("sys.stdin", io.StringIO(stdin))
    out = io.StringIO()
    call_command(*arguments, stdout=out)
    return out.getvalue()


def test_commands_read_values_from_the_standard_input_and_say_what_depends_on_them(house, monkeypatch):
    who = ["--workspace", "acme", "--by", "olga", "--because", "we work with GitHub"]
    said = [
        run(monkeypatch, "secrets", "put", "github-token", *who, stdin=f"{TOKEN}\n"),
        run(
            monkeypatch,
            "connections",
            "connect",
            "github",
            "acme-bot",
            *who,
            stdin='{"token": "{{secret:github-token}}"}',
        ),
        run(monkeypatch, "secrets", "grant", "github-token", "--connection", "github/acme-bot", *who),
        run(monkeypatch, "secrets", "impact", "github-token", "--workspace", "acme"),
        run(monkeypatch, "connections", "list", "--workspace", "acme"),
        run(monkeypatch, "secrets", "rotate", "github-token", *who, stdin=NEW),
    ]
    turns = expand(Connection.objects.get().pk, "github.get_issue", house.workspace.pk).turns
    assert [turn.settings["token"] for turn in turns] == [NEW, TOKEN]
    said += [
        run(monkeypatch, "secrets", "ungrant", "github-token", "--connection", "github/acme-bot", *who),
        run(monkeypatch, "secrets", "revoke", "github-token", *who),
        run(monkeypatch, "connections", "disconnect", "github", "acme-bot", *who),
    ]

    text = "".join(said)
    assert TOKEN not in text and NEW not in text
    assert "Uses it: github as acme-bot with" in text and "github/acme-bot  connected  read" in text
    assert "Stopped working: github as acme-bot" in text and "github as acme-bot is disconnected." in text
    with pytest.raises(CommandError, match="does not let you manage connections"):
        run(monkeypatch, "secrets", "put", "x", "--workspace", "acme", "--by", "ada", "--because", "x", stdin=TOKEN)
    with pytest.raises(CommandError, match="there is no secret"):
        run(monkeypatch, "secrets", "revoke", "github-token", *who)
    with pytest.raises(CommandError, match="/settings/token: a secret stands here in clear") as refused:
        run(monkeypatch, "connections", "connect", "github", "b", *who, stdin=json.dumps({"token": TOKEN}))
    assert TOKEN not in str(refused.value)
