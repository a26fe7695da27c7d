"""The pages that Django brings: signing in and out, people and groups, forms, errors; all in our look and within the policy."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from django.contrib.auth.models import Group, User
from django.test import override_settings
from playwright.sync_api import Browser

from audit.models import AuditEvent
from tests.browser.conftest import Visit, serve

pytestmark = pytest.mark.browser

GALLERY = os.environ.get("CONSOLE_GALLERY", "")


@pytest.fixture
def base_url(browser: Browser, committed_db: str) -> Iterator[str]:
    """A console whose data base holds one superuser, one member and a group."""
    User.objects.create_superuser("operator", password="a long pass phrase")
    User.objects.create_user("ada", email="ada@example.org", password="a long pass phrase", is_staff=True)
    User.objects.create_user("eve", password="a long pass phrase")
    Group.objects.create(name="operators")
    with override_settings(ROOT_URLCONF="tests.browser.stock_site", ALLOWED_HOSTS=["*"], SESSION_COOKIE_SECURE=False):
        server, base = serve()
        yield base
        server.shutdown()
        server.server_close()


def sign_in(there: Visit, name: str = "operator", path: str = "/admin/") -> None:
    page = there.open(path)
    page.get_by_label("Username").fill(name)
    page.get_by_label("Password").fill("a long pass phrase")
    page.get_by_role("button", name="Sign in").click()


def photograph(there: Visit, name: str) -> None:
    if GALLERY:
        there.page.screenshot(path=Path(GALLERY) / f"{name}.png", full_page=True)


def test_a_person_signs_in_and_out_by_keyboard(visit: Callable[..., Visit]) -> None:
    there = visit()

    page = there.open("/admin/")
    assert page.evaluate("document.activeElement.id") == "id_username"
    page.keyboard.type("operator")
    page.keyboard.press("Tab")
    page.keyboard.type("a long pass phrase")
    page.keyboard.press("Enter")
    page.get_by_role("heading", level=1, name="Two things wait for you").wait_for()
    page.get_by_role("button", name="Log out").press("Enter")

    page.get_by_role("heading", level=1, name="Signed out").wait_for()
    there.open("/admin/")
    assert page.get_by_role("heading", level=1).inner_text() == "Sign in"
    assert there.wrongs == []


@pytest.mark.parametrize(("name", "said"), [("nobody", "correct username and password"), ("eve", "staff account")])
def test_who_may_not_sign_in_is_told(visit: Callable[..., Visit], name: str, said: str) -> None:
    there = visit()

    sign_in(there, name)

    assert said in there.page.get_by_role("alert").inner_text()
    assert there.page.get_by_role("heading", level=1).inner_text() == "Sign in"


PAGES = {
    "people": "/admin/auth/user/",
    "people-found": "/admin/auth/user/?q=ada&is_staff__exact=1",
    "person": "/admin/auth/user/{ada}/change/",
    "person-new": "/admin/auth/user/add/",
    "person-password": "/admin/auth/user/{ada}/password/",
    "person-history": "/admin/auth/user/{ada}/history/",
    "groups": "/admin/auth/group/",
    "group-delete": "/admin/auth/group/1/delete/",
    "group-new": "/admin/auth/group/add/",
    "password": "/admin/password_change/",
    "app": "/admin/auth/",
}


@pytest.mark.parametrize(("theme", "width"), [("light", 1280), ("dark", 1280), ("light", 390)])
def test_stock_pages_have_our_frame_and_the_browser_refuses_nothing_of_them(
    visit: Callable[..., Visit], theme: str, width: int
) -> None:
    there = visit(theme=theme, width=width)
    sign_in(there)
    ada = User.objects.get(username="ada").pk

    for name, path in PAGES.items():
        page = there.open(path.format(ada=ada))
        wrongs, there.wrongs[:] = list(there.wrongs), []
        photograph(there, f"stock-{name}-{theme}-{width}")
        there.wrongs.clear()  # those of the photograph
        assert wrongs == [], name
        assert page.locator("#nav-sidebar").count() == 1, name
        assert page.locator("h1").count() == 1, name
        assert page.evaluate("document.documentElement.scrollWidth") <= width, name


def test_stock_pages_can_be_used_by_everybody(visit: Callable[..., Visit]) -> None:
    there = visit()
    sign_in(there)
    ada = User.objects.get(username="ada").pk

    for name in ("people", "person", "password"):
        page = there.open(PAGES[name].format(ada=ada))
        found = Axe().run(page, options={"runOnly": ["wcag2a", "wcag2aa"]})
        wrong = [(rule["id"], [node["html"][:120] for node in rule["nodes"]]) for rule in found.response["violations"]]
        assert wrong == [], name


def test_a_change_of_an_account_is_written_down_without_its_values(visit: Callable[..., Visit]) -> None:
    there = visit()
    ada = User.objects.get(username="ada").pk
    sign_in(there, path=PAGES["person"].format(ada=ada))

    there.page.get_by_label("Email address").fill("ada@elsewhere.example")
    there.page.get_by_role("button", name="Save", exact=True).click()
    there.page.get_by_role("status").wait_for()

    entry = AuditEvent.objects.exclude(type="user.sign_in").get()
    assert (entry.type, entry.actor, entry.facts["fields"]) == ("user.change", "user:operator", ["email"])
    assert "elsewhere" not in str(entry.exact)


def test_a_stock_form_works_and_says_what_it_did(visit: Callable[..., Visit]) -> None:
    there = visit()
    sign_in(there, path="/admin/auth/group/add/")

    there.page.get_by_label("Name").fill("maintainers")
    there.page.get_by_role("button", name="Save", exact=True).click()

    assert "maintainers" in there.page.get_by_role("status").inner_text()
    assert Group.objects.filter(name="maintainers").exists()
    assert there.wrongs == []


@pytest.mark.parametrize(
    ("path", "heading"),
    [
        ("/nothing/", "There is nothing here"),
        ("/403/", "You may not do this"),
        ("/500/", "Something broke on our side"),
    ],
)
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_an_error_page_says_what_to_do_in_our_look(
    visit: Callable[..., Visit], path: str, heading: str, theme: str
) -> None:
    there = visit(theme=theme)

    page = there.open(path)

    assert page.get_by_role("heading", level=1).inner_text() == heading
    assert page.get_by_role("link", name="To the desk").is_visible()
    assert [wrong for wrong in there.wrongs if "Failed to load resource" not in wrong] == []
    photograph(there, f"error{path.replace('/', '-')}{theme}")


def test_the_login_page_looks_like_ours(visit: Callable[..., Visit]) -> None:
    for theme, width in (("light", 1280), ("dark", 390)):
        there = visit(theme=theme, width=width)
        page = there.open("/admin/")
        assert there.wrongs == []
        assert Axe().run(page).response["violations"] == []
        photograph(there, f"login-{theme}-{width}")
