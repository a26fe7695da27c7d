"""Make what a server sent readable: text from bytes, and from HTML its text, title, headings and links.

The standard library's parser reads in time linear to its input if it is never told that the input is over and is fed in
pieces that grow with what it could not finish yet; so it is used like that, and the clock is asked between two pieces.
"""

import codecs
import re
from dataclasses import dataclass, field
from html.parser import HTMLParser
from time import monotonic
from typing import Any
from urllib.parse import urljoin, urlsplit

HEADINGS_MOST, LINKS_MOST = 100, 100
TITLE_MOST = HEADING_MOST = LINK_TEXT_MOST = 200
HREF_MOST = 1000
HTML_MOST = 1024 * 1024
PIECE = 16 * 1024

_SKIPPED = frozenset(
    {"script", "style", "template", "noscript", "svg", "math", "iframe", "object", "select", "textarea", "canvas"}
)
_HEADINGS = {f"h{level}": level for level in range(1, 7)}
_BLOCKS = frozenset(
    {
        *_HEADINGS, "address", "article", "aside", "blockquote", "body", "br", "caption", "dd", "details", "div", "dl", "dt",
        "fieldset", "figcaption", "figure", "footer", "form", "header", "hr", "legend", "li", "main", "nav", "ol", "p", "pre",
        "section", "summary", "table", "tr", "ul",
    }
)  # fmt: skip
# Names under which text is found on the web; others may decode into what is none (unicode_escape, utf-7, idna).
_CHARSETS = frozenset(
    {
        "utf-8", "utf-16", "utf-16-le", "utf-16-be", "cp1250", "cp1251", "cp1252", "cp1253", "cp1254", "cp1255", "cp1256",
        "cp1257", "cp1258", "cp874", "cp866", "koi8-r", "koi8-u", "shift_jis", "cp932", "euc_jp", "iso2022_jp", "gb2312", "gbk",
        "gb18030", "big5", "big5hkscs", "euc_kr", "cp949", "mac-roman", *(f"iso8859-{part}" for part in range(2, 17)),
    }
)  # fmt: skip
# What calls itself these is Windows-1252, on the web.
_LATIN = frozenset({"iso8859-1", "ascii"})
_MARKS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))
_META = re.compile(rb"<meta[^>]{0,200}?charset\s{0,10}=\s{0,10}[\"']?([A-Za-z0-9_:.-]{2,40})", re.IGNORECASE)
_UNSEEN = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")
_SPACES = re.compile(r"[ \t\r\n\f\xa0]+")


@dataclass(slots=True)
class Page:
    """What is to be read on a page. `is_cut` when there was more of anything than is kept."""

    title: str = ""
    text: str = ""
    headings: list[dict[str, Any]] = field(default_factory=list)
    links: list[dict[str, str]] = field(default_factory=list)
    is_cut: bool = False


def decoded(content: bytes, charset: str, *, is_html: bool) -> str:
    """Return bytes as text: by their mark, the charset the server named, the page's own word, else UTF-8 or Windows-1252."""
    for mark, name in _MARKS:
        if content.startswith(mark):
            return _seen(content[len(mark) :].decode(name, "replace"))
    named = _known(charset)
    if not named and is_html and (found := _META.search(content[:2048])):
        named = _known(found[1].decode("ascii"))
        # Nobody could have read this word in it.
        named = "utf-8" if named.startswith("utf-16") else named
    if not named:
        # What was cut in the middle of a character is still UTF-8.
        try:
            codecs.getincrementaldecoder("utf-8")().decode(content)
            named = "utf-8"
        except UnicodeDecodeError:
            named = "cp1252"
    return _seen(content.decode(named, "replace"))


def read_html(html: str, url: str, *, most_text: int, deadline: float) -> Page:
    """Return what a person would read on a page that came from `url`; `most_text` is in bytes of UTF-8.

    A page without end, or one that takes longer than `deadline` (`time.monotonic()`, s), is cut and says so.
    """
    reader = _Reader(url, most_text)
    position, end = 0, min(len(html), HTML_MOST)
    while position < end and not reader.is_full:
        if monotonic() > deadline:
            break
        piece = html[position : position + max(PIECE, len(reader.rawdata))]
        position += len(piece)
        try:
            reader.feed(piece)
        except (AssertionError, ValueError):
            # A declaration that the parser takes for its author's mistake.
            break
    page = reader.finished()
    page.is_cut = page.is_cut or position < len(html)
    return page


def bounded(text: str, most_bytes: int) -> tuple[str, bool]:
    """Return the beginning of a text that is at most so long in UTF-8, and whether something is missing."""
    raw = text.encode("utf-8", "replace")
    return (text, False) if len(raw) <= most_bytes else (raw[:most_bytes].decode("utf-8", "ignore"), True)


