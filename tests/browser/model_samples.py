"""What the pages of models are filled with, by example."""

from datetime import timedelta
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

from gateway.model_queries import Spend
from gateway.models import LlmCall
from governance.models import Gate
from tests.browser import rows
from tests.browser.rows import NOW, RUN, WORKSPACE, at, hexes, key
from worka_site.portal.pages.models import TABS, SpendLine, cost_chart, facts_of, used_by
from worka_site.portal.shapes import Crumb, Pages, Tab

LIST = "/admin/gateway/llmcall/"


def call(number: int, state: str, second: float, **more: Any) -> LlmCall:
    return LlmCall(**{
        "id": key(130 + number), "workspace": WORKSPACE, "run": RUN, "step": rows.STEPS[1], "gate": Gate(reason="Allowed: agents.ernest"),
        "job_name": "worka-2a4030-1", "attempt": 1, "agent_name": "ernest", "provider": "anthropic", "model": "claude-sonnet-4-5",
        "streamed": True, "request_digest": hexes("7be1"), "reserved_usd": Decimal("0.068"), "reserved_tokens": 4800,
        "lease_until": at(900), "state": state, "created_at": at(second), "state_changed_at": at(second + 3), "input_tokens": 1840,
        "output_tokens": 612, "cache_write_tokens": 4096, "cost_usd": Decimal("0.03006"), "stop_reason": "tool_use",
        "request_id": "req_011CSHoEeqs5C35K2UUqR7Fy", "finished_at": at(second + 3.2), **more,
    })  # fmt: skip


NONE: dict[str, Any] = {
    "input_tokens": 0,
    "output_tokens": 0,
    "cache_write_tokens": 0,
    "stop_reason": "",
    "request_id": "",
}
LOST = call(3, "lost", 3, **NONE, cost_usd=Decimal("0.068"), error={"code": "lost", "message": f"gone {rows.HOSTILE}"})
CALLS = [
    call(1, "running", 5, **NONE, cost_usd=Decimal(0), finished_at=None),
    call(2, "succeeded", 4),
    LOST,
    call(4, "failed", 2, **NONE, cost_usd=Decimal(0), error={"code": "overloaded", "message": "too many ask"}),
    call(5, "succeeded", 0.5, step=None, agent_name="hari", model=f"claude {rows.HOSTILE}", cost_usd=Decimal("0.0031")),
]
TOTAL = Spend(214, 9, 1_912_430, 203_771, Decimal("8.914"), Decimal("0.068"), NOW)


def models() -> dict[str, Any]:
    """The page as it is first seen: by day."""
    first = (NOW - timedelta(days=13)).date()
    costs = (0, 0.4, 1.1, 0, 0, 0.62, 0.9, 0.31, 1.4, 0, 0, 0.8, 1.92, 1.464)
    used = {
        first + timedelta(days=day): Spend(
            8 + day, day % 3, 9000 * day, 950 * day, Decimal(str(cost)), Decimal("0.068") if day == 13 else Decimal(0)
        )
        for day, cost in enumerate(costs)
        if cost
    }
    lines = [SpendLine(f"{day.day} {day:%b}", used[day]) for day in sorted(used, reverse=True)]
    return {**_frame("day"), "total": TOTAL, "lines": lines, "chart": cost_chart(used, first)}


def model_calls() -> dict[str, Any]:
    """The tab of the calls, of one agent."""
    return {
        **_frame("calls"), "calls": CALLS, "pages": Pages(1, 3, 60, "call"), "only": [SimpleNamespace(key="agent", value="ernest")],
        "is_filtered": True,
    }  # fmt: skip


def model_call() -> dict[str, Any]:
    """A call that nobody counted."""
    from tests.browser.samples import entries

    return {
        "title": "Call", "crumbs": [Crumb("Models", LIST), Crumb("Run 142", LIST), Crumb("Call")], "call": LOST, "run": RUN, "step": LOST.step,
        "used": used_by(LOST), "facts": facts_of(LOST), "entries": entries(),
    }  # fmt: skip


def _frame(by: str) -> dict[str, Any]:
    tabs = [Tab(label, "?" if each == "day" else f"?by={each}", is_current=each == by) for each, label in TABS.items()]
    return {
        "title": "Models", "headline": "Models", "crumbs": [Crumb("Models")], "tabs": tabs, "by": by, "noun": by.capitalize(), "days": 14,
        "dearest": 50, "configured": "claude-sonnet-4-5",
    }  # fmt: skip
