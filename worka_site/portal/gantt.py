"""The timeline of a run: jobs, the calls below them, and waits; a pure function from values to SVG."""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from django.utils.safestring import SafeString

from worka_site.portal.lettering import label, number, width
from worka_site.portal.markup import markup
from worka_site.portal.times import span
from worka_site.portal.visible import plain

FOLD_AFTER_S = 60.0  # a time in which nothing but waiting happens, longer than this, is folded
WIDE, LEFT, RIGHT = 936, 190, 936
ROW, TOP = 34, 34
FOLDED = 110  # pixels of a folded wait
FIRST_STEPS = (1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200)


@dataclass(frozen=True, slots=True)
class Bar:
    """A stretch of time, in seconds since the run began. `end` None: it still lasts. `word` is written beside or below."""

    start: float
    end: float | None
    tone: str = "work"
    word: str = ""
    is_wait: bool = False


@dataclass(frozen=True, slots=True)
class GanttRow:
    """A line of the timeline: a job or step, who does it, its bars, the calls (start, end) below them."""

    title: str
    who: str
    bars: tuple[Bar, ...] = ()
    calls: tuple[tuple[float, float | None], ...] = ()
    note: str = ""
    tone: str = "idle"


class Scale:
    """Where a second stands, in pixels: linear, but for the folds."""

    def __init__(self, rows: Sequence[GanttRow], now: float) -> None:
        self.now = max(now, 0.001)
        self.folds = _folds(rows, self.now)
        folded = sum(end - start for start, end in self.folds)
        room = max(RIGHT - LEFT - FOLDED * len(self.folds), 120)
        self.per_second = room / max(self.now - folded, 0.001)
        self.fold_width = (RIGHT - LEFT - room) / len(self.folds) if self.folds else 0.0
        self._starts = [start for start, _ in self.folds]

    def x(self, second: float) -> float:
        """Return the place of a moment."""
        second = min(max(second, 0.0), self.now)
        whole = bisect_right(self._starts, second)
        shift, hidden = 0.0, 0.0
        for start, end in self.folds[:whole]:
            into = min(second, end) - start
            shift += self.fold_width * into / (end - start)
            hidden += into
        return LEFT + (second - hidden) * self.per_second + shift

    def is_folded(self, second: float) -> bool:
        """Say whether a moment lies inside a fold."""
        return any(start < second < end for start, end in self.folds)


def _folds(rows: Sequence[GanttRow], now: float) -> list[tuple[float, float]]:
    """Return the stretches, longer than `FOLD_AFTER_S`, in which no job and no call was at work."""
    busy = sorted(
        [(bar.start, now if bar.end is None else bar.end) for row in rows for bar in row.bars if not bar.is_wait]
        + [(start, now if end is None else end) for row in rows for start, end in row.calls]
    )
    folds, at = [], 0.0
    for start, end in [*busy, (now, now)]:
        if start - at > FOLD_AFTER_S:
            # Leave a little of the wait on both sides, so that the bar is seen to begin before it folds.
            folds.append((at + FOLD_AFTER_S / 60, start - FOLD_AFTER_S / 60))
        at = max(at, end)
    return folds


def gantt(rows: Sequence[GanttRow], *, now_s: float, is_open: bool, title: str, prefix: str = "time") -> SafeString:
    """Draw the timeline; `now_s` is the last moment shown, in seconds since the beginning. No rows: an empty string."""
    if not rows:
        return markup("")
    scale = Scale(rows, now_s)
    high = TOP + ROW * len(rows)
    drawn = [_grid(scale, high, is_open)]
    drawn += [_row(row, TOP + index * ROW, scale) for index, row in enumerate(rows)]
    drawn += [_fold(scale.x((start + end) / 2), high) for start, end in scale.folds]
    return markup(
        f'<svg viewBox="0 0 {WIDE} {high}" role="img" aria-labelledby="{prefix}-t {prefix}-d">'
        f'<title id="{prefix}-t">{escape(plain(title))}</title><desc id="{prefix}-d">{escape(_told(rows, now_s))}</desc>'
        f"{''.join(drawn)}</svg>"
    )


