"""The shipped templates: real figures in, readable Markdown out, and nothing of a stranger's that acts."""

import re
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from runtime.agents.rendering import CannotRender, count, day, days, number, render, template_names
from tests.agents.contexts import commit, figures, page
from tests.agents.test_markdown import strangers

READER = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])

REPORT = """\
# Report on orders since v2.3.0

**2 commits** by **1 person** between 3 and 10 November 2026 changed **2 files**: 2,114 lines were added and 987 removed.

## People

| Person | Commits | Added | Removed |
|---|---:|---:|---:|
| Ada | 2 | 10 | 4 |

## Busiest days

- Tuesday 10 November 2026: 1 commit
- Tuesday 3 November 2026: 1 commit

## Changed files

| File | Added | Removed |
|---|---:|---:|
| `orders/totals.py` | 1,100 | 900 |
| `logo.png` | binary |  |

## Commits

- `0000002` Change number 2 · Ada, 3 Nov 2026, +5 −2
- `0000009` Change number 9 · Ada, 10 Nov 2026, +5 −2

---

Counted from the history of `/srv/repos/orders`, by a fixed template and without a model. Names, paths and subjects are quoted as their authors wrote them.
"""


PAGE = """\
# Orders of June

- Fetched from `https://example.com/orders`
- `text/html`, 8 words

It begins: Orders of June There were two. Read more.

## Headings

- Orders of June (level 1)

## Links

- more: `https://example.com/more`

---

Listed by a fixed template and without a model. Title, text, headings and links are quoted as the page has them; nobody has vouched for them.
"""


def comparison(**more):
    return {**figures(**more), "from_revision": "v2.2.0", "to_revision": "v2.3.0"}


def test_the_report_reads_well():
    assert render("repository-report", figures()) == REPORT


def test_the_same_data_always_give_the_same_document():
    assert render("repository-report", figures()) == render("repository-report", figures())


def test_a_comparison_names_both_revisions_and_every_figure():
    text = render("compare-revisions", comparison())

    assert text.startswith("# orders: from v2.2.0 to v2.3.0\n")
    for part in (
        "**2 commits**",
        "| Ada | 2 | 10 | 4 |",
        "`orders/totals.py`",
        "Tuesday 10 November 2026",
        "- `0000009` Change number 9",
    ):
        assert part in text


@pytest.mark.parametrize("template", ["repository-report", "compare-revisions"])
def test_no_commits_is_said_in_a_sentence(template):
    nothing = {
        "log": {"commits": [], "total": 0, "truncated": False},
        "diffstat": {"files": [], "files_changed": 0, "added": 0, "removed": 0, "truncated": False},
        "shortlog": {
            "people": [],
            "busiest_days": [],
            "commits": 0,
            "first_at": None,
            "last_at": None,
            "truncated": False,
        },
    }

    text = render(template, comparison(**nothing))

    assert "No file differs." in text
    assert "## " not in text


def test_files_that_differ_without_a_commit_between_are_shown():
    text = render("compare-revisions", comparison(log={"commits": [], "total": 0, "truncated": False}))

    assert "Every commit of v2.3.0 is in v2.2.0 too." in text
    assert "The files differ all the same: 2 files, 2,114 lines added and 987 removed." in text
    assert "`orders/totals.py`" in text


def test_a_long_history_says_what_it_leaves_out():
    commits = [commit(number) for number in range(1000)]
    data = figures(commits, log={"commits": commits, "total": 4321, "truncated": True})
    data["shortlog"]["people"] = [
        {"name": f"P{n}", "email": "", "commits": 1, "added": 1, "removed": 1} for n in range(53)
    ]
    data["diffstat"]["files"] = [{"path": f"f{n}", "added": n, "removed": 0, "binary": False} for n in range(60)]
    data["diffstat"]["files_changed"] = 41

    text = render("repository-report", data)

    assert text.count("\n- `") == 1000
    assert "These are the newest 1,000 of 4,321 commits." in text
    assert "3 more people have fewer commits." in text
    assert "1 more file changed less." in text
    assert [line for line in text.splitlines() if line.startswith("| f")][0] == "| f59 | 59 | 0 |"


def test_an_answer_says_what_changed_and_where_the_document_is():
    text = render("answer", {**figures(), "document": "reports/orders-since-v2.3.0.md"})

    assert text == (
        "2 commits by 1 person between 3 and 10 November 2026 changed 2 files of orders: "
        "2,114 lines were added and 987 removed.\n"
        "The report is in the documents of this workspace: reports/orders-since-v2.3.0.md\n"
    )


def test_an_answer_about_nothing_is_a_sentence_too():
    data = figures([], document="x.md")
    data["diffstat"] |= {"files_changed": 0}

    assert render("answer", data).startswith("Nothing has changed in orders: no commits, and no file differs.\n")