def _known(charset: str) -> str:
    try:
        name = codecs.lookup(charset.strip("\"' ")).name if charset.isascii() else ""
    except (LookupError, ValueError):
        return ""
    return "cp1252" if name in _LATIN else name if name in _CHARSETS else ""


def _seen(text: str) -> str:
    return _UNSEEN.sub("", text.replace("\r\n", "\n").replace("\r", "\n"))


class _Reader(HTMLParser):
    """Collects text block by block. What it is in the middle of is a heading, a link, the title or what nobody reads."""

    def __init__(self, url: str, most_text: int) -> None:
        super().__init__(convert_charrefs=True)
        self.url, self.left = url, most_text
        self.page = Page()
        self.lines: list[str] = []
        self.line: list[str] = []
        self.skipping, self.skipped_depth = "", 0
        self.title: list[str] | None = None
        self.heading: tuple[int, list[str]] | None = None
        self.link: tuple[str, list[str]] | None = None

    @property
    def is_full(self) -> bool:
        return self.left <= 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if self.skipping:
            self.skipped_depth += tag == self.skipping
            return
        if tag in _SKIPPED:
            self.skipping, self.skipped_depth = tag, 1
        elif tag == "title" and not self.page.title:
            self.title = []
        elif tag == "a":
            self._end_link()
            if href := next((value for name, value in attrs if name == "href" and value), ""):
                self.link = (href, [])
        elif tag in ("td", "th"):
            self._add(" ")
        elif tag in _BLOCKS:
            self._end_line()
            if tag == "li":
                self._add("- ")
            if tag in _HEADINGS:
                self.heading = (_HEADINGS[tag], [])

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        # `<svg/>` is over at once; of HTML's own, a slash ends nothing.
        if tag not in ("svg", "math"):
            self.handle_starttag(tag, attrs)

    def handle_endtag(self, tag: str) -> None:
        if self.skipping:
            self.skipped_depth -= tag == self.skipping
            if not self.skipped_depth:
                self.skipping = ""
        elif tag in ("title", "head") and self.title is not None:
            self._end_title()
        elif tag == "a":
            self._end_link()
        elif tag in _BLOCKS:
            self._end_line()

    def handle_data(self, data: str) -> None:
        if not self.skipping and not self.is_full:
            self._add(_UNSEEN.sub("", data))

    def finished(self) -> Page:
        """Return the page, with what was begun and never ended."""
        self._end_title()
        self._end_link()
        self._end_line()
        page = self.page
        page.text = re.sub(r"\n{3,}", "\n\n", "\n".join(self.lines)).strip()
        page.is_cut = page.is_cut or self.is_full
        return page

    def _add(self, text: str) -> None:
        if self.title is not None:
            self.title.append(text[: TITLE_MOST * 4])
            return
        # Headings and links are told apart from the text, and are part of it.
        for open_part in (self.heading, self.link):
            if open_part is not None:
                open_part[1].append(text[: HEADING_MOST * 4])
        self.line.append(text)

    def _end_title(self) -> None:
        if self.title is not None:
            self.page.title = _short("".join(self.title), TITLE_MOST)
            self.title = None

    def _end_line(self) -> None:
        if self.heading is not None:
            (level, parts), self.heading = self.heading, None
            if text := _short("".join(parts), HEADING_MOST):
                self._keep(self.page.headings, {"level": level, "text": text}, HEADINGS_MOST)
        text = _SPACES.sub(" ", "".join(self.line)).strip()
        self.line.clear()
        if text in ("", "-"):
            if self.lines and self.lines[-1]:
                self.lines.append("")
            return
        text, is_cut = bounded(text, self.left)
        self.page.is_cut = self.page.is_cut or is_cut
        self.left -= len(text.encode()) + 1
        self.lines.append(text)

    def _end_link(self) -> None:
        if self.link is None:
            return
        (href, parts), self.link = self.link, None
        target = _target(self.url, href)
        found = {"text": _short("".join(parts), LINK_TEXT_MOST), "href": target}
        if target and found not in self.page.links:
            self._keep(self.page.links, found, LINKS_MOST)

    def _keep(self, kept: list[Any], found: Any, most: int) -> None:
        if len(kept) < most:
            kept.append(found)
        else:
            self.page.is_cut = True


def _target(url: str, href: str) -> str:
    """Return where a link leads, without its fragment; empty where that is no page of the web, or the page itself."""
    try:
        target = urljoin(url, _SPACES.sub("", href)).partition("#")[0]
        parts = urlsplit(target)
    except ValueError:
        return ""
    is_page = parts.scheme in ("http", "https") and parts.netloc and "@" not in parts.netloc
    return target if is_page and target != url and len(target) <= HREF_MOST else ""


def _short(text: str, most: int) -> str:
    line = _SPACES.sub(" ", text).strip()
    return line if len(line) <= most else line[: most - 1] + "…"
