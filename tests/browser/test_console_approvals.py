"""Approvals, policy and the ledger as people use them in Chromium: the real server, real agents, a real answer."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.house import HOSTILE, SOON, Person, ask
from tests.installation import Installation

pytestmark = [pytest.mark.browser, pytest.mark.sandbox, pytest.mark.timeout(300)]

Enter = Callable[..., Person]


def held(requester: Person, text: str) -> str:
    """Ask for a run, wait until it waits for people, and return its number."""
    number = ask(requester, text)
    expect(requester.page.locator(".why")).to_contain_text("to approve files.write", timeout=SOON)
    return number


def open_approval(person: Person, number: str | int) -> Page:
    """Open the approval of a run from the inbox."""
    page = person.open("/admin/governance/gate/")
    page.locator("[data-row]", has_text=f"Run {number} ").locator("a.title").click()
    expect(page.get_by_text(f"Run {number}", exact=True)).to_be_visible()
    return page


def test_who_is_asked_reads_exactly_what_would_happen_and_says_yes_with_the_keyboard(
    people: Enter, repository: Path
) -> None:
    requester, approver = people("requester"), people("approver")
    number = held(requester, f"Report on the repository {repository} since v1")

    page = open_approval(approver, number)

    expect(page.get_by_role("heading", level=1)).to_have_text("Write reports/orders-since-v1.md?")
    expect(page.get_by_role("article")).to_contain_text("Round totals once")
    expect(page.get_by_role("article")).to_contain_text("<script>alert(1)</script>")
    expect(page.locator("[aria-labelledby=h-rules]")).to_contain_text("The run has read text that strangers wrote")
    expect(page.locator(".prov")).to_contain_text("untrusted_output")
    page.get_by_text("Raw JSON").click()
    expect(page.get_by_role("region", name="Payload as JSON")).to_contain_text('"if_exists": "replace"')
    assert "\u202e" not in page.content() and HOSTILE not in page.content()
    approver.finds_nothing_wrong()

    approver.press("a")
    expect(page.get_by_label("Reason")).to_be_focused()
    page.keyboard.type("the figures are right")
    page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="Approve")).to_be_focused()
    page.keyboard.press("Enter")

    expect(page.locator(".messagelist")).to_contain_text("The gateway performs exactly this call now, once.")
    expect(page.locator("#answer")).to_contain_text("the figures are right")
    expect(requester.page.locator(".page-head")).to_contain_text("Succeeded", timeout=SOON)
    approver.finds_nothing_wrong()


def test_the_requester_reads_it_too_and_cannot_answer(people: Enter, waiting: int) -> None:
    requester = people("requester", width=390)

    page = requester.open("/admin/governance/gate/")
    expect(page.get_by_role("heading", level=1)).to_have_text("Nothing waits for you")
    page.locator("[aria-labelledby=h-others] a.title").first.click()

    expect(page.locator("#answer")).to_contain_text(
        "Nobody approves what they asked for. Ask somebody else of the group to answer."
    )
    expect(page.get_by_role("button", name="Approve")).to_have_count(0)
    requester.finds_nothing_wrong()
    # By hand, past the page: the same answer.
    gate = page.url.removesuffix("change/")
    token = page.locator("[name=csrfmiddlewaretoken]").first.input_value()
    answer = page.request.post(
        f"{gate}press/approve/",
        form={"because": "I am sure", "payload_digest": "0" * 64, "csrfmiddlewaretoken": token},
        headers={"Referer": page.url},
    )
    assert "nobody approves what they asked for" in answer.text().lower()
    page.reload()
    expect(page.locator(".page-head")).to_contain_text("Waiting")


def test_a_no_without_a_script_ends_the_run_with_its_reason(people: Enter, repository: Path) -> None:
    requester, operator = people("requester"), people("operator", javascript=False)
    number = held(requester, f"Report on the repository {repository} since HEAD~1")

    page = open_approval(operator, number)
    page.get_by_label("Reason").fill("the tag is wrong")
    page.get_by_role("button", name="Reject").click()

    expect(page.locator(".messagelist")).to_contain_text(f"Nothing of it happens, and run {number} ends.")
    expect(page.locator(".page-head")).to_contain_text("Rejected")
    expect(requester.page.locator(".why")).to_contain_text("the tag is wrong", timeout=SOON)
    expect(requester.page.locator(".page-head")).to_contain_text("Refused")
    assert operator.wrongs == []


def test_keys_walk_from_approval_to_approval_and_the_last_yes_is_compared_with_the_next(
    people: Enter, repository: Path
) -> None:
    requester, operator = people("requester"), people("operator", theme="dark")
    first, second = (
        held(requester, f"Report on the repository {repository} since {since}") for since in ("v1", "HEAD~1")
    )

    page = operator.open("/admin/governance/gate/")
    operator.press("j", "Enter")
    expect(page.locator("#answer")).to_be_visible()
    here = page.url
    expect(page.locator("link[rel=next]")).to_have_count(1)
    operator.press("j")
    page.wait_for_url(lambda url: url != here)
    operator.press("k")
    page.wait_for_url(here)

    page = open_approval(operator, first)
    page.get_by_label("Reason").fill("as always")
    page.get_by_role("button", name="Approve").click()
    expect(page.locator(".page-head")).to_contain_text("Approved")
    page = open_approval(operator, second)
    page.get_by_text("Difference", exact=True).click()
    shown = page.get_by_role("region", name="Difference to the last approved call")
    expect(shown.locator(".add").filter(has_text="reports/")).to_be_visible()
    expect(page.get_by_text("Last approved call of this kind:")).to_contain_text(f"run {first}")
    operator.finds_nothing_wrong()


def test_an_owner_verifies_the_ledger_and_proves_one_entry_outside_of_it(
    people: Enter, waiting: int, house: Installation
) -> None:
    owner = people("owner")
    page = owner.open("/admin/audit/auditevent/")
    page.get_by_role("button", name="Verify now").click()
    expect(page.locator(".why")).to_contain_text("Whole and in order")
    owner.finds_nothing_wrong()

    page = owner.open("/admin/audit/auditevent/?type=gate.&q=strangers")
    expect(page.locator(".why")).to_contain_text("verified by owner")
    page.locator("[data-row] a.title").first.click()
    expect(page.locator(".proof-ok")).to_have_text("Proven")
    owner.finds_nothing_wrong()
    with page.expect_download() as download:
        page.get_by_role("link", name="Download the proof").click()
    file = Path(download.value.path())
    assert json.loads(file.read_text(encoding="utf-8"))["entry"]["position"] > 0
    checked = house.command("verify_ledger", "--proof", str(file))
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_policy_goes_from_a_copy_into_force_through_two_people(people: Enter) -> None:
    operator, owner = people("operator"), people("owner", theme="dark")
    page = operator.open("/admin/governance/policymanifest/")
    page.locator("[data-row] a.title").first.click()
    page.get_by_role("link", name="Edit a copy").click()
    source = page.get_by_label("Manifest, YAML").input_value()

    page.get_by_label("Manifest, YAML").fill(source.replace("skills:", "skils:", 1))
    page.get_by_role("button", name="Check", exact=True).click()
    expect(page.locator("[aria-labelledby=h-faults]")).to_contain_text("The key skils is not known here")
    expect(page.locator(".code .hit")).to_contain_text("skils")
    operator.finds_nothing_wrong()

    page.get_by_label("Manifest, YAML").fill(source.replace("invocations: 200", "invocations: 150"))
    page.get_by_role("button", name="Store as a draft").click()
    page.get_by_text("Submit", exact=True).first.click()
    page.get_by_label("Reason").fill("150 calls are enough")
    page.get_by_role("button", name="Submit").click()
    expect(page.get_by_text("You wrote this version, so somebody else must activate it.")).to_be_visible()
    expect(page.locator(".code.diff .add")).to_contain_text("150")
    operator.finds_nothing_wrong()

    looks = owner.open(page.url.removeprefix(owner.base))
    looks.get_by_text("Activate", exact=True).first.click()
    looks.get_by_role("textbox", name="Reason").fill("agreed on Monday")
    looks.get_by_role("button", name="Activate").click()
    expect(looks.locator(".page-head")).to_contain_text("Active")
    owner.finds_nothing_wrong()


def test_an_operator_freezes_the_workspace_and_lifts_it_again(people: Enter) -> None:
    operator = people("operator", width=390)
    page = operator.open("/admin/freeze/")
    group = page.locator("[aria-labelledby=h-workspace]")

    group.get_by_text("Freeze", exact=True).first.click()
    group.get_by_label("Reason").fill("something is odd")
    group.get_by_role("button", name="Freeze Default workspace").click()
    expect(page.locator(".why")).to_contain_text("1 thing frozen: the workspace Default workspace")
    operator.finds_nothing_wrong()
    group.get_by_text("Lift", exact=True).first.click()
    group.get_by_label("Reason").fill("it was nothing")
    group.get_by_role("button", name="Lift the freeze").click()

    expect(page.locator(".messagelist")).to_contain_text("works again")
    expect(page.locator(".why")).to_have_count(0)
    operator.finds_nothing_wrong()


@pytest.mark.parametrize(("width", "theme"), [(1280, "light"), (390, "dark")])
def test_every_page_about_rules_and_proof_is_whole_on_real_rows(
    people: Enter, waiting: int, width: int, theme: str
) -> None:
    operator = people("operator", width=width, theme=theme)
    approval = open_approval(operator, waiting).url.removeprefix(operator.base)
    page = operator.open("/admin/governance/policymanifest/")
    manifest = page.locator("[data-row] a.title").first.get_attribute("href")
    entry = operator.open("/admin/audit/auditevent/").locator("[data-row] a.title").last.get_attribute("href")
    lists = (
        f"/admin/{name}/"
        for name in ("governance/gate", "governance/policymanifest", "governance/agent", "audit/auditevent")
    )
    pages = (f"/admin/{name}/" for name in ("freeze", "health", "policy/check", "ledger/verify"))
    more = (f"/admin/governance/gate/?run={waiting}", "/admin/governance/gate/?need=decided", f"{manifest}?line=21")
    for address in (approval, manifest, entry, *lists, *pages, *more):
        answer = operator.page.goto(f"{operator.base}{address}")
        assert answer and answer.status == 200
        assert operator.page.locator("h1").count() == 1
        assert operator.page.evaluate("document.documentElement.scrollWidth") <= width
        operator.finds_nothing_wrong()
