"""Copies of the ledger on other machines: signed or over TLS, complete after every failure, and holding up nothing."""

import json
import socket
from datetime import timedelta

import pytest
import time_machine
from django.utils.timezone import now
from standardwebhooks import Webhook as Verifier
from standardwebhooks.webhooks import WebhookVerificationError

from audit.deliver import deliver_all, sinks_health
from audit.ledger import record
from audit.models import AuditEvent, SinkCursor
from audit.outward import NotDelivered, connected, post
from audit.principals import SYSTEM
from audit.sealing import seal
from audit.sinks.syslog import Syslog
from audit.sinks.webhook import Webhook
from tests.receivers import HttpReceiver, SyslogReceiver, authority

SECRET = "whsec_" + "c2VjcmV0" * 4


@pytest.fixture
def log(db, heads):
    """A function that writes entries; nothing here needs them committed."""

    def write(number=1):
        for n in range(number):
            record("lamp.light", f"lamps.lamp:{n}", by=SYSTEM, because="it is dark")

    return write


@pytest.fixture
def places(settings, tmp_path):
    """Both sinks, set up to send to servers of the test."""
    settings.WORKA_SINKS = ("webhook", "syslog", "json_file")
    settings.WORKA_SINK_FILE = tmp_path / "ledger.jsonl"
    settings.WORKA_WEBHOOK_SECRET = SECRET
    settings.WORKA_SINK_CA_FILE, tls = authority(tmp_path / "tls")
    web, log = HttpReceiver(tls=tls), SyslogReceiver(tls)
    with web, log:
        settings.WORKA_WEBHOOK_URL = f"{web.url}/hooks/worka?tenant=canary-in-the-address"
        settings.WORKA_SYSLOG_ADDRESS = f"127.0.0.1:{log.port}"
    return web, log  # down: each keeps its port for when it comes up


def health_of(name):
    return next(one for one in sinks_health() if one.name == name)


def at_the_next_try():
    """Deliver when the longest wait after a failure is over."""
    with time_machine.travel(now() + timedelta(minutes=6), tick=False):
        return deliver_all()


def test_while_they_are_down_others_go_on_and_all_is_delivered_when_they_are_back(log, places, settings, caplog):
    web, server = places
    log(25)
    seal()

    deliver_all()

    assert len(settings.WORKA_SINK_FILE.read_text().splitlines()) == 25
    for name in ("webhook", "syslog"):
        found = health_of(name)
        assert (found.is_healthy, found.behind, found.position) == (False, 25, 0)
        assert found.last_error.startswith("NotDelivered: the ")
    assert "canary-in-the-address" not in caplog.text + str(sinks_health())
    assert SECRET not in caplog.text + str(sinks_health())

    with web, server:
        at_the_next_try()

    assert [int(asked.headers["webhook-id"]) for asked in web.taken] == list(range(1, 26))
    assert [int(message.data["position"]) for message in server.taken] == list(range(1, 26))
    assert all(found.is_healthy and not found.behind for found in sinks_health())


def test_what_fails_half_way_comes_again_from_there_and_can_be_told_by_its_position(log, places, caplog):
    web, server = places
    web.statuses = [200] * 13 + [503]
    server.cuts = [4]
    log(25)
    seal()

    with web, server:
        deliver_all()
        assert SinkCursor.objects.get(sink="webhook").position == 10
        assert health_of("webhook").last_error == "NotDelivered: the other side answers 503"
        assert health_of("syslog").position == 0
        at_the_next_try()

    ids = [int(asked.headers["webhook-id"]) for asked in web.taken]
    assert ids == [*range(1, 14), *range(11, 26)]
    assert {message.data["position"] for message in server.taken} == {str(n) for n in range(1, 26)}


def test_a_post_is_signed_and_a_changed_one_is_not_believed(log, places):
    web, server = places
    log(1)
    seal()

    with web, server:
        deliver_all()

    (asked,) = web.taken
    assert asked.path == "/hooks/worka?tenant=canary-in-the-address"
    assert Verifier(SECRET).verify(asked.body, asked.headers)["type"] == "lamp.light"
    message = json.loads(asked.body)
    assert message["data"]["position"] == 1 and message["timestamp"] == message["data"]["at"]
    for body, headers in (
        (asked.body.replace(b"dark", b"late"), asked.headers),
        (asked.body, {**asked.headers, "webhook-id": "2"}),
        (asked.body, {**asked.headers, "webhook-timestamp": str(int(asked.headers["webhook-timestamp"]) - 1)}),
    ):
        with pytest.raises(WebhookVerificationError):
            Verifier(SECRET).verify(body, headers)


