"""The one way out, over real connections: where it goes is checked, and what comes back is bounded."""

import gzip
import time

import httpcore2
import httpx2
import pytest

from gateway.egress.addresses import goal_of
from gateway.egress.fetching import MOST_REDIRECTS, fetch
from gateway.egress.refused import NotReached, Why
from gateway.egress.transport import Transport
from governance.core.egress import NOWHERE
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
    return server


@pytest.fixture
def names(monkeypatch):
    return Names(monkeypatch)


def get(url, egress, *, seconds=5.0, most_bytes=1000, **more):
    return fetch(url, egress, deadline=time.monotonic() + seconds, most_bytes=most_bytes, **more)


def refused(url, egress, **more) -> NotReached:
    with pytest.raises(NotReached) as caught:
        get(url, egress, **more)
    return caught.value


def redirect(to: str, status: str = "302 Found") -> bytes:
    return answer("", f"Location: {to}", status=status)


def test_an_answer_comes_whole_and_nothing_of_ours_goes_with_the_request(site, monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    site.pages["/page?q=1"] = answer("there", "Set-Cookie: a=b", "X-More: c")

    found = get(site.url("/page?q=1#part"), site.egress())

    assert (found.url, found.status, found.content, found.is_cut) == (site.url("/page?q=1"), 200, b"there", False)
    assert found.headers["x-more"] == "c"
    head = site.asked[0].splitlines()
    assert head[:2] == ["GET /page?q=1 HTTP/1.1", f"Host: 127.0.0.1:{site.port}"]
    assert {line.split(":")[0] for line in head[2:] if line} == {
        "User-Agent",
        "Accept",
        "Accept-Encoding",
        "Connection",
    }


def test_a_status_is_an_answer_too(site):
    assert (get(site.url("/none"), site.egress()).status, site.paths) == (404, ["/none"])


@pytest.mark.parametrize(
    "address", ["10.1.2.3", "127.0.0.1", "169.254.10.1", "169.254.169.254", "::1", "fd00::1", "::ffff:127.0.0.1"]
)
@pytest.mark.parametrize("with_public", [False, True])
def test_a_name_that_leads_inside_is_not_connected_to(site, names, address, with_public):
    names.lead("evil.example", ["1.1.1.1", address] if with_public else [address])

    refusal = refused(site.url(host="evil.example"), site.egress("evil.example", private=False))

    assert refusal.why == Why.NOT_PUBLIC
    assert str(refusal).startswith("evil.example leads to a")
    assert address not in str(refusal)
    assert (names.connected, site.asked) == ([], [])


def test_the_metadata_service_is_not_connected_to_even_where_the_house_is_open(site, names):
    names.lead("evil.example", ["169.254.169.254"])

    assert refused(site.url(host="evil.example"), site.egress("evil.example")).why == Why.NOT_PUBLIC
    assert refused(site.url(host="169.254.169.254"), site.egress("*")).why == Why.NOT_PUBLIC
    assert names.connected == []


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "[::1]", "[::ffff:127.0.0.1]", "10.0.0.1", "[fd00:ec2::254]", "0.0.0.0", "１２７.０.０.１", "[::]", "[64:ff9b::7f00:1]"],
)  # fmt: skip
def test_an_address_of_the_inside_is_not_connected_to(site, names, host):
    assert refused(f"https://{host}/", site.egress("*", private=False)).why in (Why.NOT_PUBLIC, Why.NOT_ALLOWED)
    assert refused(site.url(host=host), site.egress("*", private=False)).why == Why.NOT_PUBLIC
    assert names.connected == []


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("http://2130706433/", "is a number that stands for an address"),
        ("http://0x7f000001/", "is a number that stands for an address"),
        ("http://017700000001/", "is a number that stands for an address"),
        ("http://127.1/", "is a number that stands for an address"),
        ("http://0177.0.0.1/", "is a number that stands for an address"),
        ("http://127.0.0.0x1/", "is a number that stands for an address"),
        ("http://[fe80::1%25lo]/", "names an interface"),
        ("http://user@127.0.0.1/", "carries a user"),
        ("http://user:pass@127.0.0.1/", "carries a user"),
        ("http://a.example\\@127.0.0.1/", "backslashes"),
        ("http://a.example\t/", "spaces"),
        ("http://a.example\r\nX: y/", "spaces"),
        ("http:// a.example/", "spaces"),
        ("file:///etc/passwd", "only https and http"),
        ("gopher://127.0.0.1/", "only https and http"),
        ("ftp://a.example/", "only https and http"),
        ("javascript:alert(1)", "is not an address"),
        ("//a.example/", "is not an address"),
        ("http:a.example", "is not an address"),
        ("http:///x", "is not the name of a host"),
        ("http://a.example:99999/", "there is no port"),
        ("http://a.example:0/", "there is no port"),
        ("http://a.example:80:80/", "is not a host and a port"),
        ("http://[::1/", "is not a host and a port"),
        ("http://exa%6dple.com/", "is not the name of a host"),
        ("http://a.example/" + "x" * 3000, "longer than"),
        ("", "is not an address"),
    ],
)
def test_an_address_that_hides_where_it_leads_is_refused_before_anything_is_asked(site, names, url, says):
    refusal = refused(url, site.egress("*"))

    assert refusal.why == Why.BAD_ADDRESS and refusal.is_hopeless
    assert says in str(refusal)
    assert (names.asked, names.connected) == ([], [])


