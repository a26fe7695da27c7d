"""What leads outside, as an operator sets it up in Chromium: a secret, a connection that uses it, a tool server; and memories."""

import os
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.house import SOON, Person
from tests.installation import Installation
from worka.client import Client

pytestmark = [pytest.mark.browser, pytest.mark.sandbox, pytest.mark.timeout(300)]

GALLERY = os.environ.get("CONSOLE_GALLERY", "")
SCRIPTS = Path(sysconfig.get_path("scripts"))
SEEN_BY_THE_SERVER = sorted({str(SCRIPTS.parent), sys.base_prefix})
VALUE = "a-canary-that-no-page-shows"


@pytest.fixture(scope="module")
def house():
    """A running installation that may show a tool server its interpreter."""
    found = Installation()
    found.start(WORKA_MCP_ROOTS=":".join(SEEN_BY_THE_SERVER), WORKA_MCP_HOSTS="127.0.0.1")
    yield found
    found.stop()
    found.remove()


def look(person: Person, name: str) -> None:
    """Everything fits, nothing was refused, everybody can use it; and no page shows what is secret."""
    page = person.page
    assert page.evaluate("document.documentElement.scrollWidth") <= page.viewport_size["width"]  # type: ignore[index]
    assert VALUE not in page.content()
    person.finds_nothing_wrong()
    if GALLERY:
        page.screenshot(path=Path(GALLERY) / f"{name}-{page.viewport_size['width']}.png", full_page=True)  # type: ignore[index]


def both(people: Callable[..., Person], path: str, name: str) -> None:
    """Look at a page once more on a phone, in the dark."""
    phone = people("operator", width=390, theme="dark")
    phone.open(path)
    look(phone, name)


def path_of(page: Page, base: str) -> str:
    return page.url.removeprefix(base)


def test_a_secret_is_put_used_by_a_connection_and_never_shown(people: Callable[..., Person], house) -> None:
    operator = people("operator")
    page = operator.open("/admin/gateway/secret/")
    expect(page.get_by_text("There are no secrets")).to_be_visible()
    look(operator, "secrets-none")

    page.get_by_role("link", name="Put a secret").click()
    look(operator, "secret-new")
    page.get_by_label("Name").fill("github-token")
    page.get_by_label("What it is for").fill("The bot that comments on issues")
    page.get_by_label("Value").fill(VALUE)
    page.get_by_label("Reason").fill("we work with GitHub")
    page.get_by_role("button", name="Keep it").click()
    expect(page.locator(".messagelist")).to_contain_text("Nothing may use it yet")
    look(operator, "secret")
    secret = path_of(page, operator.base)

    page = operator.open("/admin/connections/new/")
    look(operator, "connection-new")
    page.get_by_label("Service", exact=True).select_option("github")
    page.get_by_label("Account").fill("acme-bot")
    page.get_by_label("Settings, JSON").fill('{"token": "{{secret:github-token}}"}')
    page.get_by_label("Reason").fill("we work with GitHub")
    page.get_by_role("button", name="Connect").click()
    expect(page.locator("main")).to_contain_text("acme-bot")
    look(operator, "connections")

    both(people, "/admin/gateway/secret/", "secrets")
    both(people, secret, "secret")
    both(people, "/admin/gateway/connection/", "connections")


def test_a_tool_server_is_added_discovered_and_one_tool_accepted(people: Callable[..., Person], house) -> None:
    operator = people("operator")
    page = operator.open("/admin/mcp/add/")
    look(operator, "mcp-add")
    page.get_by_label("Name").fill("time")
    page.get_by_label("Speaks").select_option("stdio")
    page.get_by_label("Command, for stdio").fill(f"{SCRIPTS / 'mcp-server-time'} --local-timezone UTC")
    page.get_by_label("Places it may read").fill("\n".join(SEEN_BY_THE_SERVER))
    page.get_by_label("Reason").fill("reports need time zones")
    page.get_by_role("button", name="Add it").click()
    expect(page.get_by_text("No tools are known")).to_be_visible()

    page.get_by_text("Discover", exact=True).first.click()
    page.get_by_label("Reason").first.fill("what is there")
    page.get_by_role("button", name="Discover").click()
    tool = page.locator("li").filter(has_text="convert_time").first
    expect(tool).to_contain_text("Discovered", timeout=2 * SOON)
    look(operator, "mcp-server")

    tool.get_by_text("Accept", exact=True).first.click()
    tool.get_by_label("Reason").first.fill("it reads a clock")
    look(operator, "mcp-server-accept")
    tool.get_by_role("button", name="Accept").click()
    expect(page.locator(".list > li").filter(has_text="mcp.time.convert_time").first).to_contain_text("Accepted")
    server = path_of(page, operator.base).split("#")[0]

    both(people, server, "mcp-server")
    both(people, "/admin/gateway/mcpserver/", "mcp-servers")


def test_a_server_that_wants_credentials_is_connected_and_looked_at_through_one(
    people: Callable[..., Person], house
) -> None:
    operator = people("operator")
    page = operator.open("/admin/mcp/add/")
    page.get_by_label("Name").fill("search")
    page.get_by_label("Speaks").select_option("http")
    page.get_by_label("Address, for streamable HTTP").fill("http://127.0.0.1:9/mcp")
    page.get_by_label("It wants credentials").check()
    page.get_by_label("Reason").fill("we search")
    look(operator, "mcp-add-credentials")
    page.get_by_role("button", name="Add it").click()
    expect(page.locator(".messagelist")).to_contain_text("connect mcp.search, then discover")
    server = path_of(page, operator.base)

    for account in ("team", "another"):
        page = operator.open("/admin/connections/new/")
        page.get_by_label("Service", exact=True).select_option("mcp.search")
        page.get_by_label("Account").fill(account)
        page.get_by_label("Settings, JSON").fill('{"headers": {"Authorization": "Bearer {{secret:search-token}}"}}')
        page.get_by_label("Reason").fill("we search")
        look(operator, "connection-new-mcp")
        page.get_by_role("button", name="Connect").click()
        expect(page.locator("main")).to_contain_text(account)

    page = operator.open(server)
    page.get_by_text("Discover", exact=True).first.click()
    page.get_by_label("Through").select_option(label="team in default")
    look(operator, "mcp-server-through")
    page.get_by_label("Reason").first.fill("what is there")
    page.get_by_role("button", name="Discover").click()
    expect(page.locator(".messagelist")).to_contain_text("search-token that does not exist")
    look(operator, "mcp-server-unusable")
    both(people, server, "mcp-server-credentials")


def test_what_agents_remember_is_read_and_erased(people: Callable[..., Person], house: Installation) -> None:
    keys = {each["username"]: each["api_key"] for each in house.credentials()["people"]}
    with Client(house.url, keys["requester"]) as client:
        run = client.runs.create("What do the documents say about harbour fees")
    operator = people("operator")
    remembered = operator.page.locator("[data-row]").filter(has_text="harbour fees").first
    for _ in range(60):
        operator.open("/admin/gateway/memoryentry/")
        if remembered.count():
            break
        operator.page.wait_for_timeout(500)
    expect(remembered).to_contain_text(f"Run {run.number}")
    look(operator, "memories")
    both(people, "/admin/gateway/memoryentry/", "memories")

    before = operator.page.locator("[data-row]").count()
    remembered.get_by_text("Forget the run", exact=True).first.click()
    remembered.get_by_label("Reason").first.fill("it is of no use")
    remembered.get_by_role("button", name="Forget the run").click()
    expect(operator.page.locator(".messagelist")).to_be_visible()
    assert operator.page.locator("[data-row]").count() < before
