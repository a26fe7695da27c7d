"""Fill the shipped templates. What is printed is strangers' text unless a filter says otherwise."""

import re
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import FileSystemLoader, StrictUndefined, TemplateError, Undefined
from jinja2.sandbox import ImmutableSandboxedEnvironment

from runtime.agents.markdown import Markdown, cell, code, inline, one_line

TEMPLATES = Path(__file__).parent / "templates"


class CannotRender(Exception):
    """The template is not there, or the data are not what it needs."""


def template_names() -> dict[str, Path]:
    """Return every shipped template by the name that an instruction gives it."""
    return {path.name.partition(".")[0]: path for path in sorted(TEMPLATES.glob("*.j2"))}


def render(template: str, data: Any) -> str:
    """Return the filled template, or raise CannotRender. The same data always give the same text."""
    path = template_names().get(template)
    if path is None:
        raise CannotRender(f"there is no template {template!r}; there are {', '.join(template_names())}")
    if not isinstance(data, Mapping):
        raise CannotRender("the data of a template must be an object")
    environment = _environment(is_markdown=path.name.endswith(".md.j2"))
    try:
        text = environment.get_template(path.name).render(data)
    except (TemplateError, TypeError, ValueError, KeyError, ArithmeticError) as error:
        raise CannotRender(f"the data do not fit the template {template}: {error}") from None
    return re.sub(r"\n{3,}", "\n\n", text.strip()) + "\n"


@cache
def _environment(*, is_markdown: bool) -> ImmutableSandboxedEnvironment:
    environment = ImmutableSandboxedEnvironment(
        loader=FileSystemLoader(TEMPLATES),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        finalize=_as_markdown if is_markdown else _as_plain,
    )
    environment.filters |= {
        "by_size": by_size, "cell": cell, "code": code, "count": count, "day": day, "days": days, "number": number,
    }  # fmt: skip
    return environment


def number(value: int) -> Markdown:
    """Return a number with separators: 2,114."""
    return Markdown(f"{value:,}")


def count(value: int, one: str, many: str = "") -> Markdown:
    """Return a number with its noun: 1 person, 2 people."""
    return Markdown(f"{value:,} {one if value == 1 else many or one + 's'}")


def day(value: str, form: str = "%-d %B %Y") -> Markdown:
    """Return the day of a time or date in ISO 8601, in words; what is none is shown as the text that it is."""
    known = _day(value)
    return Markdown(known.strftime(form)) if known else inline(str(value))


def days(first: str, last: str) -> Markdown:
    """Return the span between two times in words, as short as it can be said: between 3 and 19 November 2026."""
    start, end = _day(first), _day(last)
    if start is None or end is None:
        return Markdown(f"between {inline(str(first))} and {inline(str(last))}")
    if start == end:
        return Markdown(f"on {start:%-d %B %Y}")
    form = (
        "%-d"
        if (start.year, start.month) == (end.year, end.month)
        else "%-d %B"
        if start.year == end.year
        else "%-d %B %Y"
    )
    return Markdown(f"between {start.strftime(form)} and {end:%-d %B %Y}")


def by_size(files: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return changed files with the largest change first, and by path where that is the same."""
    return sorted(files, key=lambda file: (-(file["added"] + file["removed"]), file["path"]))


def _day(value: Any) -> date | None:
    try:
        return datetime.fromisoformat(str(value)).date()
    except ValueError:
        return None


def _as_markdown(value: Any) -> Any:
    if isinstance(value, Markdown | int | float | Undefined):
        return value
    return inline(str(value))


def _as_plain(value: Any) -> Any:
    if isinstance(value, Markdown | int | float | Undefined):
        return value
    return one_line(str(value))
