"""What makes pages live: a log that grows without notices, and a stream that only a page in view holds."""

from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.browser import sample_site, samples
from tests.browser.conftest import Visit
from tests.browser.test_pages import PAGES
from worka_site.portal.shapes import LogLine

pytestmark = pytest.mark.browser

COUNT_STREAMS = """
window.streams = [];
window.EventSource = class extends window.EventSource { constructor(...given) { super(...given); window.streams.push(this); } };
window.seen = "visible";
Object.defineProperty(document, "visibilityState", { get: () => window.seen });
"""
OPEN = "window.streams.filter((stream) => stream.readyState !== EventSource.CLOSED).length"


def test_a_growing_log_is_followed_until_the_job_ends(
    visit: Callable[..., Visit], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def job() -> dict[str, Any]:
        asked.append(1)
        lines = [LogLine("", f"line {number}") for number in range(len(asked))]
        return {**samples.job(), "lines": lines, "is_live": len(asked) < 3}

    monkeypatch.setitem(sample_site.FILLED, "runtime.agentjob.row", job)
    there = visit()
    page = there.open(PAGES["job"])
    page.evaluate("window.here = true")

    expect(page.get_by_role("log")).to_contain_text("line 2", timeout=15_000)

    assert page.evaluate("window.here")
    expect(page.locator("[data-live-every]")).to_have_count(0)
    assert there.wrongs == []


def test_a_page_that_nobody_sees_gives_its_stream_back_and_takes_it_up_again(visit: Callable[..., Visit]) -> None:
    there = visit()
    there.page.add_init_script(COUNT_STREAMS)
    page = there.open(PAGES["desk"])
    assert page.evaluate(OPEN) == 1

    page.evaluate("window.seen = 'hidden'; document.dispatchEvent(new Event('visibilitychange'))")
    hidden = page.evaluate(OPEN)
    page.evaluate("window.seen = 'visible'; document.dispatchEvent(new Event('visibilitychange'))")

    assert (hidden, page.evaluate(OPEN)) == (0, 1)
    assert there.wrongs == []
