"""System checks: unsafe settings are found at start."""

import pytest

from worka_site import checks, outward_checks


def ids(check):
    return [found.id for found in check(None)]


@pytest.fixture
def ring_at(tmp_path, settings):
    settings.WORKA_KEYS = ""
    settings.WORKA_KEYS_FILE = tmp_path / "keys.json"
    return settings.WORKA_KEYS_FILE


@pytest.mark.parametrize("key", ["short", "a" * 80])
def test_a_key_that_can_be_guessed_is_an_error(settings, key):
    settings.SECRET_KEY = key

    assert ids(checks.secret_key_is_lasting) == ["worka.E001"]


def test_a_long_key_is_no_error():
    assert ids(checks.secret_key_is_lasting) == []


def test_agents_without_a_sandbox_are_a_warning_here_and_an_error_where_others_come(settings):
    settings.WORKA_ALLOW_UNSANDBOXED = True

    settings.WORKA_IS_LOCAL = True
    assert ids(checks.agents_are_sandboxed) == ["worka.W002"]
    settings.WORKA_IS_LOCAL = False
    assert ids(checks.agents_are_sandboxed) == ["worka.E002"]
    settings.WORKA_ALLOW_UNSANDBOXED = False
    assert ids(checks.agents_are_sandboxed) == []


@pytest.mark.parametrize(("host", "url", "found"), [
    ("127.0.0.1", "http://127.0.0.1:8000", []),
    ("0.0.0.0", "http://worka.example.com", ["worka.E003"]),
    ("0.0.0.0", "https://worka.example.com", []),
])  # fmt: skip
def test_plain_http_for_others_is_an_error(settings, host, url, found):
    settings.WORKA_HOST, settings.WORKA_URL = host, url

    assert ids(checks.others_come_by_https) == found


def test_a_missing_key_ring_is_an_error(ring_at):
    assert ids(checks.keys_are_there) == ["worka.E004"]


def test_a_key_ring_that_others_can_read_is_an_error(ring_at):
    ring_at.write_text("{}")
    ring_at.chmod(0o640)
    assert ids(checks.keys_are_there) == ["worka.E005"]

    ring_at.chmod(0o600)
    assert ids(checks.keys_are_there) == []


def test_keys_in_the_environment_must_be_json(settings):
    settings.WORKA_KEYS = "{not json"

    assert ids(checks.keys_are_there) == ["worka.E004"]


def test_agents_are_given_no_repository_in_the_home(settings, tmp_path):
    settings.WORKA_HOME = tmp_path
    settings.WORKA_REPOSITORY_ROOTS = (tmp_path / "pg",)
    assert ids(checks.homes_are_apart) == ["worka.E006"]

    settings.WORKA_REPOSITORY_ROOTS = (tmp_path.parent,)
    assert ids(checks.homes_are_apart) == []


def test_answering_to_any_name_is_an_error(settings):
    settings.ALLOWED_HOSTS = ["*"]
    assert ids(checks.hosts_are_named) == ["worka.E007"]

    settings.ALLOWED_HOSTS = ["worka.example.com"]
    assert ids(checks.hosts_are_named) == []


@pytest.mark.parametrize(
    ("on_tcp", "backend", "found"),
    [(True, "process", ["worka.E008"]), (False, "process", []), (True, "kubernetes", []), (False, "kubernetes", [])],
)
def test_a_door_on_tcp_beside_agents_that_have_a_socket_is_an_error(settings, on_tcp, backend, found):
    settings.WORKA_DOOR_ON_TCP, settings.WORKA_BACKEND = on_tcp, backend

    assert ids(checks.door_is_where_agents_are) == found


def test_a_sink_that_cannot_work_is_an_error_that_repeats_no_secret(settings):
    settings.WORKA_SINKS = ("json_file", "nowhere", "webhook", "syslog")
    settings.WORKA_WEBHOOK_URL, settings.WORKA_WEBHOOK_SECRET = "https://hooks.example.com", "too short"

    found = outward_checks.sinks_can_be_reached(None)

    assert [each.id for each in found] == ["worka.E010"] * 3
    assert "there is no such sink; there are json_file, stdout, syslog, webhook" in found[0].msg
    assert "WORKA_WEBHOOK_SECRET is not" in found[1].msg and "too short" not in str(found)
    assert "WORKA_SYSLOG_ADDRESS is not set" in found[2].msg