@settings(max_examples=60)
@given(subject=strangers, author=strangers, path=strangers)
def test_no_stranger_adds_a_block_a_link_or_a_tag(subject, author, path):
    tame = figures([commit(1, subject="s", author="a"), commit(2, subject="s", author="a")])
    wild = figures([commit(1, subject=subject, author=author), commit(2, subject="s", author=author)])
    wild["shortlog"]["people"] = [{**tame["shortlog"]["people"][0], "name": author}]
    wild["diffstat"]["files"] = [{**tame["diffstat"]["files"][0], "path": path}, tame["diffstat"]["files"][1]]

    for template in ("repository-report", "compare-revisions"):
        expected = [token.type for token in READER.parse(render(template, comparison(**tame)))]
        tokens = READER.parse(render(template, comparison(**wild)))
        assert [token.type for token in tokens] == expected
        inner = {child.type for token in tokens for child in token.children or ()}
        assert inner <= {"text", "text_special", "code_inline", "strong_open", "strong_close"}


@settings(max_examples=60)
@given(title=strangers, text=strangers, link=strangers)
def test_no_page_adds_a_block_a_link_or_a_tag(title, text, link):
    href = "https://example.com/" + quote(link)
    wild = page(
        title=title or "t",
        text=text or "t",
        headings=[{"level": 2, "text": title}],
        links=[{"text": link, "href": href}],
    )

    expected = [token.type for token in READER.parse(render("page-summary", {"page": page(), "asked": page()["url"]}))]
    tokens = READER.parse(render("page-summary", {"page": wild, "asked": page()["url"]}))

    assert [token.type for token in tokens] == expected
    inner = {child.type for token in tokens for child in token.children or ()}
    assert inner <= {"text", "text_special", "code_inline", "softbreak"}


def test_a_page_is_summed_up_by_what_it_says():
    moved = page(
        url="https://example.com/moved", status=404, truncated=True, links=[], headings=[], text="", title=None
    )

    text = render("page-summary", {"page": page(), "asked": page()["url"]})
    lost = render("page-summary", {"page": moved, "asked": page()["url"]})

    assert text == PAGE
    for said in (
        "# A page without a title",
        "answered 404",
        "Asked for `https://example.com/orders`",
        "cut: there is more",
        "no text on it",
    ):
        assert said in lost
    assert render("page-answer", {"page": page(), "asked": page()["url"], "document": "pages/x.md"}) == (
        "The page Orders of June has 8 words, 1 heading and 1 link.\n"
        "The summary is in the documents of this workspace: pages/x.md\n"
    )
    assert render("page-answer", {"page": moved, "asked": page()["url"], "document": "d"}).startswith(
        "The server answered 404 for"
    )


@given(st.dictionaries(st.sampled_from(["name", "document", "log", "diffstat", "shortlog", "page", "asked", "x"]), st.recursive(
    st.one_of(st.none(), st.integers(), st.text(max_size=5)),
    lambda inner: st.one_of(st.lists(inner, max_size=2), st.dictionaries(st.sampled_from(["total", "people", "commits", "files", "title", "url", "text", "status"]), inner)),
)), st.sampled_from(sorted(template_names())))  # fmt: skip
def test_data_of_another_shape_are_refused_and_never_crash(data, template):
    try:
        text = render(template, data)
    except CannotRender as error:
        text = str(error)

    assert text


@pytest.mark.parametrize("template", ["nothing", "../ernest", "parts/people", "answer.txt.j2", ""])
def test_only_shipped_templates_are_known(template):
    with pytest.raises(CannotRender, match="there is no template"):
        render(template, {})


def test_a_template_in_the_data_is_only_text():
    data = {**figures(), "name": "{{ 7 * 7 }}{% include 'answer.txt.j2' %}", "document": "{{ ''.__class__ }}"}

    text = render("answer", data)

    assert "{{ 7 * 7 }}" in text
    assert "49" not in text


def test_the_shipped_templates_are_these():
    assert set(template_names()) == {
        "answer",
        "compare-revisions",
        "documents-answer",
        "page-answer",
        "page-summary",
        "repository-report",
    }


@pytest.mark.parametrize(
    ("first", "last", "said"),
    [
        ("2026-11-03T09:00:00Z", "2026-11-19T09:00:00Z", "between 3 and 19 November 2026"),
        ("2026-10-30T09:00:00Z", "2026-11-19T09:00:00Z", "between 30 October and 19 November 2026"),
        ("2025-12-30T09:00:00Z", "2026-01-02T09:00:00Z", "between 30 December 2025 and 2 January 2026"),
        ("2026-11-03T09:00:00Z", "2026-11-03T19:00:00Z", "on 3 November 2026"),
        ("yesterday", "[now](x)", r"between yesterday and \[now\](x)"),
    ],
)
def test_a_span_of_days_is_said_as_shortly_as_it_can_be(first, last, said):
    assert days(first, last) == said


def test_numbers_and_days_are_written_for_people():
    assert (number(2114), count(1, "person", "people"), count(0, "commit")) == ("2,114", "1 person", "0 commits")
    assert day("2026-11-10") == "10 November 2026"
    assert day("not a day") == "not a day"
    assert re.fullmatch(r"`.*`", day("http://evil"))
