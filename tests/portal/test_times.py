from datetime import UTC, datetime, timedelta, timezone

import pytest

from worka_site.portal.times import ago, clock, exact, left, machine_time, since, span

NOW = datetime(2026, 11, 20, 13, 3, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0, "0 s"), (-3, "0 s"), (0.0001, "1 ms"), (0.612, "612 ms"), (0.9996, "1 s"), (2.4, "2.4 s"), (9.96, "10 s"), (14.2, "14 s"),
        (59.9, "59 s"), (60, "1 min"), (38 * 60 + 59, "38 min"), (3600, "1 h"), (12120, "3 h 22 min"), (86400, "1 d"),
        (86400 * 2 + 3600 * 4, "2 d 4 h"), (86400 * 23, "23 d"),
    ],
)  # fmt: skip
def test_a_length_is_said_as_people_say_it(seconds: float, said: str) -> None:
    assert span(seconds) == span(timedelta(seconds=seconds)) == said


def test_the_past_is_ago_and_the_future_is_in() -> None:
    assert ago(NOW - timedelta(minutes=4), NOW) == "4 min ago"
    assert ago(NOW + timedelta(minutes=38), NOW) == "in 38 min"
    assert ago(NOW - timedelta(milliseconds=300), NOW) == "just now"
    assert ago(NOW - timedelta(seconds=7.9), NOW) == "7 s ago"


def test_what_lasts_is_never_said_to_last_nothing() -> None:
    assert since(NOW, NOW) == "1 s"
    assert since(NOW - timedelta(hours=3, minutes=22), NOW) == "3 h 22 min"


def test_what_is_left_ends() -> None:
    assert left(NOW + timedelta(minutes=38), NOW) == "38 min left"
    assert left(NOW - timedelta(seconds=1), NOW) == "over"


def test_a_clock_says_the_day_only_when_it_is_not_today() -> None:
    moment = NOW.replace(hour=9, minute=41, second=7, microsecond=118000)

    assert clock(moment, NOW) == "09:41"
    assert clock(moment, NOW, "s") == "09:41:07"
    assert clock(moment, NOW, "ms") == "09:41:07.118"
    assert clock(moment - timedelta(days=2), NOW) == "18 Nov 09:41"
    assert clock(moment - timedelta(days=365), NOW) == "20 Nov 2025 09:41"


def test_everything_is_said_in_utc() -> None:
    elsewhere = NOW.astimezone(timezone(timedelta(hours=-8)))

    assert exact(elsewhere) == "2026-11-20 13:03:00 UTC"
    assert machine_time(elsewhere) == "2026-11-20T13:03:00Z"
    assert clock(elsewhere, NOW) == "13:03"
