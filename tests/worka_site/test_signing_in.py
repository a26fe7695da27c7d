"""Who signs in and out stands in the ledger, and guessing passwords is slow."""

import pytest
from django.contrib.auth import get_user_model
from limits import RateLimitItemPerMinute

from audit.models import AuditEvent
from gateway import signing_in
from gateway.limiting import _limiter

pytestmark = pytest.mark.django_db
ADDRESS = "/admin/login/"
GOOD = "a password for tests"


@pytest.fixture(autouse=True)
def forgotten():
    _limiter.storage.reset()
    yield
    _limiter.storage.reset()


@pytest.fixture
def ada():
    return get_user_model().objects.create_user("ada", password=GOOD, is_staff=True)


def sign_in(client, name, password, address="192.0.2.1"):
    return client.post(
        ADDRESS, {"username": name, "password": password, "next": "/admin/"}, REMOTE_ADDR=address, secure=True
    )


def entries(type_):
    return list(AuditEvent.objects.filter(type=type_).order_by("id"))


def test_signing_in_and_out_is_written_down(client, ada):
    assert sign_in(client, "ada", GOOD).status_code == 302
    assert client.post("/admin/logout/", REMOTE_ADDR="192.0.2.1", secure=True).status_code == 200
    (came,), (left,) = entries("user.sign_in"), entries("user.sign_out")
    assert (came.actor, came.subject, came.facts["address"]) == ("user:ada", f"auth.user:{ada.pk}", "192.0.2.1")
    assert (left.actor, left.subject) == ("user:ada", f"auth.user:{ada.pk}")


def test_the_eleventh_guess_from_an_address_is_not_looked_at_and_the_real_person_elsewhere_comes_in(client, ada):
    for number in range(10):
        assert sign_in(client, "Ada" if number % 2 else "ada", "wrong").status_code == 200
    answer = sign_in(client, "ada", GOOD)
    assert b"Too many failed sign-ins. Try again in" in answer.content
    assert "_auth_user_id" not in client.session
    refused = entries("user.sign_in_refused")
    assert len(refused) == 10 and [entry.facts["is_shut_out"] for entry in refused] == [False] * 9 + [True]
    assert {entry.actor for entry in refused} == {"system:worka"}
    assert sign_in(client, "ada", GOOD, "198.51.100.7").status_code == 302


def test_a_name_that_is_guessed_from_everywhere_is_shut_at_last(client, ada, monkeypatch):
    assert signing_in.OF_NAME.amount >= 10 * signing_in.FROM_ADDRESS.amount, "else one stranger shuts the person out"
    monkeypatch.setattr(signing_in, "OF_NAME", RateLimitItemPerMinute(12, 5))
    for number in range(12):
        assert sign_in(client, "ADA " if number % 2 else "ada", "wrong", f"192.0.2.{number}").status_code == 200

    answer = sign_in(client, "ada", GOOD, "198.51.100.7")

    assert b"Too many failed sign-ins" in answer.content and "_auth_user_id" not in client.session
    assert entries("user.sign_in_refused")[-1].facts["is_shut_out"] is True


def test_all_addresses_of_one_ipv6_network_are_one_guesser(client, ada):
    for number in range(10):
        sign_in(client, "ada", "wrong", f"2001:db8:0:1:{number}::1")
    assert b"Too many failed sign-ins" in sign_in(client, "ada", GOOD, "2001:db8:0:1:ffff::2").content
    assert sign_in(client, "ada", GOOD, "2001:db8:0:2::1").status_code == 302


def test_an_ipv4_address_is_the_same_one_as_ipv6_writes_it(client, ada):
    for number in range(10):
        sign_in(client, "ada", "wrong", "::ffff:192.0.2.1" if number % 2 else "192.0.2.1")
    assert b"Too many failed sign-ins" in sign_in(client, "ada", GOOD).content
    assert sign_in(client, "ada", GOOD, "::ffff:192.0.2.2").status_code == 302


def test_an_address_that_guesses_names_is_shut_out_and_others_are_not(client, ada):
    for number in range(10):
        sign_in(client, f"guess{number}", "wrong")
    assert b"Too many failed sign-ins" in sign_in(client, "ada", GOOD).content
    assert sign_in(client, "ada", GOOD, "198.51.100.7").status_code == 302


def test_what_was_typed_as_an_unknown_name_is_not_kept(client):
    sign_in(client, "my-password-by-mistake", "x")
    (entry,) = entries("user.sign_in_refused")
    assert entry.subject == "auth.user:unknown" and b"my-password" not in bytes(entry.body)


def test_one_is_let_in_again_after_five_minutes(client, ada, monkeypatch):
    for _ in range(10):
        sign_in(client, "ada", "wrong")
    assert b"Try again in" in sign_in(client, "ada", GOOD).content
    import time

    later = time.time() + 301
    monkeypatch.setattr(time, "time", lambda: later)
    assert sign_in(client, "ada", GOOD).status_code == 302
