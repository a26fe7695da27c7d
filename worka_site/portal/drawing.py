"""The plan as a graph: steps as boxes in layers, dependencies as lines; a pure function from values to SVG."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

from django.utils.safestring import SafeString

from worka_site.portal.lettering import fitted, label, number
from worka_site.portal.looks import STEP, Look
from worka_site.portal.markup import markup
from worka_site.portal.visible import plain

BOX_WIDTH, BOX_HEIGHT = 204, 92
GAP_X, GAP_Y = 40, 20
HEAD = 34  # the line above the graph
PAGE_WIDTH = 936
LANE = 12  # between the lines that run below the boxes


@dataclass(frozen=True, slots=True)
class PlanNode:
    """One step to draw. `needs` holds the keys of the steps it depends on; `state` is a step's state."""

    key: str
    number: int
    title: str
    detail: str
    state: str
    needs: tuple[str, ...] = ()
    note: str = ""

    @property
    def is_later(self) -> bool:
        return self.state in {"pending", "skipped", "cancelled"}


@dataclass(frozen=True, slots=True)
class _Place:
    column: int
    row: int
    x: float
    y: float
    is_lowest: bool

    @property
    def middle(self) -> float:
        return self.y + BOX_HEIGHT / 2


def layers(nodes: Sequence[PlanNode]) -> list[list[PlanNode]]:
    """Sort steps into columns: each stands right of all it needs; within a column, near what it needs.

    A need that is not drawn is ignored; a cycle (which no stored plan has) ends in the last column it was met in.
    """
    known = {node.key: node for node in nodes}
    depth: dict[str, int] = {}

    def deep(key: str, above: frozenset[str]) -> int:
        if key not in depth:
            needs = [need for need in known[key].needs if need in known and need not in above]
            depth[key] = max((deep(need, above | {key}) + 1 for need in needs), default=0)
        return depth[key]

    columns: list[list[PlanNode]] = [
        [] for _ in range(max((deep(node.key, frozenset({node.key})) for node in nodes), default=-1) + 1)
    ]
    for node in nodes:
        columns[depth[node.key]].append(node)
    row = {node.key: index for column in columns for index, node in enumerate(column)}
    for column in columns[1:]:
        column.sort(
            key=lambda node: (_mean([row[need] for need in node.needs if need in row], row[node.key]), node.number)
        )
        row.update({node.key: index for index, node in enumerate(column)})
    return columns


def plan_graph(nodes: Sequence[PlanNode], *, title: str, caption: str = "", prefix: str = "plan") -> SafeString:
    """Draw the plan; `prefix` keeps the ids of two drawings on one page apart. No steps: an empty string."""
    if not nodes:
        return markup("")
    columns = layers(nodes)
    tallest = max(len(column) for column in columns)
    places = _places(columns, tallest)
    bottom = HEAD + tallest * BOX_HEIGHT + (tallest - 1) * GAP_Y
    edges, lanes = _edges(nodes, places, bottom)
    wide = max(PAGE_WIDTH, len(columns) * (BOX_WIDTH + GAP_X) - GAP_X)
    high = bottom + (lanes * LANE + 14 if lanes else 1)
    natural = f' class="natural" width="{wide}" height="{high}"' if wide > PAGE_WIDTH else ""
    return markup(
        f'<svg viewBox="0 0 {wide} {high}"{natural} role="img" aria-labelledby="{prefix}-t {prefix}-d">'
        f'<title id="{prefix}-t">{escape(plain(title))}</title><desc id="{prefix}-d">{escape(_told(nodes))}</desc>'
        f"{''.join(edges)}{''.join(_box(node, places[node.key]) for node in nodes)}"
        f"{label(caption, 0, 14, style='q', room=wide, size=11) if caption else ''}</svg>"
    )


def _mean(values: Sequence[int], otherwise: float) -> float:
    return sum(values) / len(values) if values else otherwise


def _places(columns: Sequence[Sequence[PlanNode]], tallest: int) -> dict[str, _Place]:
    places = {}
    for column, members in enumerate(columns):
        top = HEAD + (tallest - len(members)) * (BOX_HEIGHT + GAP_Y) / 2
        for row, node in enumerate(members):
            x, y = column * (BOX_WIDTH + GAP_X), top + row * (BOX_HEIGHT + GAP_Y)
            places[node.key] = _Place(column, row, x, y, row == len(members) - 1)
    return places


