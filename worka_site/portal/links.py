"""Addresses of the console, so that each is written once."""

from typing import Any
from urllib.parse import urlencode

from django.urls import reverse


def to(name: str, *args: Any, **query: Any) -> str:
    """Return the address of a page of the admin site by its URL name, with a query of what is not empty."""
    kept = {key: value for key, value in query.items() if value not in ("", None)}
    return reverse(f"admin:{name}", args=args) + (f"?{urlencode(kept)}" if kept else "")


def to_run(pk: Any) -> str:
    return to("governance_run_change", pk)