def test_a_message_says_who_did_what_where_and_hostile_text_stays_in_its_field(log, places):
    web, server = places
    log()
    record('lamp.light"] [x@1 y="z', 'lamps.lamp:"]\\', by=SYSTEM, because="[fake] two\nlines")
    seal()

    with web, server:
        deliver_all()

    plain, hostile = server.taken
    assert (plain.priority, plain.host, plain.program, plain.kind) == (109, "127.0.0.1", "worka", "lamp.light")
    assert plain.data == {
        "position": "1", "type": "lamp.light", "subject": "lamps.lamp:0", "actor": "system:worka",
        "workspace": "", "run": "",
    }  # fmt: skip
    assert hostile.data["subject"] == 'lamps.lamp:"]\\'
    assert hostile.data["type"] == 'lamp.light"] [x@1 y="z'
    assert json.loads(hostile.text)["because"] == "[fake] two\nlines"


def test_a_certificate_of_somebody_else_gets_nothing(log, places, settings, tmp_path, caplog):
    web, server = places
    settings.WORKA_SINK_CA_FILE, _ = authority(tmp_path / "others")
    log(1)
    seal()

    with web, server:
        deliver_all()

    assert (web.taken, server.taken, server.lines) == ([], [], 1)
    assert "certificate is not trusted" in health_of("syslog").last_error
    assert not health_of("webhook").is_healthy


def test_a_certificate_for_another_name_gets_nothing(log, tmp_path):
    log(1)
    seal()
    ca, tls = authority(tmp_path / "tls", name="logs.example.com")

    with SyslogReceiver(tls) as server, pytest.raises(NotDelivered, match="certificate is not trusted"):
        Syslog("127.0.0.1", server.port, sender="worka", ca_file=ca).write(list(AuditEvent.objects.sealed()))

    assert server.taken == []


def test_a_server_that_does_not_end_tls_has_still_read_everything(log, tmp_path, monkeypatch):
    monkeypatch.setattr("audit.sinks.syslog.TIMEOUT_S", 0.2)
    log(3)
    seal()
    ca, tls = authority(tmp_path / "tls")

    with SyslogReceiver(tls, is_rude=True) as server:
        Syslog("127.0.0.1", server.port, sender="worka", ca_file=ca).write(list(AuditEvent.objects.sealed()))

        assert len(server.taken) == 3


@pytest.mark.parametrize("status", [301, 307, 410, 500])
def test_only_a_success_is_one_and_no_redirect_is_followed(status):
    with HttpReceiver(statuses=[status]) as web, connected(None) as client:
        with pytest.raises(NotDelivered, match=f"answers {status}"):
            post(client, web.url, b"{}", {})

    assert len(web.refused) == 1 and web.taken == []


def test_who_never_answers_is_waited_for_a_bounded_time():
    with socket.create_server(("127.0.0.1", 0)) as silent, connected(None, timeout_s=0.1) as client:
        with pytest.raises(NotDelivered, match="in time"):
            post(client, f"http://127.0.0.1:{silent.getsockname()[1]}/", b"{}", {})


@pytest.mark.parametrize(("url", "secret", "why"), [
    ("", SECRET, "is not set"),
    ("http://hooks.example.com/", SECRET, "must begin with https://"),
    ("http://localhost.example.com/", SECRET, "must begin with https://"),
    ("https://me:pass@hooks.example.com/", SECRET, "holds a password"),
    ("ftp://hooks.example.com/", SECRET, "must look like"),
    ("https://hooks.example.com/", "", "WORKA_WEBHOOK_SECRET is not"),
    ("https://hooks.example.com/", "whsec_c2hvcnQ=", "WORKA_WEBHOOK_SECRET is not"),
    ("https://hooks.example.com/", "whsec_not in base64 at all, but long enough", "WORKA_WEBHOOK_SECRET is not"),
])  # fmt: skip
def test_a_webhook_that_cannot_be_safe_is_refused(settings, url, secret, why):
    settings.WORKA_WEBHOOK_URL, settings.WORKA_WEBHOOK_SECRET = url, secret

    with pytest.raises(NotDelivered, match=why) as refused:
        Webhook.configured()
    assert not secret or secret not in str(refused.value)


@pytest.mark.parametrize(("address", "place"), [
    ("logs.example.com", ("logs.example.com", 6514)),
    ("[::1]:7000", ("::1", 7000)),
    ("", None),
    (":6514", None),
    ("logs.example.com:port", None),
])  # fmt: skip
def test_a_syslog_address_is_a_host_and_a_port(settings, address, place):
    settings.WORKA_SYSLOG_ADDRESS = address

    if place is None:
        with pytest.raises(NotDelivered, match="WORKA_SYSLOG_ADDRESS"):
            Syslog.configured()
    else:
        sink = Syslog.configured()
        assert (sink.host, sink.port) == place
