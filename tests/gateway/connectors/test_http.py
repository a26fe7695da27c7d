"""http.get over real connections: what a page says, and every way not to get there."""

import time
from types import SimpleNamespace
from uuid import uuid4

import jsonschema
import pytest

from audit.core.canonical import canonical
from gateway.connector import CallContext, SkillFailed
from gateway.connectors.http import TEXT_MOST, Http
from governance.core.egress import NOWHERE
from tests.gateway.names import Names
from tests.gateway.site import answer, serving_site

SPEC = Http.skills[0]
PAGE = '<title>Orders</title><h1>Orders</h1><p>Two <a href="/more">more</a>.'


@pytest.fixture(scope="module")
def server():
    with serving_site() as found:
        yield found


@pytest.fixture
def site(server):
    server.pages.clear()
    server.asked.clear()
    return server


@pytest.fixture
def get(site):
    def call(url=None, *, egress=None, seconds=10, **arguments):
        context = CallContext(
            uuid4(), uuid4(), lambda _: b"", time.monotonic() + seconds, SimpleNamespace(), frozenset(),
            egress=site.egress() if egress is None else egress,
        )  # fmt: skip
        outcome = Http().call("get", {"url": url or site.url(), **arguments}, context)
        canonical(outcome.output)
        jsonschema.validate(outcome.output, SPEC.output_schema)
        assert outcome.taint == frozenset()
        return outcome.output

    return call


def failed(call) -> SkillFailed:
    with pytest.raises(SkillFailed) as caught:
        call()
    assert caught.value.effect == "none"
    return caught.value


def test_policy_is_told_that_it_reads_strangers_text_and_sends_the_address_away():
    assert (SPEC.side_effect, SPEC.idempotent) == ("read_only", True)
    assert SPEC.labels == {"untrusted_output", "sends_outside"}


def test_a_page_is_given_as_what_is_to_be_read(get, site):
    site.pages |= {"/": answer("", "Location: /page", status="301 Moved"), "/page": answer(PAGE)}

    assert get() == {
        "url": site.url("/page"),
        "status": 200,
        "media_type": "text/html",
        "title": "Orders",
        "text": "Orders\n\nTwo more.",
        "headings": [{"level": 1, "text": "Orders"}],
        "links": [{"text": "more", "href": site.url("/more")}],
        "truncated": False,
    }


@pytest.mark.parametrize(
    ("body", "media_type", "told", "text"),
    [
        ('{"a": "<b>"}', "application/json", "application/json", '{"a": "<b>"}'),
        ("<a>1</a>", "application/atom+xml; charset=utf-8", "application/atom+xml", "<a>1</a>"),
        ("grün".encode("latin-1"), "TEXT/Plain; charset=ISO-8859-1", "text/plain", "grün"),
        ("no name", "", "text/plain", "no name"),
        ("<p>x", "application/xhtml+xml", "application/xhtml+xml", "x"),
        ("", "text/html", "text/html", ""),
    ],
)
def test_other_texts_are_given_as_they_are(get, site, body, media_type, told, text):
    site.pages["/"] = answer(body, media_type=media_type)

    found = get()

    assert (found["media_type"], found["text"], found["title"], found["links"]) == (told, text, None, [])


@pytest.mark.parametrize("media_type", ["image/png", "application/pdf", "application/octet-stream", "font/woff2", ""])
def test_what_is_no_text_is_refused_by_its_name(get, site, media_type):
    site.pages["/"] = answer(b"\x89PNG\x00\x01", media_type=media_type)

    refusal = failed(get)

    assert str(refusal) == f"it is {media_type or 'application/octet-stream'}, which is no text"
    assert refusal.code == "bad_input"


def test_a_page_that_is_not_there_is_an_answer_with_its_status(get, site):
    assert (get(site.url("/none"))["status"], site.paths) == (404, ["/none"])


def test_a_page_without_end_is_cut_and_says_so(get, site):
    def without_end(send):
        send(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 1073741824\r\n\r\n")
        while not site.over.is_set():
            send(b"x" * 65536)

    site.pages["/"] = without_end

    assert [(len(found["text"]), found["truncated"]) for found in (get(), get(max_bytes=1000))] == [
        (TEXT_MOST, True),
        (1000, True),
    ]


def test_a_server_that_drips_is_left_at_the_deadline(get, site):
    def dripping(send):
        send(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 1000\r\n\r\n")
        while not site.over.wait(0.05):
            send(b"x")

    site.pages["/"] = dripping
    began = time.monotonic()

    refusal = failed(lambda: get(seconds=0.2))

    assert (str(refusal), refusal.code) == ("the answer did not come in time", "skill_failed")
    assert time.monotonic() - began < 2


def test_what_policy_does_not_list_is_refused_with_the_way_out(get, site):
    refusal = failed(lambda: get(egress=NOWHERE))

    assert "may not be reached" in str(refusal)
    assert "egress" in refusal.recovery
    assert refusal.code == "bad_input"
    assert site.asked == []


@pytest.mark.parametrize(
    ("address", "says"),
    [
        ("10.0.0.1", "private"),
        ("127.0.0.1", "loopback"),
        ("169.254.1.1", "link-local"),
        ("169.254.169.254", "metadata"),
    ],
)
def test_a_name_that_leads_inside_is_refused_and_not_connected_to(get, site, monkeypatch, address, says):
    names = Names(monkeypatch)
    names.lead("evil.example", [address])

    refusal = failed(lambda: get(site.url(host="evil.example"), egress=site.egress("evil.example", private=False)))

    assert says in str(refusal) and refusal.code == "bad_input"
    assert (names.asked, names.connected) == (["evil.example"], [])


def test_a_server_that_is_not_there_may_be_tried_again(get, site, monkeypatch):
    Names(monkeypatch).lead("gone.example", [])

    refusal = failed(lambda: get(site.url(host="gone.example"), egress=site.egress("gone.example")))

    assert (str(refusal), refusal.code) == ("the name gone.example leads to no address", "skill_failed")
    assert refusal.recovery
