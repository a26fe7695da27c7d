"""The way out for clients that speak asynchronously: one place for a whole conversation, resolved once."""

import time

import anyio
import httpx2
import pytest

from gateway.egress.asynchronous import AsyncTransport
from gateway.egress.refused import NotReached, Why
from governance.core.egress import Egress, Target
from tests.gateway.names import Names
from tests.gateway.site import Site, answer, serving_site


@pytest.fixture(scope="module")
def server():
    with serving_site() as found:
        yield found


@pytest.fixture
def site(server: Site):
    server.pages.clear()
    server.asked.clear()
    server.pages["/mcp"] = answer("hello", "Connection: close")
    return server


@pytest.fixture
def names(monkeypatch):
    return Names(monkeypatch)


def ask(egress, *urls, seconds=5.0):
    """Ask for one after the other through one client, and return the answers."""

    async def all_of_them():
        transport = AsyncTransport(egress, deadline=time.monotonic() + seconds)
        async with httpx2.AsyncClient(
            transport=transport, timeout=seconds, follow_redirects=False, trust_env=False
        ) as client:
            return [await client.get(url) for url in urls]

    return anyio.run(all_of_them)


def refused(egress, *urls, **more) -> NotReached:
    with pytest.raises(NotReached) as caught:
        ask(egress, *urls, **more)
    return caught.value


def test_a_conversation_keeps_to_the_address_that_was_checked(site, names):
    names.lead("tools.example", ["127.0.0.1"], ["169.254.169.254"])
    url = site.url("/mcp", host="tools.example")

    found = ask(site.egress("tools.example"), url, url)

    assert [each.text for each in found] == ["hello", "hello"]
    assert names.asked == ["tools.example"]
    assert {address for address, _ in names.connected} == {"127.0.0.1"}


@pytest.mark.parametrize("address", ["169.254.169.254", "fe80::1", "100.100.100.200"])
def test_no_name_leads_to_a_metadata_service(site, names, address):
    names.lead("tools.example", [address])

    assert refused(site.egress("tools.example"), site.url("/mcp", host="tools.example")).why == Why.NOT_PUBLIC
    assert names.connected == []


def test_an_address_inside_needs_a_line_that_says_so(site):
    assert refused(site.egress(private=False), site.url("/mcp")).why == Why.NOT_PUBLIC
    assert refused(site.egress("other.example"), site.url("/mcp")).why == Why.NOT_ALLOWED
    assert site.asked == []


def test_another_place_in_the_same_conversation_is_refused_although_policy_lists_it(site, names):
    names.lead("tools.example", ["127.0.0.1"])
    names.lead("other.example", ["127.0.0.1"])
    egress = site.egress("tools.example", "other.example")

    failure = refused(egress, site.url("/mcp", host="tools.example"), site.url("/mcp", host="other.example"))

    assert (failure.why, site.paths, names.asked) == (Why.NOT_ALLOWED, ["/mcp"], ["tools.example"])


def test_who_takes_no_connection_hangs_up_or_is_no_http_is_told_in_our_words(site):
    site.pages["/mcp"] = lambda write: write(b"SSH-2.0-OpenSSH\r\n\r\n")
    site.pages["/gone"] = lambda write: None

    assert refused(site.egress(), site.url("/mcp")).why == Why.BAD_ANSWER
    assert refused(site.egress(), site.url("/gone")).why in (Why.BAD_ANSWER, Why.NO_CONNECTION)
    closed = Egress((("platform", (Target("127.0.0.1", http=True, private=True, ports=(9,)),)),))
    assert refused(closed, "http://127.0.0.1:9/mcp").why == Why.NO_CONNECTION
