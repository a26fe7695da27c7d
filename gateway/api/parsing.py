"""Read bodies as strictly as everything that is hashed demands."""

from datetime import datetime
from typing import Any

from django.utils.dateparse import parse_datetime
from rest_framework.parsers import BaseParser

from audit.core.canonical import parse
from audit.core.codes import Code
from audit.core.refusals import Refused

LARGEST_BODY = 2**20


def time_of(name: str, text: str) -> datetime:
    """Read a time with its zone from a parameter, or refuse with bad_request."""
    try:
        found = parse_datetime(text)
    except ValueError:
        found = None
    if found is None or found.tzinfo is None:
        raise Refused(
            f"`{name}` is no time with a zone", code=Code.BAD_REQUEST, recovery="Write it like 2026-01-31T12:00:00Z."
        )
    return found


class StrictJsonParser(BaseParser):
    """application/json with unique keys, exact numbers and no NUL; refuses with not_canonical or too_large."""

    media_type = "application/json"

    def parse(self, stream: Any, media_type: str | None = None, parser_context: Any = None) -> Any:
        content = stream.read(LARGEST_BODY + 1)
        if len(content) > LARGEST_BODY:
            raise Refused(f"a body here has at most {LARGEST_BODY} bytes", code=Code.TOO_LARGE)
        return parse(content) if content else {}
