"""Times as the ledger writes them."""

from datetime import UTC, datetime


def timestamp(at: datetime) -> str:
    """Write a time in RFC 3339, in UTC and always with microseconds, so that one instant has one text."""
    return at.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
