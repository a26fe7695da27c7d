"""What a page says, from bytes that nobody vouches for."""

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audit.core.canonical import canonical
from gateway.pages import HEADINGS_MOST, HREF_MOST, LINKS_MOST, Page, bounded, decoded, read_html

URL = "https://example.com/docs/page?x=1"
MOST = 256 * 1024


def read(html: str, *, most_text: int = MOST, seconds: float = 10) -> Page:
    return read_html(html, URL, most_text=most_text, deadline=time.monotonic() + seconds)


def test_a_page_becomes_text_title_headings_and_links():
    page = read(
        """<!doctype html><html><head><title>A  page &amp; more</title><style>p{}</style><script>if (1 < 2) "<p>"</script></head>
        <body><!-- hidden --><h1>Big <em>news</em></h1><p>One&nbsp;line
        of text.<br>Another <a href="../other#part">link <b>here</b></a>.</p><h2>Small</h2>
        <ul><li>first<li>second</ul><table><tr><td>a<td>b</table><svg><title>no</title><text>no</text></svg>
        <a href="https://elsewhere.example/?q=1">away</a> <a href="javascript:alert(1)">js</a> <a href="#part">same</a>
        <a href="mailto:a@b.example">mail</a><noscript>no</noscript><p>the end"""
    )

    assert page.title == "A page & more"
    assert page.text.split("\n") == [
        "Big news", "", "One line of text.", "Another link here.", "", "Small", "", "- first", "- second", "", "a b",
        "away js same mail", "the end",
    ]  # fmt: skip
    assert page.headings == [{"level": 1, "text": "Big news"}, {"level": 2, "text": "Small"}]
    assert page.links == [
        {"text": "link here", "href": "https://example.com/other"},
        {"text": "away", "href": "https://elsewhere.example/?q=1"},
    ]
    assert not page.is_cut


def test_everything_is_bounded_and_says_so():
    many = "".join(f'<h2>{n}</h2><a href="/{n}">{n}</a>' for n in range(200))
    long = f'<title>{"t" * 500}</title><h1>{"h" * 500}</h1><a href="/{"x" * HREF_MOST}">too long</a><a href="/x">{"a" * 500}</a>'

    page = read(many)

    assert (len(page.headings), len(page.links), page.is_cut) == (HEADINGS_MOST, LINKS_MOST, True)
    page = read(long)
    assert [len(page.title), len(page.headings[0]["text"]), *(len(link["text"]) for link in page.links)] == [
        200,
        200,
        200,
    ]
    page = read("<p>" + "ü" * 1000, most_text=101)
    assert (page.text, page.is_cut) == ("ü" * 50, True)
    assert read("<p>late", seconds=-1).is_cut


@pytest.mark.parametrize("piece", ["<!--", "<a ", "<a a='", "</", "<script></s", "<![a"])
def test_a_page_that_ends_nothing_it_begins_takes_time_linear_to_its_size(piece, monkeypatch):
    """What is unfinished is read again with every piece, so the pieces grow. In processor time, against a quarter of it."""
    monkeypatch.setattr("gateway.pages.PIECE", 512)

    def seconds(size: int) -> float:
        began = time.process_time()
        read(piece * (size // len(piece)), seconds=60)
        return time.process_time() - began

    assert seconds(160_000) < 12 * max(seconds(40_000), 0.03)


@settings(max_examples=60)
@given(st.text(alphabet=st.sampled_from("<>/!-=\"'& aph1\x00\ud800\n;#x[]?") | st.characters(), max_size=300))
def test_whatever_comes_is_read_and_canonical(html):
    page = read(decoded(html.encode("utf-16", "surrogatepass")[2:], "", is_html=True) + html)

    canonical({"title": page.title, "text": page.text, "headings": page.headings, "links": page.links})


@pytest.mark.parametrize(
    ("content", "charset", "text"),
    [
        ("grün".encode(), "", "grün"),
        ("grün".encode("latin-1"), "", "grün"),
        ("grün".encode("latin-1"), "ISO-8859-1", "grün"),
        (b"\x80", "iso-8859-1", "€"),
        ("日本".encode("shift_jis"), "Shift_JIS", "日本"),
        ("grün".encode("utf-8-sig"), "latin-1", "grün"),
        ("grün".encode("utf-16"), "", "grün"),
        (b"<meta charset=windows-1251>\xcf", "", "<meta charset=windows-1251>П"),
        (b"<meta charset='utf-16'>a", "", "<meta charset='utf-16'>a"),
        ("grün".encode(), "unicode_escape", "grün"),
        (b"a\\ud800", "raw_unicode_escape", "a\\ud800"),
        (b"+AGE-", "utf-7", "+AGE-"),
        (b"a", "no such thing", "a"),
        ("grün".encode()[:3], "", "gr\ufffd"),
        (b"a\x00\x1b[31mb\r\nc\rd", "", "a[31mb\nc\nd"),
    ],
)
def test_text_is_read_by_the_charset_that_is_its_own(content, charset, text):
    assert decoded(content, charset, is_html=True) == text


def test_a_text_is_cut_between_two_characters():
    assert bounded("aüb", 10) == ("aüb", False)
    assert bounded("aüb", 2) == ("a", True)
