"""What pages do: themes, keys, the menu on a phone, live parts; and that nothing needs a script."""

from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.browser import sample_site, samples
from tests.browser.conftest import Visit
from tests.browser.test_pages import PAGES

pytestmark = pytest.mark.browser


def test_the_theme_goes_round_and_is_kept(visit: Callable[..., Visit]) -> None:
    there = visit(theme="light")
    page = there.open(PAGES["desk"])
    ground = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(ground)
    switch = page.locator("[data-theme-switch]")
    assert switch.get_attribute("aria-label") == "Theme: as the system"

    switch.click()
    switch.click()

    assert switch.get_attribute("aria-label") == "Theme: dark"
    dark = page.evaluate(ground)
    assert dark != light
    page.reload()
    assert page.evaluate(ground) == dark
    switch.click()
    assert page.evaluate(ground) == light
    assert there.wrongs == []


def test_j_and_k_walk_a_list_and_enter_opens(visit: Callable[..., Visit]) -> None:
    page = visit().open(PAGES["runs"])

    page.keyboard.press("j")
    page.keyboard.press("j")
    page.keyboard.press("k")

    assert page.evaluate("document.activeElement.textContent") == "Report on the repository repos/orders since v2.3.0"
    page.keyboard.press("Enter")
    expect(page.get_by_text("Run 142").first).to_be_visible()


def test_a_and_r_go_to_the_reason_first_and_never_answer_by_themselves(visit: Callable[..., Visit]) -> None:
    page = visit().open(PAGES["approval"])
    address = page.url

    page.keyboard.press("a")
    assert page.evaluate("document.activeElement.id") == "because"
    page.keyboard.type("read it, ar jk")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent.trim()") == "Approve"
    page.keyboard.press("r")

    assert page.evaluate("document.activeElement.textContent.trim()") == "Reject"
    assert page.get_by_label("Reason").input_value() == "read it, ar jk"
    assert page.url == address


def test_the_two_answers_have_one_size_and_one_weight(visit: Callable[..., Visit]) -> None:
    for width in (1280, 390):
        page = visit(width=width).open(PAGES["approval"])
        yes, no = (page.get_by_role("button", name=name, exact=True) for name in ("Approve", "Reject"))

        assert yes.bounding_box()["height"] == no.bounding_box()["height"]  # type: ignore[index]
        assert abs(yes.bounding_box()["width"] - no.bounding_box()["width"]) < 1  # type: ignore[index]
        assert yes.evaluate("(it) => getComputedStyle(it).fontWeight") == no.evaluate(
            "(it) => getComputedStyle(it).fontWeight"
        )


def test_without_a_reason_the_form_is_not_sent(visit: Callable[..., Visit]) -> None:
    there = visit(javascript=False)
    page = there.open(PAGES["approval"])

    page.get_by_role("button", name="Approve").click()

    assert page.url.endswith(PAGES["approval"])
    assert page.get_by_label("Reason").is_visible()


def test_nothing_needs_a_script(visit: Callable[..., Visit]) -> None:
    page = visit(javascript=False).open(PAGES["approval"])
    raw = page.get_by_role("region", name="Payload as JSON")
    assert not raw.is_visible()

    page.get_by_text("Raw JSON").click()

    assert raw.is_visible()
    assert not page.get_by_role("article").is_visible()
    page.goto(page.url.replace(PAGES["approval"], PAGES["run"]))
    page.get_by_text("Cancel", exact=True).first.click()
    assert page.get_by_label("Reason").is_visible()
    assert page.get_by_text("Its agents stop at once.").is_visible()


def test_on_a_phone_the_menu_opens_without_a_script(visit: Callable[..., Visit]) -> None:
    page = visit(width=390, javascript=False).open(PAGES["desk"])
    assert not page.get_by_role("link", name="Ledger").is_visible()

    page.get_by_role("button", name="Navigation").click()

    assert page.get_by_role("link", name="Ledger").is_visible()
    page.get_by_role("link", name="Ledger").click()
    assert page.get_by_role("heading", level=1).inner_text() == "Ledger"


def test_hostile_text_is_seen_and_does_nothing(visit: Callable[..., Visit]) -> None:
    for name in ("approval", "run", "runs", "job", "entry", "artifact"):
        there = visit()
        page = there.open(PAGES[name])
        assert "<script>alert(1)</script>" in page.locator("main").inner_text()
        assert "\u202e" not in page.content()
        assert page.locator("main img, main iframe, main [onclick]").count() == 0
        assert there.wrongs == []


class Changing:
    """A page that is filled differently once something has happened."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, name: str, filled: Callable[[], dict[str, Any]]) -> None:
        self.later: dict[str, Any] = {}
        monkeypatch.setitem(sample_site.FILLED, name, lambda: {**filled(), **self.later})


def test_a_page_follows_what_happens_without_a_reload(
    visit: Callable[..., Visit], monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = Changing(monkeypatch, "desk", samples.desk)
    there = visit()
    page = there.open(PAGES["desk"])
    page.evaluate("window.here = true")
    desk.later = {"headline": "Nothing waits for you", "waiting": [], "oldest": None, "subline": "All is well."}

    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")

    expect(page.get_by_role("heading", level=1, name="Nothing waits for you")).to_be_visible()
    expect(page.get_by_text("What agents may not do without you")).to_be_visible()
    assert page.evaluate("window.here")
    assert page.evaluate(
        "[...document.querySelectorAll('use')].every((use) => document.querySelector(use.getAttribute('href')))"
    )
    assert there.wrongs == []


def test_a_notice_of_the_stream_is_enough(visit: Callable[..., Visit], monkeypatch: pytest.MonkeyPatch) -> None:
    filled = []

    def desk() -> dict[str, Any]:
        filled.append(1)
        return {**samples.desk(), **({"headline": "It went on"} if len(filled) > 1 else {})}

    monkeypatch.setitem(sample_site.FILLED, "desk", desk)

    page = visit().open(PAGES["desk"])

    expect(page.get_by_role("heading", level=1, name="It went on")).to_be_visible()


def test_what_somebody_is_typing_is_never_taken_away(
    visit: Callable[..., Visit], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Changing(monkeypatch, "governance.run.row", samples.run)
    page = visit().open(PAGES["run"])
    page.get_by_text("Cancel", exact=True).first.click()
    page.get_by_label("Reason").fill("wrong tag")
    run.later = {"buttons": [], "gates_total": 18}

    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")

    expect(page.get_by_text("the last 4 of 18 decisions")).to_be_visible()
    assert page.get_by_label("Reason").input_value() == "wrong tag"


def test_what_is_folded_open_stays_open(visit: Callable[..., Visit], monkeypatch: pytest.MonkeyPatch) -> None:
    run = Changing(monkeypatch, "governance.run.row", samples.run)
    page = visit().open(PAGES["run"])
    page.locator("details[id^=call-] summary").first.click()
    run.later = {"calls": list(reversed(samples.run()["calls"])), "gates_total": 18}

    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")

    expect(page.get_by_text("the last 4 of 18 decisions")).to_be_visible()
    assert page.locator("details[id^=call-][open] summary").inner_text() == "git.log"
