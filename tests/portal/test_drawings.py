"""Drawings are valid, say in words what they show, and never write what strangers wrote as markup."""

import re
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worka_site.portal.charts import Column, columns, segments
from worka_site.portal.drawing import BOX_WIDTH, GAP_X, PAGE_WIDTH, PlanNode, layers, plan_graph
from worka_site.portal.gantt import LEFT, RIGHT, Bar, GanttRow, Scale, gantt
from worka_site.portal.lettering import fitted, width

REPORT = [
    PlanNode("a", 1, "Collect facts", "ernest, direct", "succeeded"),
    PlanNode("b", 2, "Write the report", "ernest, render", "succeeded", ("a",)),
    PlanNode("c", 3, "File the report", "ernest, direct", "suspended", ("b",)),
    PlanNode("d", 4, "Tell the requester", "daneel, direct", "pending", ("b", "c")),
]


def parsed(markup: str) -> ET.Element:
    return ET.fromstring(markup)


def texts(markup: str, style: str | None = None) -> list[str]:
    return [node.text or "" for node in parsed(markup).iter("text") if style is None or node.get("class") == style]


@st.composite
def plans(draw: st.DrawFn) -> list[PlanNode]:
    count = draw(st.integers(1, 20))
    states = st.sampled_from(
        ["pending", "ready", "running", "suspended", "succeeded", "failed", "refused", "skipped", "cancelled"]
    )
    nodes = []
    for number in range(count):
        needs = draw(st.sets(st.integers(0, number - 1), max_size=4)) if number else set()
        nodes.append(
            PlanNode(
                str(number),
                number + 1,
                draw(st.text(max_size=80)),
                draw(st.text(max_size=40)),
                draw(states),
                tuple(map(str, sorted(needs))),
            )
        )
    return nodes


@given(plans())
def test_every_step_stands_right_of_all_that_it_needs(nodes: list[PlanNode]) -> None:
    column = {node.key: index for index, members in enumerate(layers(nodes)) for node in members}

    assert sorted(column) == sorted(node.key for node in nodes)
    assert all(column[need] < column[node.key] for node in nodes for need in node.needs)


@given(plans())
def test_any_plan_is_drawn_as_a_valid_picture_with_one_box_per_step_and_one_line_per_need(
    nodes: list[PlanNode],
) -> None:
    markup = plan_graph(nodes, title="Plan")
    root = parsed(re.sub(r"[^\x09\x0a\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", "?", markup))

    boxes = [(float(box.get("x", 0)), float(box.get("y", 0))) for box in root.iter("rect")]
    assert len(boxes) == len(set(boxes)) == len(nodes)
    assert sum(path.get("class", "").startswith("edge") for path in root.iter("path")) == sum(
        len(node.needs) for node in nodes
    )
    assert "style" not in markup
    assert not re.search(r"\son\w+=", markup)


def test_a_plan_says_in_words_what_it_shows() -> None:
    root = parsed(plan_graph(REPORT, title="Plan of run 142"))

    assert root.findtext("title") == "Plan of run 142"
    assert root.findtext("desc") == (
        "4 steps. 1 Collect facts, succeeded. 2 Write the report, succeeded, needs 1. "
        "3 File the report, suspended, needs 2. 4 Tell the requester, pending, needs 2 and 3."
    )


def test_what_waits_is_hot_and_what_comes_later_is_dashed() -> None:
    markup = plan_graph(REPORT, title="Plan")

    assert markup.count('class="node hot"') == 1
    assert markup.count('class="node later"') == 1
    assert markup.count('class="edge later"') == 2


def test_a_hostile_title_stays_text() -> None:
    markup = plan_graph(
        [PlanNode("a", 1, '"/><script>alert(1)</script>\u202e', "<b>", "running")], title="</title><script>"
    )

    assert "<script" not in markup
    assert "\u202e" not in markup
    assert parsed(markup).findtext("title") == "</title><script>"


def test_a_long_title_is_cut_to_its_box_and_whole_on_hover() -> None:
    long = "Compare every file of the two revisions and write down what changed in each"
    markup = plan_graph([PlanNode("a", 1, long, "ernest", "running")], title="Plan")

    assert texts(markup, "t")[0].endswith("…")
    assert width(texts(markup, "t")[0], 13) <= BOX_WIDTH - 28
    assert parsed(markup).find("g/title").text == long  # type: ignore[union-attr]


def test_a_deep_plan_keeps_its_size_and_scrolls() -> None:
    chain = [PlanNode(str(number), number, "Step", "ernest", "pending", (str(number - 1),)) for number in range(1, 9)]

    root = parsed(plan_graph(chain, title="Plan"))

    assert root.get("width") == str(8 * (BOX_WIDTH + GAP_X) - GAP_X)
    assert root.get("class") == "natural"
    assert parsed(plan_graph(REPORT, title="Plan")).get("viewBox", "").split()[2] == str(PAGE_WIDTH)


