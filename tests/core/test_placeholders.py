"""Where secrets may stand in settings, and how they are filled in."""

import pytest

from gateway.core.placeholders import filled, misplaced, names_in

SETTINGS = {
    "headers": [{"name": "Authorization", "value": "Bearer {{secret:bot}}"}, {"name": "X-Team", "value": "{{ secret:team }}"}],
    "retries": 3, "verify": True, "note": None,
}  # fmt: skip


def test_secrets_are_found_and_filled_in_at_any_depth_and_the_rest_stays_what_it_is():
    made = filled(SETTINGS, {"bot": "a-value-of-the-bot {{secret:team}}", "team": "blue"})

    assert names_in(SETTINGS) == ["bot", "team"]
    assert made == {
        "headers": [
            # What a secret contains is never read as a place again.
            {"name": "Authorization", "value": "Bearer a-value-of-the-bot {{secret:team}}"},
            {"name": "X-Team", "value": "blue"},
        ],
        "retries": 3, "verify": True, "note": None,
    }  # fmt: skip
    assert misplaced(SETTINGS) == []
    with pytest.raises(KeyError):
        filled(SETTINGS, {"bot": "alone"})


@pytest.mark.parametrize(
    ("settings", "where"),
    [
        ({"a": [{"token": "{{secret:BOT}}"}]}, "/a/0/token"),
        ({"a/b": {"~": "{{bot}}"}}, "/a~1b/~0"),
        ({"a": ["x", {"password": "in clear"}]}, "/a/1/password"),
        ({"a": [{"{{secret:bot}}": 1}]}, ""),
        ({"{{secret:bot}}": "x"}, ""),
    ],
)
def test_what_stands_where_it_may_not_is_named_by_its_place(settings, where):
    assert [pointer for pointer, _ in misplaced(settings)] == [where]
