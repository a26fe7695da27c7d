"""What strangers wrote is shown as it is, and can do nothing."""

import json
import re
from html import unescape
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worka_site.portal.code import compact_json, json_lines, log_lines, text_lines, yaml_lines
from worka_site.portal.paper import MOST, markdown, paper
from worka_site.portal.visible import is_hidden, plain, visible

OUR_TAGS = {"span"}
PAPER_TAGS = {"h3", "h4", "h5", "h6", "p", "ul", "ol", "li", "strong", "em", "code", "pre", "blockquote", "hr", "br", "table", "thead", "tbody",
              "tr", "th", "td", "span"}  # fmt: skip
OUR_ATTRIBUTES = {"class", "title", "scope", "start", "tabindex"}


class Seen(HTMLParser):
    def __init__(self, markup: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.feed(markup)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes.update(name for name, _ in attrs)


def words(markup: str) -> str:
    return unescape(re.sub(r"<[^>]*>", "", markup))


@given(st.text())
def test_any_text_becomes_markup_with_nothing_but_our_marks(text: str) -> None:
    for markup in (visible(text), text_lines(text), yaml_lines(text), log_lines([("", text, False)])):
        seen = Seen(markup)
        assert seen.tags <= OUR_TAGS
        assert seen.attributes <= {"class", "title"}
        assert not any(is_hidden(char) for char in words(markup))


@given(st.text())
def test_what_can_be_seen_is_shown_unchanged(text: str) -> None:
    assert words(visible(text)) == plain(text)
    if not any(is_hidden(char) for char in text):
        assert plain(text) == text


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_a_payload_is_shown_exactly_and_can_do_nothing(value: object) -> None:
    markup = json_lines(value)

    assert Seen(markup).tags <= OUR_TAGS
    shown = "\n".join(words(line) for line in markup.removeprefix('<span class="l">').split('</span><span class="l">'))
    assert shown.replace("\n", "") == plain(json.dumps(value, indent=2, ensure_ascii=False)).replace("\n", "")
    assert markup.count('class="l"') == json.dumps(value, indent=2, ensure_ascii=False).count("\n") + 1


@pytest.mark.parametrize(
    "char", ["\u202e", "\u2066", "\u200b", "\ufeff", "\x1b", "\x00", "\U000e0041", "\u2028", "\u3164", "\u00ad"]
)
def test_a_character_that_hides_is_spelled_out_and_named(char: str) -> None:
    shown = visible(f"safe{char}text")

    assert char not in shown
    assert f"U+{ord(char):04X}" in shown
    assert 'class="unseen"' in shown


@given(st.text(alphabet=st.sampled_from("#*_[]()!<>`|-: \n\\abc\"'=&;/.1javscriptonerr\u202e")))
def test_no_document_becomes_anything_but_prose(text: str) -> None:
    seen = Seen(markdown(text))

    assert seen.tags <= PAPER_TAGS
    assert seen.attributes <= OUR_ATTRIBUTES


@pytest.mark.parametrize(
    "text",
    [
        "[x](https://evil.example)", "<https://evil.example>", "[x](javascript:alert(1))", "![x](https://evil.example/p.png)",
        "<img src=x onerror=alert(1)>", "<script>alert(1)</script>", '<a href="//evil.example">x</a>', "[x]: https://evil.example\n\n[x]",
        "<style>*{display:none}</style>", "<svg><script>1</script></svg>", "[![x](a)](b)", "<!-- hidden -->",
    ],
)  # fmt: skip
def test_nothing_in_a_document_can_be_followed_loaded_or_run(text: str) -> None:
    markup = markdown(text)

    assert not {"a", "img", "script", "style", "svg"} & Seen(markup).tags
    assert not {"href", "src", "onerror", "style"} & Seen(markup).attributes


def test_a_link_is_shown_with_where_it_would_lead() -> None:
    assert markdown("see [the docs](https://docs.example/orders)") == (
        '<p>see the docs <span class="address">(https://docs.example/orders)</span></p>\n'
    )
    assert markdown("<https://docs.example>") == "<p>https://docs.example</p>\n"


def test_headings_stand_below_those_of_the_page() -> None:
    markup = markdown("# One\n\n## Two\n\n##### Five\n\n###### Six")

    assert re.findall(r"<(h\d)>", markup) == ["h3", "h4", "h6", "h6"]


def test_a_table_keeps_its_figures_to_the_right_without_a_style() -> None:
    markup = markdown("| Person | Commits |\n|---|---:|\n| ada | 21 |")

    assert '<th scope="col" class="num">Commits</th>' in markup
    assert '<td class="num">21</td>' in markup
    assert "style" not in markup


def test_a_document_is_shown_by_its_kind() -> None:
    assert paper(b"# A", "text/markdown; charset=utf-8").kind == "paper"
    assert paper(b'{"a": 1}', "application/json").html.count('class="l"') == 3
    assert paper(b"{not json", "application/json").kind == "code"
    assert paper(b"a,b", "text/csv").kind == "code"
    assert paper(b"\x89PNG", "image/png").kind == "none"
    assert paper(b"\xff\xfe", "text/plain").kind == "none"
    assert paper(b"<b>", "text/html").html == '<span class="l">&lt;b&gt;</span>'


def test_a_long_document_is_cut_and_says_so() -> None:
    shown = paper(("é" * MOST).encode(), "text/markdown")

    assert shown.is_cut
    assert not paper(b"short", "text/markdown").is_cut


def test_more_lines_than_anybody_reads_are_counted_not_drawn() -> None:
    markup = text_lines("\n".join("x" for _ in range(50)))
    cut = json_lines(list(range(50)), limit=10)

    assert markup.count('class="l"') == 50
    assert cut.count('class="l"') == 10
    assert "42 more lines are not shown" in cut


def test_yaml_is_coloured_by_what_it_is() -> None:
    markup = yaml_lines("# why\nrules:\n  - deny: {skill: \"a: b\", because: 'it''s'}\n", hits={2})

    assert '<span class="l"><span class="c"># why</span></span>' in markup
    assert '<span class="l hit"><span class="k">rules</span>:</span>' in markup
    assert (
        '<span class="k">deny</span>: {<span class="k">skill</span>: <span class="s">&quot;a: b&quot;</span>' in markup
    )


def test_a_log_line_that_matters_is_marked() -> None:
    assert log_lines([("09:41:12", "ok", False), ("", "held", True)]) == (
        '<span class="l"><span class="c">09:41:12</span> ok</span><span class="l hit">held</span>'
    )


def test_a_value_on_one_line_is_cut() -> None:
    assert compact_json({"a": [1, "é"]}) == "{&quot;a&quot;:[1,&quot;é&quot;]}"
    assert compact_json("x" * 500, length=20).endswith("x…")
