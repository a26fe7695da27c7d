"""Documents that agents made, shown to people: Markdown without links that can be followed, images or HTML."""

import json
from collections.abc import MutableMapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import nh3
from django.utils.safestring import SafeString
from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token
from markdown_it.utils import OptionsDict

from worka_site.portal.code import json_lines, text_lines
from worka_site.portal.markup import markup
from worka_site.portal.visible import visible

MOST = 512 * 1024  # bytes of a document that are rendered; the rest is for the download
_DOWN = 2  # a document's h1 stands below the page's h1 and the section's h2
_TAGS = {
    "h3", "h4", "h5", "h6", "p", "ul", "ol", "li", "strong", "em", "code", "pre", "blockquote", "hr", "br",
    "table", "thead", "tbody", "tr", "th", "td", "span",
}  # fmt: skip
_ATTRIBUTES = {
    "span": {"class", "title"},
    "th": {"class", "scope"},
    "td": {"class"},
    "ol": {"start"},
    "pre": {"tabindex"},
}


@dataclass(frozen=True, slots=True)
class Paper:
    """A document as a page shows it. `kind`: `paper` (rendered prose), `code` (numbered lines) or `none`."""

    kind: str
    html: SafeString
    is_cut: bool = False


class _Renderer(RendererHTML):
    """Draw what a stranger wrote: a link is its text and its address, an image is its words."""

    def heading_open(
        self, tokens: Sequence[Token], index: int, options: OptionsDict, env: MutableMapping[str, Any]
    ) -> str:
        return f"<h{min(int(tokens[index].tag[1]) + _DOWN, 6)}>"

    def heading_close(
        self, tokens: Sequence[Token], index: int, options: OptionsDict, env: MutableMapping[str, Any]
    ) -> str:
        return f"</h{min(int(tokens[index].tag[1]) + _DOWN, 6)}>\n"

    def link_open(
        self, tokens: Sequence[Token], index: int, options: OptionsDict, env: MutableMapping[str, Any]
    ) -> str:
        env.setdefault("addresses", []).append((str(tokens[index].attrGet("href") or ""), tokens[index].info == "auto"))
        return ""

    def link_close(
        self, tokens: Sequence[Token], index: int, options: OptionsDict, env: MutableMapping[str, Any]
    ) -> str:
        address, is_auto = env["addresses"].pop()
        return "" if is_auto or not address else f' <span class="address">({visible(address)})</span>'

    def image(self, tokens: Sequence[Token], index: int, options: OptionsDict, env: MutableMapping[str, Any]) -> str:
        return f'<span class="address">[image: {visible(tokens[index].content)}]</span>'

    def text(self, tokens: Sequence[Token], index: int, options: OptionsDict, env: MutableMapping[str, Any]) -> str:
        return visible(tokens[index].content)

    def code_inline(
        self, tokens: Sequence[Token], index: int, options: OptionsDict, env: MutableMapping[str, Any]
    ) -> str:
        return f"<code>{visible(tokens[index].content)}</code>"

    def fence(self, tokens: Sequence[Token], index: int, options: OptionsDict, env: MutableMapping[str, Any]) -> str:
        return f'<pre tabindex="0"><code>{visible(tokens[index].content)}</code></pre>\n'

    def code_block(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: MutableMapping[str, Any]) -> str:
        return self.fence(tokens, idx, options, env)

    def th_open(self, tokens: Sequence[Token], index: int, options: OptionsDict, env: MutableMapping[str, Any]) -> str:
        return f'<th scope="col"{_side(tokens[index])}>'

    def td_open(self, tokens: Sequence[Token], index: int, options: OptionsDict, env: MutableMapping[str, Any]) -> str:
        return f"<td{_side(tokens[index])}>"


def _side(cell: Token) -> str:
    # markdown-it aligns by a style attribute, which the content security policy refuses.
    return ' class="num"' if "right" in str(cell.attrGet("style") or "") else ""


_MARKDOWN = MarkdownIt("commonmark", {"html": False, "maxNesting": 30}, renderer_cls=_Renderer).enable("table")


def markdown(text: str) -> SafeString:
    """Render Markdown: headings two levels down, no HTML, links and images as words, hidden characters spelled out."""
    return markup(nh3.clean(_MARKDOWN.render(text), tags=_TAGS, attributes=_ATTRIBUTES, link_rel=None))


def paper(content: bytes, media_type: str) -> Paper:
    """Show a document's bytes by their media type; what is not text is not shown."""
    is_cut = len(content) > MOST
    try:
        text = content[:MOST].decode("utf-8", "strict" if not is_cut else "ignore")
    except UnicodeDecodeError:
        return Paper("none", markup(escape(f"{len(content):,} bytes that are not text")))
    kind = media_type.split(";", maxsplit=1)[0].strip().lower()
    if kind == "text/markdown":
        return Paper("paper", markdown(text), is_cut)
    if kind == "application/json" and not is_cut:
        try:
            return Paper("code", json_lines(json.loads(text)))
        except ValueError:
            pass  # says it is JSON and is not: shown as the text that it is
    if kind.startswith("text/") or kind in {"application/json", "application/yaml", "application/x-ndjson"}:
        return Paper("code", text_lines(text), is_cut)
    return Paper("none", markup(escape(f"{len(content):,} bytes of {kind or 'an unknown kind'}")))
