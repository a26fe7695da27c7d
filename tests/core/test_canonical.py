import json
import math

import pytest
import rfc8785
from hypothesis import example, given
from hypothesis import strategies as st

from audit.core.canonical import MAX_DEPTH, MAX_INTEGER, NotCanonical, canonical, check, digest, escaped, parse

texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"))
numbers = st.integers(-MAX_INTEGER, MAX_INTEGER) | st.floats(-1e15, 1e15) | st.floats(1e21, 1e300)
values = st.recursive(
    st.none() | st.booleans() | numbers | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=20,
)


@given(values)
@example({"\ue000": 1, "\U0001f600": 2, "a": 3})
@example({"é": 1, "z": 2})
@example(["\x7f\x1f\u2028", -0.0, 1e-7, 0.1, 1e21])
def test_the_form_is_that_of_the_reference_implementation(value):
    assert canonical(value) == rfc8785.dumps(value)


@given(values)
def test_what_is_read_back_has_the_same_form(value):
    once = canonical(value)

    assert canonical(parse(once)) == once


def test_keys_stand_in_the_order_of_utf_16():
    assert canonical({"\ue000": 1, "\U0001f600": 2}) == '{"\U0001f600":2,"\ue000":1}'.encode()


def test_the_order_of_keys_and_the_space_between_do_not_matter():
    assert digest(parse('{"b": [1, 2.0],\n "a": "x"}')) == digest({"a": "x", "b": [1, 2]})


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('{"a": 1, "a": 2}', "stands twice"),
        ('{"a": {"b": 1, "b": 1}}', "stands twice"),
        (f"[{MAX_INTEGER + 1}]", "beyond 2^53"),
        (f"[-{MAX_INTEGER + 1}]", "beyond 2^53"),
        ("[1e20]", "beyond 2^53"),
        ("NaN", "not JSON"),
        ("[Infinity]", "not JSON"),
        ("[-Infinity]", "not JSON"),
        ("[1e999]", "not JSON"),
        ('["\\ud800"]', "lone surrogate"),
        ('{"\\udfff": 1}', "lone surrogate"),
        ('["a\\u0000b"]', "NUL"),
        ('{"\\u0000": 1}', "NUL"),
        ("[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1), "deeper than 64"),
        ("[" * 100_000 + "]" * 100_000, "deeper than 64"),
        ('{"a": 1', "not JSON"),
        ("", "not JSON"),
        ("'a'", "not JSON"),
        ("[" + "9" * 5000 + "]", "not JSON"),
        (b"\xff\xfe", "not UTF-8"),
    ],
)
def test_what_has_no_single_form_is_refused(text, why):
    with pytest.raises(NotCanonical, match=why.replace("^", r"\^")) as refused:
        parse(text)

    assert refused.value.code == "not_canonical"
    assert refused.value.code.status == 422
    assert refused.value.recovery


@pytest.mark.parametrize("value", [{1: "a"}, {"a": object()}, b"bytes", {"a", "b"}, [10**5000], math.nan, math.inf])
def test_what_is_no_json_value_is_refused(value):
    with pytest.raises(NotCanonical):
        canonical(value)
    with pytest.raises(NotCanonical):
        check(value)


def test_sixty_four_levels_are_allowed():
    deep = "[" * MAX_DEPTH + "]" * MAX_DEPTH

    assert canonical(parse(deep)) == deep.encode()


@given(st.text(st.characters()) | st.text("\\u0123abcdef\x00\ud800\u202e"))
@example("\\u0000\x00")
@example("\\\\u202e\u202e")
def test_an_escaped_text_is_harmless_and_tells_all(text):
    found = escaped(text)

    check(found)
    assert not set(found) & set("\x00\x1b\r\x7f\u200b\u202e\u2066\ufeff")
    assert _unescaped(found) == text


@pytest.mark.parametrize("text", ["plain", "two\nlines\tand a tab", "C:\\users\\ada", "žluťoučký 🐎", '"quoted"'])
def test_an_honest_text_stays_as_it_is(text):
    assert escaped(text) == text


def _unescaped(text):
    found, rest = [], text
    while rest:
        if rest[0] == "\\" and rest[1:2] == "u" and len(rest) >= 6 and all(c in "0123456789abcdef" for c in rest[2:6]):
            found.append(chr(int(rest[2:6], 16)))
            rest = rest[6:]
        else:
            found.append(rest[0])
            rest = rest[1:]
    return "".join(found)


def test_a_string_enum_is_written_as_its_value():
    from audit.core.codes import Code

    assert json.loads(canonical({"code": Code.FROZEN})) == {"code": "frozen"}