def test_no_steps_are_no_picture() -> None:
    assert plan_graph([], title="Plan") == ""
    assert gantt([], now_s=1, is_open=True, title="Time") == ""


WAITING = [
    GanttRow("Plan", "hari", (Bar(0.1, 1.2, "work", "1.1 s"),)),
    GanttRow(
        "1 File",
        "ernest",
        (Bar(1.3, 2.0, "work"), Bar(2.0, None, "wait", "held, 3 h 22 min", is_wait=True)),
        ((1.4, 1.6),),
    ),
]


def test_a_wait_over_a_minute_is_folded_and_work_is_not() -> None:
    scale = Scale(WAITING, 12120)

    assert len(scale.folds) == 1
    assert scale.x(0) == LEFT
    assert scale.x(12120) == pytest.approx(RIGHT)
    assert scale.x(2.0) - scale.x(1.0) > 100
    assert "folded" in texts(gantt(WAITING, now_s=12120, is_open=True, title="Time"))
    assert "folded" not in texts(gantt(WAITING, now_s=50, is_open=True, title="Time"))
    assert Scale([GanttRow("1", "e", (Bar(0, 9000),))], 9000).folds == []


@given(st.lists(st.tuples(st.floats(0, 1e5), st.floats(0, 1e4)), min_size=1, max_size=8), st.floats(0, 2e5))
def test_time_never_runs_backwards_on_the_drawing(bars: list[tuple[float, float]], later: float) -> None:
    now = max(start + long for start, long in bars) + later
    scale = Scale([GanttRow("x", "y", tuple(Bar(start, start + long) for start, long in bars))], now)

    places = [scale.x(now * step / 97) for step in range(98)]

    assert places == sorted(places)
    assert places[0] >= LEFT - 0.001
    assert places[-1] <= RIGHT + 0.001


@given(
    st.lists(
        st.tuples(st.text(max_size=30), st.floats(0, 1e5), st.none() | st.floats(0, 1e4), st.booleans()),
        min_size=1,
        max_size=6,
    )
)
def test_any_timeline_is_a_valid_picture_inside_its_frame(rows: list[tuple[str, float, float | None, bool]]) -> None:
    lines = [
        GanttRow(title, "ernest", (Bar(start, None if long is None else start + long, "work", title, is_wait=wait),))
        for title, start, long, wait in rows
    ]
    now = max(start + (long or 0) for _, start, long, _ in rows) + 1

    root = parsed(
        re.sub(
            r"[^\x09\x0a\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]",
            "?",
            gantt(lines, now_s=now, is_open=False, title="Time"),
        )
    )

    bars = [box for box in root.iter("rect") if box.get("class", "").startswith("pale")]
    assert len(bars) == len(lines)
    assert all(float(bar.get("x", 0)) >= LEFT - 1 and float(bar.get("width", 0)) >= 1.9 for bar in bars)


def test_a_timeline_says_in_words_what_it_shows() -> None:
    assert parsed(gantt(WAITING, now_s=12120, is_open=True, title="Time")).findtext("desc") == (
        "Plan: at work for 1.1 s. 1 File: at work for 700 ms, held, 3 h 22 min for 3 h 21 min, 1 call."
    )


def test_columns_stand_on_the_line_and_a_part_that_is_not_nothing_is_seen() -> None:
    root = parsed(
        columns(
            [Column(10, (("wait", 0.01), ("fail", 0))), Column(0)], title="Decisions", feet=("a", "", "b"), prefix="c"
        )
    )

    boxes = [(box.get("class"), float(box.get("height", 0))) for box in root.iter("rect")]
    assert [style for style, _ in boxes] == ["bar", "mark is-wait"]
    assert boxes[1][1] >= 1.7


def test_a_limit_is_drawn_where_it_is() -> None:
    root = parsed(columns([Column(5)], title="Spend", feet=("", "", ""), prefix="c", limit=10, limit_word="limit $10"))

    assert [path.get("d") for path in root.iter("path") if path.get("class") == "limit"] == ["M0 8h309"]


@pytest.mark.parametrize(("done", "total"), [(0, 4), (2, 4), (20, 20), (3, 60)])
def test_progress_has_one_segment_per_step(done: int, total: int) -> None:
    root = parsed(segments(done, total, "wait"))

    assert sum(1 for _ in root.iter("rect")) == total
    assert sum(box.get("class") == "mark" for box in root.iter("rect")) == done
    assert root.get("aria-label") == f"{done} of {total} steps done"
    assert segments(0, 0, "wait") == ""


@given(st.text(max_size=200), st.floats(20, 400))
def test_a_fitted_text_fits(text: str, room: float) -> None:
    shown = fitted(text, room, 12)

    assert width(shown, 12) <= room + 0.001
    assert "\n" not in shown
