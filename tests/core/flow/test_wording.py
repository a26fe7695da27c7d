from datetime import timedelta

import pytest

from governance.core.wording import ago, count, duration, excerpt, listed, until
from tests.core.flow.builders import NOW, after, before


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0, "a moment"), (0.9, "a moment"), (1, "1 second"), (59, "59 seconds"), (60, "1 minute"), (3599, "59 minutes"),
        (3600, "1 hour"), (86_399, "23 hours"), (86_400, "1 day"), (864_000, "10 days"),
    ],
)  # fmt: skip
def test_a_length_of_time_is_said_in_its_largest_unit(seconds, said):
    assert duration(timedelta(seconds=seconds)) == said


def test_moments_are_said_from_now():
    assert (ago(NOW, NOW), ago(after(hours=1), NOW), ago(before(hours=3), NOW)) == (
        "just now",
        "just now",
        "3 hours ago",
    )
    assert (until(NOW, NOW), until(before(days=1), NOW), until(after(days=2), NOW)) == ("now", "now", "in 2 days")


def test_numbers_have_their_noun():
    assert (count(1, "step"), count(0, "step"), count(2, "step")) == ("1 step", "0 steps", "2 steps")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], ""),
        (["a"], "a"),
        (["a", "b"], "a or b"),
        (list("abcde"), "a, b, c, d or e"),
        (list("abcdefg"), "a, b, c, d or 3 others"),
    ],
)
def test_lists_are_said_as_they_are_read_aloud(words, said):
    assert listed(words, "or") == said


def test_foreign_text_becomes_one_harmless_line():
    assert excerpt("  a\n\tb \x1b[31mred\u202e  ") == "a b red"
    assert excerpt("x" * 200) == "x" * 79 + "…"
    assert len(excerpt(" x" * 10**6)) <= 80
