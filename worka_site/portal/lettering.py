"""Words in drawings: what fits, escaped. SVG does not wrap or cut text, so the server must."""

from html import escape

from worka_site.portal.visible import plain

_NARROW = frozenset("iljtfrI.,:;'|!()[]{} -/\\\"`")
_WIDE = frozenset("mwMW@%—…")


def width(text: str, size: float) -> float:
    """Guess how wide a text is, in pixels at a font size in pixels; it errs on the wide side."""
    return sum(_em(char) for char in text) * size


def fitted(text: str, room: float, size: float) -> str:
    """Return the text cut to `room` pixels with an ellipsis; on one line, hidden characters spelled out, not escaped."""
    line = plain(" ".join(text.split()))
    if width(line, size) <= room:
        return line
    room -= width("…", size)
    kept: list[str] = []
    for char in line:
        room -= _em(char) * size
        if room < 0:
            break
        kept.append(char)
    return "".join(kept).rstrip(" ,.;:-") + "…"


def label(text: str, x: float, y: float, *, style: str = "", room: float = 0, size: float = 12) -> str:
    """Draw a text at a place; `style` names its classes, `room` (0: endless) is what it must fit into."""
    shown = fitted(text, room, size) if room else plain(text)
    named = f' class="{style}"' if style else ""
    return f'<text{named} x="{number(x)}" y="{number(y)}">{escape(shown)}</text>'


def number(value: float) -> str:
    """Write a coordinate: at most one decimal, no trailing zero."""
    return f"{value:.1f}".removesuffix(".0")


def _em(char: str) -> float:
    if char in _NARROW:
        return 0.34
    if char in _WIDE:
        return 0.92
    if ord(char) > 0x2E7F:
        return 1.0
    return 0.68 if char.isupper() else 0.57