def _grid(scale: Scale, high: float, is_open: bool) -> str:
    step = next((step for step in FIRST_STEPS if step * scale.per_second >= 84), FIRST_STEPS[-1])
    drawn: list[str] = []
    second, last = 0.0, LEFT - 100.0
    while second <= scale.now and len(drawn) < 24:
        x = scale.x(second)
        if not scale.is_folded(second) and x - last >= 56 and x <= RIGHT - 40:
            drawn.append(
                f'<path class="grid" d="M{number(x)} 22V{number(high)}"/>{label(span(second), x, 14, style="q mid")}'
            )
            last = x
        second += step
        covering = next((end for start, end in scale.folds if start < second < end), None)
        if covering is not None:
            second = step * -(-covering // step)
    return "".join(drawn) + label("now" if is_open else "end", RIGHT, 14, style="q e")


def _row(row: GanttRow, y: float, scale: Scale) -> str:
    drawn = [label(row.title, 0, y + 12, style="t", room=LEFT - 24 - width(row.who, 11), size=13)]
    drawn.append(label(row.who, LEFT - 18, y + 12, style="q e"))
    end = float(LEFT)
    for bar in row.bars:
        x1, x2 = scale.x(bar.start), scale.x(scale.now if bar.end is None else bar.end)
        x2 = max(x2, x1 + 2)
        drawn.append(
            f'<rect class="pale is-{bar.tone}" x="{number(x1)}" y="{number(y)}" width="{number(x2 - x1)}" height="14" rx="3"/>'
        )
        if bar.is_wait and bar.word:
            long = width(bar.word, 12)
            place = _beside_folds(min(max(x1 + 6, (x1 + x2 - long) / 2), RIGHT - long), long, scale)
            drawn.append(f'<g class="is-{bar.tone}">{label(bar.word, place, y + 28, style="word")}</g>')
        end = max(end, x2)
    for start, stop in row.calls:
        x1, x2 = scale.x(start), scale.x(scale.now if stop is None else stop)
        drawn.append(
            f'<rect class="mark" x="{number(x1)}" y="{number(y + 17)}" width="{number(max(x2 - x1, 3))}" height="4" rx="1.5"/>'
        )
    note = row.note or next((bar.word for bar in row.bars if bar.word and not bar.is_wait), "")
    if note:
        long = width(note, 11)
        if end + 6 + long <= RIGHT:
            drawn.append(label(note, end + 6, y + 11, style="q"))
        elif not any(bar.is_wait and bar.word for bar in row.bars):  # else its place below the bar is taken
            drawn.append(label(note, max(RIGHT - long, LEFT), y + 30, style="q"))
    return f'<g class="is-{row.tone}">{"".join(drawn)}</g>'


def _beside_folds(x: float, long: float, scale: Scale) -> float:
    """Move a word out of the way of the folds: to the right of one if it fits there, else to the left."""
    for start, end in scale.folds:
        middle = scale.x((start + end) / 2)
        if x - 14 < middle < x + long + 14:
            x = middle + 16 if middle + 16 + long <= RIGHT else middle - 16 - long
    return x


def _fold(x: float, high: float) -> str:
    teeth = max(2, int((high - 22) // 17))
    down = "".join("l8 17" if tooth % 2 == 0 else "l-8 17" for tooth in range(teeth))
    up = "".join("l8-17" if tooth % 2 else "l-8-17" for tooth in reversed(range(teeth)))
    path = f'<path class="track" d="M{number(x - 9)} 22{down}h10{up}z"/>'
    return path + label("folded", x, 14, style="q mid")


def _told(rows: Sequence[GanttRow], now: float) -> str:
    told = []
    for row in rows:
        parts = [
            f"{bar.word or 'waited' if bar.is_wait else 'at work'} for {span((now if bar.end is None else bar.end) - bar.start)}"
            for bar in row.bars
        ]
        calls = f", {len(row.calls)} {'call' if len(row.calls) == 1 else 'calls'}" if row.calls else ""
        told.append(f"{plain(row.title)}: {', '.join(parts) or row.note or 'has not begun'}{calls}.")
    return " ".join(told)
