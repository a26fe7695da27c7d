"""Chromium, a server for it, and pages that tell what they refused."""

import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

import pytest
from django.conf import settings
from django.contrib.staticfiles.handlers import StaticFilesHandler
from django.core.handlers.wsgi import WSGIHandler
from django.test import override_settings
from playwright.sync_api import Browser, Page, sync_playwright

# The first that is there; without a window's parts it draws the same pages and starts sooner.
BROWSERS = ("chromium-headless-shell", "chromium", "chromium-browser")
CHROMIUM = next((path for path in map(shutil.which, BROWSERS) if path), "")
ARGUMENTS = [
    "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run", "--disable-component-update",
    "--disable-sync", "--disable-dev-shm-usage",
]  # fmt: skip


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One Chromium for a file of tests.

    Playwright keeps an event loop running in this thread: Django must be told that it is meant, and the loop must be
    gone before the tests of other folders come.
    """
    with pytest.MonkeyPatch.context() as patch, sync_playwright() as playwright:
        patch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "true")
        running = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield running
        running.close()


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _Quiet(WSGIRequestHandler):
    def log_message(self, *args: Any) -> None:
        return


def serve() -> tuple[_Server, str]:
    """Start the site of the current settings, with its static files, on a free port."""
    server = _Server(("127.0.0.1", 0), _Quiet)
    server.set_app(StaticFilesHandler(WSGIHandler()))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server, f"http://127.0.0.1:{server.server_address[1]}"


@pytest.fixture(scope="module")
def base_url() -> Iterator[str]:
    """The console with samples, without a data base; a file of tests may have a server of its own."""
    middleware = [
        name
        for name in settings.MIDDLEWARE
        if "auth.middleware" not in name and "sessions" not in name and "messages" not in name
    ]
    with override_settings(
        ROOT_URLCONF="tests.browser.sample_site",
        MIDDLEWARE=[*middleware, "tests.browser.sample_site.signed_in"],
        ALLOWED_HOSTS=["*"],
    ):
        server, base = serve()
        yield base
        server.shutdown()
        server.server_close()


class Visit:
    """A page, and all that it did wrong: what the policy refused, script errors, requests that left the site."""

    def __init__(self, page: Page, base: str) -> None:
        self.page, self.base = page, base
        self.wrongs: list[str] = []
        page.on(
            "console",
            lambda message: self.wrongs.append(message.text) if message.type in {"error", "warning"} else None,
        )
        page.on("pageerror", lambda error: self.wrongs.append(str(error)))
        page.on(
            "request",
            lambda request: (
                None if request.url.startswith(base) else self.wrongs.append(f"left the site: {request.url}")
            ),
        )

    def open(self, path: str) -> Page:
        """Go there and wait until it is drawn."""
        self.page.goto(self.base + path, wait_until="load")
        return self.page


@pytest.fixture
def visit(
    browser: Browser, base_url: str, tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[Callable[..., Visit]]:
    """Open pages: `visit(width=390, theme="dark", javascript=False)`. A failed test leaves screenshots in its folder."""
    contexts, opened = [], []

    def begin(*, width: int = 1280, theme: str = "light", javascript: bool = True) -> Visit:
        context = browser.new_context(
            viewport={"width": width, "height": 900}, color_scheme=theme, java_script_enabled=javascript
        )
        contexts.append(context)
        opened.append(Visit(context.new_page(), base_url))
        return opened[-1]

    yield begin
    for number, each in enumerate(opened):
        if getattr(request.node, "failed", False):
            each.page.screenshot(path=tmp_path / f"{number}.png", full_page=True)
    for context in contexts:
        context.close()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Any:
    """Remember that a test failed, so that its pages are photographed before they close."""
    report = yield
    if report.when == "call":
        item.failed = report.failed  # type: ignore[attr-defined]
    return report


# A running installation and its people; at the end, because they look through the `Visit` above.
from tests.browser.house import house, people, repository, signed_in, waiting  # noqa: E402, F401
