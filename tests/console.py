"""The console as people open it: Django's client, signed in as somebody, on a journey's rows."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from tests.desk import step
from tests.journeys import Journey, journey


def console_journey(monkeypatch: Any, **more: Any) -> Journey:
    """Begin a journey whose backend the console sees, too."""
    j = journey(monkeypatch, **more)
    for module in ("runtime.logs", "runtime.dispatch"):
        monkeypatch.setattr(f"{module}.configured_backend", lambda: j.backend)
    return j


def visit(person: Any, *, csrf: bool = False) -> Client:
    """Return a browser in which this person has signed in."""
    client = Client(enforce_csrf_checks=csrf)
    client.force_login(person)
    return client


def at(name: str, *args: Any) -> str:
    """Return the address of a page of the admin site."""
    return reverse(f"admin:{name}", args=args)


def run_href(run: Any) -> str:
    return at("governance_run_change", run.pk)


def words(response: Any) -> str:
    """Return what a page says in its content, without markup and runs of blanks."""
    text = response.content.decode().partition('<main id="content-start"')[2]
    text = re.sub(r"<symbol.*?</symbol>", "", text, flags=re.DOTALL)
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", text))


def hold(j: Journey, who: str = "ada", text: str = "Please", note: str = "a note") -> Any:
    """Bring a run to where it waits for people: it has read what strangers wrote, and would write."""
    run = j.ask(text, who)
    j.propose(step("look", ("a", "read", "letters")), step("note", ("b", "write", note), after=("look",)))
    j.call("look", "a")
    j.finish("look", output={"a": "LETTERS"})
    j.call("note", "b")
    j.finish("note", "suspended", waits_for=["b"])
    return run


@contextmanager
def queries() -> Iterator[CaptureQueriesContext]:
    """Capture the statements of a page."""
    with CaptureQueriesContext(connection) as captured:
        yield captured
