"""Small charts for the desk: one question each, drawn as SVG."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from django.utils.safestring import SafeString

from worka_site.portal.lettering import label, number
from worka_site.portal.markup import markup

WIDE, FLOOR, HIGH = 309, 84, 104
_ROOM = 76.0


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a chart: a plain part, and what stands on it as (tone, value)."""

    plain: float
    marks: tuple[tuple[str, float], ...] = ()

    @property
    def height(self) -> float:
        return self.plain + sum(value for _, value in self.marks)


def columns(
    values: Sequence[Column],
    *,
    title: str,
    feet: tuple[str, str, str],
    prefix: str,
    limit: float | None = None,
    limit_word: str = "",
) -> SafeString:
    """Draw columns over a line; `feet` are the words below the first, the middle and the last, `limit` is a dashed line."""
    top = max([column.height for column in values] + ([limit] if limit else []) + [1e-9])
    slot = WIDE / max(len(values), 1)
    wide = slot - max(slot * 0.25, 2)
    drawn = [f'<path class="axis" d="M0 {FLOOR}.5h{WIDE}"/>']
    for index, column in enumerate(values):
        x, y = index * slot, float(FLOOR)
        parts = [("bar", column.plain), *((f"mark is-{tone}", value) for tone, value in column.marks)]
        for style, value in parts:
            if value <= 0:
                continue
            tall = max(value / top * _ROOM, 1.7)
            y -= tall
            drawn.append(
                f'<rect class="{style}" x="{number(x)}" y="{number(y)}" width="{number(wide)}" height="{number(tall)}"/>'
            )
            y -= 1
    if limit:
        y = FLOOR - limit / top * _ROOM
        drawn.append(f'<path class="limit" d="M0 {number(y)}h{WIDE}"/>{label(limit_word, 0, y + 12, style="q")}')
    places = ((0, "q"), (WIDE / 2, "q mid"), (WIDE, "q e"))
    drawn += [label(foot, x, 101, style=style) for foot, (x, style) in zip(feet, places, strict=True) if foot]
    return markup(
        f'<svg viewBox="0 -8 312 {HIGH + 8}" role="img" aria-labelledby="{prefix}-t">'
        f'<title id="{prefix}-t">{escape(title)}</title>{"".join(drawn)}</svg>'
    )


def segments(done: int, total: int, tone: str) -> SafeString:
    """Draw progress as one short segment per step."""
    if total < 1:
        return markup("")
    wide = (72 - 2 * (total - 1)) / total if total <= 24 else 72 / total
    step = wide + (2 if total <= 24 else 0)
    boxes = "".join(
        f'<rect{" class=" + chr(34) + "mark" + chr(34) if index < done else ""} x="{number(index * step)}" width="{number(wide)}" height="6" rx="2"/>'
        for index in range(total)
    )
    return markup(
        f'<svg class="segments is-{escape(tone)}" viewBox="0 0 72 6" role="img" aria-label="{done} of {total} steps done"><g>{boxes}</g></svg>'
    )
