"""Every page of the console, filled with samples: whole, accessible, and within the content security policy."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser

from tests.browser import rows
from tests.browser.conftest import Visit
from tests.browser.model_samples import LOST

pytestmark = pytest.mark.browser

PAGES = {
    "desk": "/admin/",
    "new_request": "/admin/new/",
    "runs": "/admin/governance/run/",
    "run": f"/admin/governance/run/{rows.RUN.pk}/change/",
    "approvals": "/admin/governance/gate/",
    "approval": f"/admin/governance/gate/{rows.HELD.pk}/change/",
    "calls": "/admin/governance/skillinvocation/",
    "call": f"/admin/governance/skillinvocation/{rows.LOST.pk}/change/",
    "jobs": "/admin/runtime/agentjob/",
    "job": f"/admin/runtime/agentjob/{rows.JOBS[1].pk}/change/",
    "models": "/admin/gateway/llmcall/",
    "model_calls": "/admin/gateway/llmcall/?sample=model_calls",
    "model_call": f"/admin/gateway/llmcall/{LOST.pk}/change/",
    "burns": "/admin/governance/burn/",
    "burn": f"/admin/governance/burn/{rows.BURN.pk}/change/",
    "policies": "/admin/governance/policymanifest/",
    "policy": f"/admin/governance/policymanifest/{rows.MANIFEST.pk}/change/",
    "policy_check": "/admin/policy/check/",
    "agents": "/admin/governance/agent/",
    "freeze": "/admin/freeze/",
    "ledger": "/admin/audit/auditevent/",
    "entry": f"/admin/audit/auditevent/{rows.EVENTS[0].pk}/change/",
    "ledger_verify": "/admin/ledger/verify/",
    "health": "/admin/health/",
    "artifact": f"/admin/governance/artifact/{rows.ARTIFACT.pk}/change/",
}
LOOKS = (("light", 1280), ("dark", 1280), ("light", 390))
JUDGED = (("light", 1280), ("dark", 1280))
# Where to keep the screenshots that the look is compared with; by default nowhere.
GALLERY = os.environ.get("CONSOLE_GALLERY", "")


@pytest.fixture(scope="module")
def windows(browser: Browser, base_url: str) -> Iterator[dict[tuple[str, int], Visit]]:
    """One window for each look, kept for all pages: a new one would load every style and script again."""
    contexts = {
        (theme, width): browser.new_context(viewport={"width": width, "height": 900}, color_scheme=theme)
        for theme, width in LOOKS
    }
    yield {look: Visit(context.new_page(), base_url) for look, context in contexts.items()}
    for context in contexts.values():
        context.close()


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_whole_in_every_look_and_can_be_used_by_everybody(
    windows: dict[tuple[str, int], Visit], name: str
) -> None:
    for (theme, width), there in windows.items():
        there.wrongs.clear()
        page = there.open(PAGES[name])

        assert page.locator("h1").count() == 1
        assert page.locator("script:not([src]), style, [style]").count() == 0
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.evaluate(
            "[...document.querySelectorAll('use')].every((use) => document.querySelector(use.getAttribute('href')))"
        )
        assert there.wrongs == []
        if (theme, width) in JUDGED:
            found = Axe().run(page).response["violations"]
            assert [(rule["id"], [node["html"][:160] for node in rule["nodes"]]) for rule in found] == []
        if GALLERY:  # last: Playwright adds a style of its own to take it
            page.screenshot(path=Path(GALLERY) / f"{name}-{theme}-{width}.png", full_page=True)
