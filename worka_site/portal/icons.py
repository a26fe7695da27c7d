"""Icons: one SVG file each, drawn by reference, and inlined once at the end of the page that uses them."""

import re
from functools import cache
from html import escape
from pathlib import Path
from typing import Any

from django.contrib.staticfiles import finders

_INNER = re.compile(r"<svg[^>]*>(.*)</svg>", re.DOTALL)
_NAMED = re.compile(r'href="#i-([a-z]+)"')


@cache
def drawn(name: str) -> str:
    """Return what is inside an icon's file; an icon that does not exist is a programming error (`LookupError`)."""
    path = finders.find(f"worka/icons/{name}.svg") if name.isalpha() else None
    if path is None:
        raise LookupError(f"there is no icon {name!r} in static/worka/icons")
    inside = _INNER.search(Path(path).read_text(encoding="utf-8"))
    if inside is None:
        raise LookupError(f"the icon {name!r} is not an SVG file")
    return inside[1].strip()


def used_by(request: Any) -> dict[str, None] | None:
    """Return the names of the icons drawn so far on the page that answers this request, in order; None without one."""
    if request is None:
        return None
    if not hasattr(request, "_icons_used"):
        request._icons_used = {}
    used: dict[str, None] = request._icons_used
    return used


def icon(name: str, request: Any = None, *, style: str = "icon") -> str:
    """Draw an icon: by reference if the page can be told, else whole (an error page has no request)."""
    inside = drawn(name)
    used = used_by(request)
    if used is None:
        return f'<svg class="{escape(style)}" viewBox="0 0 24 24" aria-hidden="true">{inside}</svg>'
    used[name] = None
    return f'<svg class="{escape(style)}" aria-hidden="true"><use href="#i-{name}"/></svg>'


def note_used(svg: str, request: Any) -> None:
    """Remember the icons that a drawing refers to."""
    used = used_by(request)
    if used is not None:
        used.update(dict.fromkeys(_NAMED.findall(svg)))


def sprite(request: Any) -> str:
    """Return the symbols of all icons used on the page, to stand once at its end."""
    symbols = "".join(
        f'<symbol id="i-{name}" viewBox="0 0 24 24">{drawn(name)}</symbol>' for name in used_by(request) or ()
    )
    return f'<svg id="icons" hidden xmlns="http://www.w3.org/2000/svg">{symbols}</svg>'
