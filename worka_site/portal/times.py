"""Times as people say them: pure, `now` is an argument."""

from datetime import UTC, datetime, timedelta

MINUTE, HOUR, DAY = 60, 3600, 86400


def span(length: timedelta | float) -> str:
    """Say a length: `612 ms`, `2.4 s`, `38 min`, `3 h 22 min`, `2 d 4 h`. Takes seconds or a timedelta."""
    seconds = length.total_seconds() if isinstance(length, timedelta) else float(length)
    seconds = max(seconds, 0.0)
    if seconds == 0:
        return "0 s"
    if seconds < 0.9995:
        return f"{max(1, round(seconds * 1000))} ms"
    if seconds < 9.95:
        return f"{seconds:.1f} s".replace(".0 s", " s")
    if seconds < MINUTE:
        return f"{min(59, round(seconds))} s"
    if seconds < HOUR:
        return f"{int(seconds // MINUTE)} min"
    if seconds < DAY:
        return _two(seconds, HOUR, "h", MINUTE, "min")
    if seconds < 10 * DAY:
        return _two(seconds, DAY, "d", HOUR, "h")
    return f"{int(seconds // DAY)} d"


def ago(then: datetime, now: datetime) -> str:
    """Say how long ago, or in how long: `just now`, `4 min ago`, `in 38 min`."""
    passed = (now - then).total_seconds()
    if abs(passed) < 1:
        return "just now"
    return f"{_whole(passed)} ago" if passed > 0 else f"in {_whole(-passed)}"


def since(then: datetime, now: datetime) -> str:
    """Say for how long something has lasted, in whole seconds at least."""
    return _whole(max((now - then).total_seconds(), 0))


def left(until: datetime, now: datetime) -> str:
    """Say what is left: `38 min left`, or `over`."""
    rest = (until - now).total_seconds()
    return f"{_whole(rest)} left" if rest > 0 else "over"


def clock(moment: datetime, now: datetime, precision: str = "m") -> str:
    """Say when, in UTC: `13:41` today, `18 Nov 13:41` this year, with the year before. `precision`: `m`, `s` or `ms`."""
    moment, now = moment.astimezone(UTC), now.astimezone(UTC)
    at = moment.strftime("%H:%M" if precision == "m" else "%H:%M:%S")
    if precision == "ms":
        at += f".{moment.microsecond // 1000:03d}"
    if moment.date() == now.date():
        return at
    day = f"{moment.day} {moment:%b}" if moment.year == now.year else f"{moment.day} {moment:%b %Y}"
    return f"{day} {at}"


def exact(moment: datetime) -> str:
    """Say a moment exactly: `2026-11-20 13:41:13 UTC`."""
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def machine_time(moment: datetime) -> str:
    """Return RFC 3339 in UTC, to the second, for `<time datetime>`."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _whole(seconds: float) -> str:
    return span(max(1, int(seconds)))


def _two(seconds: float, big: int, big_name: str, small: int, small_name: str) -> str:
    first, rest = divmod(int(seconds), big)
    second = rest // small
    return f"{first} {big_name} {second} {small_name}" if second else f"{first} {big_name}"
