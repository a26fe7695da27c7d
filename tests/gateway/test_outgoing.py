"""Requests with a connection's credentials: to the place that was connected and nowhere else, bounded, and told whether heard."""

import time

import pytest

from gateway.outgoing import NotReached, send
from tests.gateway.names import Names
from tests.gateway.site import Site, answer, serving_site

TOKEN = {"Authorization": "Bearer a-canary"}


@pytest.fixture(scope="module")
def server():
    with serving_site() as found:
        yield found


@pytest.fixture
def site(server: Site, settings):
    settings.WORKA_INTERNAL_HOSTS = ("127.0.0.1", "git.corp.example")
    server.pages.clear()
    server.asked.clear()
    server.pages["/user"] = answer('{"login": "ada"}', media_type="application/json")
    return server


@pytest.fixture
def names(monkeypatch):
    return Names(monkeypatch)


def get(url, *, seconds=5.0, **more):
    return send("GET", url, headers=TOKEN, deadline=time.monotonic() + seconds, **more)


def failed(url, **more) -> NotReached:
    with pytest.raises(NotReached) as caught:
        get(url, **more)
    assert "a-canary" not in str(caught.value)
    return caught.value


def test_a_host_inside_that_the_operator_has_named_is_asked(site, names):
    names.lead("git.corp.example", ["127.0.0.1"])
    site.pages["/user?page=2"] = site.pages["/user"]

    found = get(site.url("/user", host="git.corp.example"), params={"page": "2"})

    assert (found.status, found.body) == (200, b'{"login": "ada"}')
    assert site.paths == ["/user?page=2"]
    assert "Authorization: Bearer a-canary" in site.asked[0]


@pytest.mark.parametrize("address", ["127.0.0.1", "10.1.2.3", "192.168.0.7", "::1", "fd00::1"])
def test_an_address_inside_is_not_connected_to_unless_the_operator_has_named_the_host(site, names, settings, address):
    settings.WORKA_INTERNAL_HOSTS = ()
    names.lead("git.corp.example", [address])

    failure = failed(f"https://git.corp.example:{site.port}/user")

    assert "WORKA_INTERNAL_HOSTS" in str(failure) and address not in str(failure)
    assert (failure.was_sent, names.connected, site.asked) == (False, [], [])


@pytest.mark.parametrize("address", ["169.254.169.254", "fe80::1", "100.100.100.200"])
def test_a_metadata_service_is_reached_under_no_name(site, names, address):
    names.lead("git.corp.example", [address])

    failure = failed(f"https://git.corp.example:{site.port}/user")

    assert (failure.was_sent, names.connected) == (False, [])


def test_without_tls_only_a_named_host_is_spoken_to(site, settings):
    settings.WORKA_INTERNAL_HOSTS = ()

    failure = failed(site.url("/user"))

    assert "https only" in str(failure) and not failure.was_sent and site.asked == []


def test_a_name_that_changes_its_mind_is_asked_once(site, names):
    names.lead("git.corp.example", ["127.0.0.1"], ["169.254.169.254"])

    get(site.url("/user", host="git.corp.example"))

    assert (names.asked, names.connected) == (["git.corp.example"], [("127.0.0.1", site.port)])


def test_a_redirect_is_an_answer_and_takes_the_token_nowhere(site, names):
    site.pages["/moved"] = answer("", "Location: http://elsewhere.example/", status="302 Found")

    found = get(site.url("/moved"))

    assert (found.status, site.paths, names.asked) == (302, ["/moved"], [])


def test_what_is_too_large_or_drips_may_have_been_heard(site):
    site.pages["/large"] = answer("x" * 5000)

    def drip(write) -> None:
        write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        for _ in range(100):
            if site.over.wait(0.05):
                return
            write(b"x")

    site.pages["/drip"] = drip

    large, slow = failed(site.url("/large"), most_bytes=1000), failed(site.url("/drip"), seconds=0.4)

    assert ("1,000 bytes" in str(large), large.was_sent) == (True, True)
    assert ("in time" in str(slow) or "too long" in str(slow), slow.was_sent) == (True, True)


def test_what_never_left_was_never_heard(site):
    closed = failed("http://127.0.0.1:9/user")
    no_tls = failed(f"https://127.0.0.1:{site.port}/user")
    late = failed(site.url("/user"), seconds=-1)
    with pytest.raises(NotReached) as caught:
        send("GET", site.url("/user"), headers={"X-Bad": "a\nb"}, deadline=time.monotonic() + 5)

    assert [each.was_sent for each in (closed, no_tls, late, caught.value)] == [False] * 4
    assert site.paths == []


def test_a_server_that_hangs_up_may_have_heard(site):
    site.pages["/user"] = lambda write: None

    assert failed(site.url("/user")).was_sent is True
