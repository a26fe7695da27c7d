"""Which function fills which page.

The rows' admin classes live in the apps that own the rows and may not import the portal; they ask the admin site to
fill a page by its name, and the modules in `pages/` say which names they fill.
"""

from collections.abc import Callable
from typing import Any

from django.http import HttpRequest

Builder = Callable[..., dict[str, Any]]

_BUILDERS: dict[str, Builder] = {}


def page(name: str) -> Callable[[Builder], Builder]:
    """Say that a function fills the page of this name; a second one for the same name is a programming error."""

    def register(builder: Builder) -> Builder:
        if _BUILDERS.setdefault(name, builder) is not builder:
            raise ValueError(f"the page {name!r} is filled twice")
        return builder

    return register


def fill(name: str, request: HttpRequest, *args: Any) -> dict[str, Any]:
    """Return what a page's template shows; a page that nobody fills is a programming error (`LookupError`)."""
    try:
        builder = _BUILDERS[name]
    except KeyError:
        raise LookupError(f"nobody fills the page {name!r}") from None
    return builder(request, *args)


def is_filled(name: str) -> bool:
    """Say whether some module fills this page."""
    return name in _BUILDERS


def page_names() -> frozenset[str]:
    """Return the names of all pages that are filled."""
    return frozenset(_BUILDERS)
