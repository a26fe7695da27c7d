"""Times and counts as people say them."""

import re
from collections.abc import Sequence
from datetime import datetime, timedelta

from governance.core.cleaning import plain

_UNITS = ((86400, "day"), (3600, "hour"), (60, "minute"), (1, "second"))


def duration(span: timedelta) -> str:
    """Say a length of time in its largest unit, rounded down: `5 minutes`; below one second `a moment`."""
    seconds = int(span.total_seconds())
    for size, unit in _UNITS:
        if seconds >= size:
            return count(seconds // size, unit)
    return "a moment"


def ago(moment: datetime, now: datetime) -> str:
    """Say how long ago something was: `5 minutes ago`, `just now`."""
    return "just now" if now - moment < timedelta(seconds=1) else f"{duration(now - moment)} ago"


def until(moment: datetime, now: datetime) -> str:
    """Say how far away something is: `in 5 minutes`, `now`."""
    return "now" if moment <= now else f"in {duration(moment - now)}"


def count(number: int, noun: str) -> str:
    """Say a number of things: `1 approval`, `2 approvals`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def listed(words: Sequence[str], last: str = "and", most: int = 5) -> str:
    """Join words as a list is read aloud: `a, b and c`; beyond `most` the rest is counted."""
    shown = list(words) if len(words) <= most else [*words[: most - 1], f"{len(words) - most + 1} others"]
    return f" {last} ".join([", ".join(shown[:-1]), shown[-1]]) if len(shown) > 1 else "".join(shown)


def excerpt(text: str, most: int = 80) -> str:
    """Return untrusted text as one harmless line of at most `most` characters, to be quoted in a sentence."""
    line = re.sub(r"\s+", " ", plain(text[: most * 10])).strip()
    return line if len(line) <= most else line[: most - 1].rstrip() + "…"
