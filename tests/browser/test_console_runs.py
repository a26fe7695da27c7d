"""A request, from the form to the outcome, as people see it in Chromium: the real server, real agents, nobody reloads."""

from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.browser.house import SOON, Person, ask

pytestmark = [pytest.mark.browser, pytest.mark.sandbox, pytest.mark.timeout(300)]


def test_a_request_is_followed_to_its_outcome_without_a_reload(people: Callable[..., Person], repository: Path) -> None:
    requester, approver = people("requester"), people("approver", width=390, theme="dark")
    desk = approver.page
    desk.evaluate("window.here = true")

    # Before: what would happen.
    page = requester.open("/admin/new/")
    text = f"Report on the repository {repository} since v1"
    page.get_by_label("Request").fill(text)
    page.get_by_role("button", name="What would happen?").click()
    expect(page.get_by_text("needs one approval of operators")).to_be_visible()
    requester.finds_nothing_wrong()

    # The run is planned, works, and stops before it writes.
    number = ask(requester, text)
    page.evaluate("window.here = true")
    expect(page.locator(".why")).to_contain_text(
        "Waiting for operators (approver or operator) to approve files.write", timeout=SOON
    )
    expect(page.locator(".why")).to_contain_text("You asked for it, so somebody else answers.")
    expect(page.get_by_role("img", name="Plan of run")).to_be_visible()
    expect(page.locator(".steps")).to_contain_text("The agent has stored its state and left.")
    assert page.evaluate("window.here"), "the page was loaded again"
    requester.finds_nothing_wrong()

    # It reached the desk of whom it waits for, on a phone, by itself.
    expect(desk.get_by_role("heading", level=1)).to_have_text("One thing waits for you", timeout=SOON)
    assert desk.evaluate("window.here")
    approver.finds_nothing_wrong()
    desk.get_by_role("link", name="files.write reports/orders-since-v1.md").click()
    expect(desk.get_by_role("article")).to_contain_text("Round totals once")
    expect(desk.get_by_role("article")).to_contain_text("<script>alert(1)</script>")
    assert "\u202e" not in desk.content()
    approver.finds_nothing_wrong()
    desk.get_by_label("Reason").fill("the figures fit")
    desk.get_by_role("button", name="Approve").click()

    # The requester, who has not moved, is told.
    expect(page.get_by_role("article", name="Answer")).to_contain_text("2 commits by 2 people", timeout=SOON)
    expect(page.locator(".page-head")).to_contain_text("Succeeded")
    expect(page.locator(".why")).to_contain_text("The run succeeded")
    assert page.evaluate("window.here"), "the page was loaded again"
    expect(page.locator(".timeline")).to_contain_text("the figures fit")
    requester.finds_nothing_wrong()

    # And finds it in the list, with the report.
    page.get_by_role("link", name="Runs").first.click()
    expect(page.get_by_role("row").filter(has_text=text).filter(has_text=number)).to_contain_text("4 of 4")
    requester.finds_nothing_wrong()
    page.get_by_role("link", name=text).first.click()
    page.get_by_role("link", name="report.md").first.click()
    expect(page.get_by_role("article")).to_contain_text("Round totals once")
    requester.finds_nothing_wrong()
    with page.expect_download() as download:
        page.get_by_role("link", name="Download").click()
    assert "Round totals once" in Path(download.value.path()).read_text(encoding="utf-8")


def test_a_run_is_cancelled_without_a_script_and_says_by_whom_and_why(
    people: Callable[..., Person], repository: Path
) -> None:
    requester = people("requester", javascript=False)
    page = requester.page
    ask(requester, f"Compare v1 and HEAD in the repository {repository}")

    page.get_by_text("Cancel", exact=True).first.click()
    page.get_by_label("Reason").fill("asked for the wrong tag")
    page.get_by_role("button", name="Cancel").click()

    expect(page.locator(".messagelist")).to_contain_text("Cancel: done, and written to the ledger.")
    expect(page.locator(".page-head")).to_contain_text("Cancelled")
    expect(page.locator(".why")).to_contain_text("asked for the wrong tag")
    expect(page.locator(".timeline")).to_contain_text("requester cancelled run")
    page.get_by_role("link", name="Ask again").click()
    expect(page.get_by_label("Request")).to_have_value(f"Compare v1 and HEAD in the repository {repository}")
    assert requester.wrongs == []


def test_what_fails_is_explained_burns_and_is_acknowledged(people: Callable[..., Person], repository: Path) -> None:
    requester, operator = people("requester"), people("operator", theme="dark")
    page, looks = requester.page, operator.page

    ask(requester, f"Report on the repository {repository} since nosuchtag")
    expect(page.locator("#h-burns")).to_be_visible(timeout=SOON)
    expect(page.locator(".steps")).to_contain_text("there is no revision 'nosuchtag'")
    ask(requester, "Bake a cake")
    expect(page.locator(".why")).to_contain_text("No playbook reads this request", timeout=SOON)
    expect(page.get_by_text("There is no plan yet")).to_have_count(0)
    requester.finds_nothing_wrong()

    operator.open("/admin/governance/burn/")
    operator.finds_nothing_wrong()
    looks.locator("[data-row] a.title", has_text="Connector").first.click()
    looks.get_by_text("Acknowledge", exact=True).first.click()
    looks.get_by_label("Reason").fill("the tag was never pushed")
    looks.get_by_role("button", name="Acknowledge").click()
    expect(looks.get_by_text("operator acknowledged it")).to_be_visible()
    expect(looks.locator(".why")).to_contain_text("the tag was never pushed")
    operator.finds_nothing_wrong()


@pytest.mark.parametrize("width", [1280, 390])
def test_every_page_about_runs_is_whole_on_real_rows(people: Callable[..., Person], waiting: int, width: int) -> None:
    operator = people("operator", width=width)
    page = operator.open("/admin/governance/run/")
    page.get_by_role("row").filter(has=page.get_by_text(f"{waiting}", exact=True)).locator("a.title").click()
    expect(page.locator(".why")).to_contain_text("Waiting for operators")
    run = page.url
    seen = {}
    for heading, link in (("#h-calls", "write"), ("#h-jobs", "Step 1, attempt 1")):
        page.goto(run)
        page.locator(f"section[aria-labelledby={heading[1:]}]").get_by_role("link", name=link, exact=True).first.click()
        seen[heading] = page.url
    for address in (
        f"{operator.base}/admin/",
        f"{operator.base}/admin/new/",
        run,
        *seen.values(),
        *(
            f"{operator.base}/admin/{name}/"
            for name in ("governance/run", "runtime/agentjob", "governance/burn", "governance/skillinvocation")
        ),
    ):
        answer = page.goto(address)
        assert answer and answer.status == 200
        assert page.locator("h1").count() == 1
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        operator.finds_nothing_wrong()