def test_what_policy_does_not_list_is_neither_looked_up_nor_connected_to(site, names):
    names.lead("other.example", ["127.0.0.1"])

    for url, egress in [
        (site.url(host="other.example"), site.egress("127.0.0.1", "*.other.example")),
        (site.url(host="other.example", scheme="https"), NOWHERE),
        (site.url(), site.egress(http=False)),
        ("http://127.0.0.1/", site.egress()),
    ]:
        assert refused(url, egress).why == Why.NOT_ALLOWED
    assert (names.asked, names.connected, site.asked) == ([], [], [])


def test_a_name_is_resolved_once_and_the_connection_goes_to_what_was_checked(site, names):
    """A name that changes its mind (DNS rebinding): the second answer is never asked for."""
    names.lead("moving.example", ["127.0.0.1"], ["10.9.9.9"])
    site.pages["/"] = answer("here")

    found = get(site.url(host="Moving.Example."), site.egress("moving.example"))

    assert found.content == b"here"
    assert names.asked == ["moving.example"]
    assert names.connected == [("127.0.0.1", site.port)]
    assert f"Host: moving.example:{site.port}" in site.asked[0]


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "303 See Other", "307 Temporary", "308 Permanent"])
def test_a_redirect_is_followed_and_leads_to_the_last_address(site, status):
    site.pages |= {"/a": redirect("/b?c#d", status), "/b?c": answer("there")}

    found = get(site.url("/a"), site.egress())

    assert (found.url, found.content, site.paths) == (site.url("/b?c"), b"there", ["/a", "/b?c"])


@pytest.mark.parametrize(
    ("to", "why"),
    [
        ("http://inside.example:{port}/", Why.NOT_PUBLIC),
        ("http://10.0.0.1:{port}/", Why.NOT_PUBLIC),
        ("http://169.254.169.254:{port}/latest/meta-data/", Why.NOT_PUBLIC),
        ("//unlisted.test:{port}/", Why.NOT_ALLOWED),
        ("https://start.example/", Why.NOT_ALLOWED),
        ("http://0x7f000001:{port}/", Why.BAD_ADDRESS),
        ("http://u:p@start.example:{port}/", Why.BAD_ADDRESS),
        ("file:///etc/passwd", Why.BAD_ADDRESS),
        ("http://a:b/", Why.BAD_ANSWER),
    ],
)
def test_a_redirect_is_checked_like_the_first_address(site, names, to, why):
    """The start is inside by its own line of the list; what it redirects to has no such line."""
    from governance.core.egress import Egress, Target

    names.lead("start.example", ["127.0.0.1"])
    names.lead("inside.example", ["127.0.0.1"])
    lines = (
        Target("start.example", http=True, private=True, ports=(site.port,)),
        Target("*.example", http=True, ports=(site.port,)),
        *(Target(host, http=True, ports=(site.port,)) for host in ("10.0.0.1", "169.254.169.254")),
    )
    site.pages["/"] = redirect(to.format(port=site.port))

    assert refused(site.url(host="start.example"), Egress((("workspace", lines),))).why == why
    assert len(site.asked) == len(names.connected) == 1


def test_redirects_end(site):
    site.pages["/"] = redirect("/")

    assert refused(site.url(), site.egress()).why == Why.TOO_MANY_REDIRECTS
    assert len(site.asked) == MOST_REDIRECTS + 1


def test_cookies_are_kept_for_nobody(site):
    site.pages |= {"/": answer("", "Location: /b", "Set-Cookie: a=b; Path=/", status="302 Found"), "/b": answer("x")}

    get(site.url(), site.egress())

    assert "cookie" not in site.asked[1].lower()


def test_a_page_without_end_is_cut(site):
    def without_end(send):
        send(b"HTTP/1.1 200 OK\r\nContent-Length: 1073741824\r\n\r\n")
        while not site.over.is_set():
            send(b"x" * 65536)

    site.pages["/"] = without_end

    found = get(site.url(), site.egress(), most_bytes=100_000)

    assert (len(found.content), found.is_cut) == (100_000, True)