def _edges(nodes: Sequence[PlanNode], places: Mapping[str, _Place], bottom: float) -> tuple[list[str], int]:
    drawn, lanes = [], 0
    for node in nodes:
        for need in node.needs:
            if need not in places or places[need].column >= places[node.key].column:
                continue
            later = " later" if node.is_later else ""
            start, end = places[need], places[node.key]
            if end.column - start.column == 1:
                drawn.append(_near(start, end, later))
            else:
                lanes += 1
                drawn.append(_far(start, end, bottom + lanes * LANE + 2, later))
    return drawn, lanes


def _near(start: _Place, end: _Place, later: str) -> str:
    x, reach = start.x + BOX_WIDTH, GAP_X - 6
    across = (
        f"h{reach}"
        if start.middle == end.middle
        else f"c20 0 {reach - 20} {number(end.middle - start.middle)} {reach} {number(end.middle - start.middle)}"
    )
    tip = f'<path class="tip" d="m{number(end.x - 6)} {number(end.middle - 4.5)} 7 4.5-7 4.5z"/>'
    return f'<path class="edge{later}" d="M{number(x)} {number(start.middle)}{across}"/>{tip}'


def _far(start: _Place, end: _Place, lane: float, later: str) -> str:
    """Draw a line that passes columns: below all boxes, down and up where no box stands."""
    if start.is_lowest:
        path = f"M{number(start.x + BOX_WIDTH / 2)} {number(start.y + BOX_HEIGHT)}V{number(lane - 10)}"
    else:
        path = f"M{number(start.x + BOX_WIDTH)} {number(start.middle)}h2q10 0 10 10V{number(lane - 10)}"
    if end.is_lowest:
        x2, floor = end.x + BOX_WIDTH / 2, end.y + BOX_HEIGHT
        path += f"q0 10 10 10H{number(x2 - 10)}q10 0 10-10V{number(floor + 7)}"
        tip = f"m{number(x2 - 4.5)} {number(floor + 8)} 4.5-7 4.5 7z"
    else:
        x2 = end.x - 24
        path += f"q0 10 10 10H{number(x2 - 10)}q10 0 10-10V{number(end.middle + 10)}q0-10 10-10h8"
        tip = f"m{number(end.x - 6)} {number(end.middle - 4.5)} 7 4.5-7 4.5z"
    return f'<path class="edge{later}" d="{path}"/><path class="tip" d="{tip}"/>'


def _box(node: PlanNode, place: _Place) -> str:
    look, x, y = STEP[node.state], place.x, place.y
    kind = "node later" if node.is_later else "node hot" if look.tone in {"wait", "fail", "odd"} else "node"
    inner = BOX_WIDTH - 28
    return (
        f'<g class="is-{look.tone}"><title>{escape(plain(node.title))}</title>'
        f'<rect class="{kind}" x="{number(x)}" y="{number(y)}" width="{BOX_WIDTH}" height="{BOX_HEIGHT}" rx="8"/>'
        f"{label(f'Step {node.number}', x + 14, y + 22, style='q')}"
        f"{label(node.title, x + 14, y + 41, style='t', room=inner, size=13)}"
        f"{label(node.detail, x + 14, y + 59, room=inner)}"
        f"{_state(look, x + 13, y + 67)}"
        f"{label(node.note, x + BOX_WIDTH - 14, y + 79, style='q e', room=inner - 100, size=11) if node.note else ''}</g>"
    )


def _state(look: Look, x: float, y: float) -> str:
    return (
        f'<svg x="{number(x)}" y="{number(y)}" width="15" height="15" viewBox="0 0 24 24" class="ink">'
        f'<use href="#i-{look.icon}"/></svg>{label(look.word, x + 20, y + 12, style="word")}'
    )


def _told(nodes: Sequence[PlanNode]) -> str:
    """Say the drawing in words, for those who do not see it."""
    numbers = {node.key: node.number for node in nodes}
    told = []
    for node in nodes:
        needs = sorted(numbers[need] for need in node.needs if need in numbers)
        after = f", needs {' and '.join(str(need) for need in needs)}" if needs else ""
        told.append(f"{node.number} {fitted(node.title, 600, 12)}, {STEP[node.state].word.lower()}{after}.")
    return f"{len(nodes)} {'step' if len(nodes) == 1 else 'steps'}. {' '.join(told)}"
