"""Two texts compared, as lines with what changed in them marked; escaped on the server like all code."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from html import escape

from django.utils.safestring import SafeString

from worka_site.portal.markup import markup
from worka_site.portal.visible import visible

LINES = 1500  # of each text; comparing takes longer than linear time
SHOWN = 600
CONTEXT = 3
_LONGEST_MARKED = 400  # characters of a line; in longer ones the whole line is marked by its colour alone
_WORD = re.compile(r"\w+|\s+|[^\w\s]")


@dataclass(frozen=True, slots=True)
class Difference:
    """What differs: `html` holds the lines, `added` and `removed` count them; nothing differs when both are 0."""

    html: SafeString
    added: int = 0
    removed: int = 0
    is_cut: bool = False

    def __bool__(self) -> bool:
        return bool(self.added or self.removed)


def difference(before: str, after: str, *, heading: str = "") -> Difference:
    """Compare two texts line by line, with three lines around each change."""
    old, new = before.splitlines(), after.splitlines()
    is_cut = len(old) > LINES or len(new) > LINES
    old, new = old[:LINES], new[:LINES]
    drawn = [f'<span class="l hunk">{visible(heading)}</span>'] if heading else []
    added = removed = 0
    matcher = SequenceMatcher(None, old, new, autojunk=False)
    for number, group in enumerate(matcher.get_grouped_opcodes(CONTEXT)):
        if number:
            drawn.append('<span class="l hunk">…</span>')
        for kind, first, last, start, end in group:
            if kind == "equal":
                drawn += [_line("", start + index + 1, visible(text)) for index, text in enumerate(new[start:end])]
                continue
            removed, added = removed + last - first, added + end - start
            drawn += _changed(old[first:last], new[start:end], first, start)
    if len(drawn) > SHOWN:
        drawn, is_cut = drawn[:SHOWN], True
    return Difference(markup("".join(drawn)), added, removed, is_cut)


def together(parts: Sequence[Difference]) -> Difference:
    """Return several differences as one, those that differ."""
    kept = [part for part in parts if part]
    return Difference(
        markup("".join(part.html for part in kept)),
        sum(part.added for part in kept),
        sum(part.removed for part in kept),
        any(part.is_cut for part in kept),
    )


def _changed(old: Sequence[str], new: Sequence[str], first: int, start: int) -> Iterator[str]:
    """Yield a changed block: what is gone, then what is new; where lines face each other, their words are compared."""
    pairs = [_marked(gone, come) for gone, come in zip(old, new, strict=False)] if len(old) == len(new) else []
    for index, text in enumerate(old):
        yield _line("del", first + index + 1, pairs[index][0] if pairs else visible(text))
    for index, text in enumerate(new):
        yield _line("add", start + index + 1, pairs[index][1] if pairs else visible(text))


def _marked(gone: str, come: str) -> tuple[str, str]:
    if max(len(gone), len(come)) > _LONGEST_MARKED:
        return visible(gone), visible(come)
    old, new = _WORD.findall(gone), _WORD.findall(come)
    left: list[str] = []
    right: list[str] = []
    for kind, first, last, start, end in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        was, is_now = visible("".join(old[first:last])), visible("".join(new[start:end]))
        if kind == "equal":
            left.append(was)
            right.append(is_now)
        else:
            left.append(f"<mark>{was}</mark>" if was else "")
            right.append(f"<mark>{is_now}</mark>" if is_now else "")
    return "".join(left), "".join(right)


def _line(kind: str, number: int, drawn: str) -> str:
    style = f"l {kind}" if kind else "l"
    return f'<span class="{escape(style)}" data-n="{number}">{drawn}</span>'