def test_what_decompresses_to_very_much_is_cut(site):
    packed = gzip.compress(b"x" * 8_000_000)
    site.pages["/"] = answer(packed, "Content-Encoding: gzip")
    site.pages["/ok"] = answer(gzip.compress(b"small"), "Content-Encoding: gzip")
    site.pages["/bad"] = answer(b"not that", "Content-Encoding: gzip")
    site.pages["/twice"] = answer(gzip.compress(packed), "Content-Encoding: gzip, gzip")

    found = get(site.url(), site.egress())

    assert (found.content, found.is_cut) == (b"x" * 1000, True)
    assert get(site.url("/ok"), site.egress()).content == b"small"
    for path in ("/bad", "/twice"):
        assert refused(site.url(path), site.egress()).why == Why.BAD_ANSWER


def drip(beginning: bytes, drop: bytes):
    def dripping(send):
        send(beginning)
        for _ in range(100):
            time.sleep(0.05)
            send(drop)

    return dripping


@pytest.mark.parametrize(
    ("beginning", "drop"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n", b"x"),
        (b"HTTP/1.1 200 OK\r\nX: ", b"x"),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
    ],
    ids=["body", "head", "informational", "chunks"],
)
def test_a_server_that_drips_is_left_at_the_deadline(site, beginning, drop):
    site.pages["/"] = drip(beginning, drop)
    began = time.monotonic()

    refusal = refused(site.url(), site.egress(), seconds=0.2)

    assert refusal.why == Why.TOO_SLOW and not refusal.is_hopeless
    assert time.monotonic() - began < 2


def test_a_resolver_that_does_not_answer_is_left_at_the_deadline(site, names, monkeypatch):
    monkeypatch.setattr("socket.getaddrinfo", lambda *_, **__: site.over.wait(5))

    assert refused(site.url(host="slow.example"), site.egress("slow.example"), seconds=0.1).why == Why.TOO_SLOW


def test_a_head_without_end_is_refused(site):
    def without_end(send):
        send(b"HTTP/1.1 200 OK\r\n")
        while not site.over.is_set():
            send(b"X-More: " + b"x" * 1000 + b"\r\n")

    def informing(send):
        while not site.over.is_set():
            send(b"HTTP/1.1 103 Early Hints\r\n\r\n" * 100)

    site.pages |= {"/": without_end, "/103": informing}

    for path in ("/", "/103"):
        assert refused(site.url(path), site.egress()).why == Why.TOO_LARGE


@pytest.mark.parametrize(
    ("page", "why"),
    [
        (b"", Why.BAD_ANSWER),
        (b"SSH-2.0-OpenSSH_9.2\r\n", Why.BAD_ANSWER),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nx", Why.BAD_ANSWER),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx", Why.BAD_ANSWER),
    ],
    ids=["nothing", "no HTTP", "cut short", "two lengths"],
)
def test_what_is_no_answer_is_told_so(site, page, why):
    site.pages["/"] = page

    assert refused(site.url(), site.egress()).why == why


def test_a_host_without_address_or_without_server_is_told_so(site, names):
    names.lead("none.example", [])

    assert refused(site.url(host="none.example"), site.egress("none.example")).why == Why.NO_SUCH_NAME
    names.lead("closed.example", ["127.0.0.1"])
    closed = Site(port=1)
    assert refused(closed.url(host="closed.example"), closed.egress("closed.example")).why == Why.NO_CONNECTION


def test_a_passed_deadline_connects_to_nothing(site, names):
    assert refused(site.url(), site.egress(), seconds=-1).why == Why.TOO_SLOW
    assert names.connected == []


def test_another_client_is_checked_in_the_same_way_whatever_it_asks_for(site, names):
    """A model's or a tool server's own client gets the transport; its redirects and extensions change nothing."""
    names.lead("start.example", ["127.0.0.1"])
    site.pages["/"] = redirect(f"http://10.0.0.1:{site.port}/")
    egress = site.egress("start.example")

    with httpx2.Client(transport=Transport(egress, deadline=time.monotonic() + 5), follow_redirects=True) as client:
        with pytest.raises(NotReached) as caught:
            client.get(site.url(host="start.example"), extensions={"sni_hostname": "other.example"})
        with pytest.raises(NotReached):
            client.post(site.url(host="other.example"), json={})
    assert caught.value.why == Why.NOT_ALLOWED
    assert names.connected == [("127.0.0.1", site.port)]


def test_the_library_still_connects_through_what_it_is_given():
    """The guard rests on this parameter; were it ignored, names would be resolved again behind our back."""
    asked = []

    class Backend(httpcore2.NetworkBackend):
        def connect_tcp(self, host, port, *args, **kwargs):
            asked.append((host, port))
            raise httpcore2.ConnectError

    with httpcore2.ConnectionPool(network_backend=Backend()) as pool, pytest.raises(httpcore2.ConnectError):
        pool.request("GET", "http://a.example:81/")
    assert asked == [("a.example", 81)]


def test_an_address_has_one_form():
    assert goal_of("HTTPS://Bücher.Example:443?q=1#x").url == "https://xn--bcher-kva.example/?q=1"
    assert goal_of("http://[0::1]:8080/a").url == "http://[::1]:8080/a"
    assert goal_of("https://a.example:/x").url == "https://a.example/x"
