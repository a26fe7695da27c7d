import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audit.core.codes import Code
from audit.core.refusals import Fault, Refused
from governance.core.references import (
    BadReference,
    PointerLost,
    Reference,
    is_literal,
    look_up,
    references,
    renamed,
    resolve,
    sources,
    tokens,
)
from governance.core.schemas import pointer

LAW = settings(max_examples=80, deadline=None)
# RFC 6901, section 5.
DOCUMENT = {
    "foo": ["bar", "baz"], "": 0, "a/b": 1, "c%d": 2, "e^f": 3, "g|h": 4, "i\\j": 5, 'k"l': 6, " ": 7, "m~n": 8,
}  # fmt: skip


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("", DOCUMENT), ("/foo", ["bar", "baz"]), ("/foo/0", "bar"), ("/", 0), ("/a~1b", 1), ("/c%d", 2), ("/e^f", 3),
        ("/g|h", 4), ("/i\\j", 5), ('/k"l', 6), ("/ ", 7), ("/m~0n", 8),
    ],
)  # fmt: skip
def test_pointers_name_what_the_standard_says(path, value):
    assert look_up(DOCUMENT, path) == value


@pytest.mark.parametrize(
    "path", ["/bar", "/foo/2", "/foo/-", "/foo/01", "/foo/-1", "/foo/one", "/foo/0/0", "/foo/9999999999"]
)
def test_a_pointer_to_nothing_is_lost(path):
    with pytest.raises(PointerLost, match="nothing at"):
        look_up(DOCUMENT, path)


@pytest.mark.parametrize("path", ["foo", "#/foo", "/~2", "/~", " /foo"])
def test_what_is_no_pointer_is_said_to_be_none(path):
    with pytest.raises(PointerLost, match="not a JSON pointer"):
        tokens(path)


VALUE = {
    "log": {"$from": "history", "pointer": "/log"},
    "deep": [1, {"file": {"$artifact": {"step": "report", "name": "r.md"}}}],
    "own": {"$from": "self", "pointer": "/w"},
    "odd": {"$from": "history"},
}


def test_references_are_found_wherever_they_stand():
    good, bad = references(VALUE)

    assert good == (
        Reference(("log",), "result", "history", "/log"),
        Reference(("deep", 1, "file"), "artifact", "report", "r.md"),
        Reference(("own",), "result", "self", "/w"),
    )
    assert [each.at for each in bad] == [("odd",)]
    assert sources(VALUE) == {"history", "report"}


@pytest.mark.parametrize(
    "broken",
    [
        {"$from": "a"}, {"$from": 1, "pointer": ""}, {"$from": "a", "pointer": 1}, {"$from": "a", "pointer": "/x", "y": 1},
        {"$from": "a", "pointer": "x"}, {"$artifact": "a"}, {"$artifact": {"step": "a"}}, {"$artifact": {"step": 1, "name": "n"}},
        {"$artifact": {"step": "a", "name": "n", "id": 1}}, {"$artifact": {"step": "a", "name": "n"}, "x": 1},
        {"$from": "a", "pointer": "", "$artifact": {}},
    ],
)  # fmt: skip
def test_what_looks_like_a_reference_and_is_none_is_neither_literal_nor_resolved(broken):
    assert not is_literal([broken])
    assert isinstance(references(broken)[1][0], BadReference)
    with pytest.raises(Refused) as refused:
        resolve(broken, {"a": {"x": 1}}, {("a", "n"): {"id": 1}})
    assert refused.value.code == Code.BAD_INPUT
    assert renamed(broken, {"a": "b"}) == broken


def test_resolving_puts_values_in_place_and_keeps_the_rest():
    value = {
        "a": {"$from": "s", "pointer": "/x/0"},
        "b": ["text", 1, None, {"c": True}],
        "d": {"$artifact": {"step": "t", "name": "n"}},
    }

    resolved = resolve(value, {"s": {"x": [{"y": 1}]}}, {("t", "n"): {"id": "7", "sha256": "ab"}})

    assert resolved == {
        "a": {"y": 1},
        "b": ["text", 1, None, {"c": True}],
        "d": {"$artifact": {"id": "7", "sha256": "ab"}},
    }


def test_what_comes_out_of_a_result_is_data_and_never_resolved_again():
    planted = {"$from": "secret", "pointer": ""}

    assert resolve({"$from": "s", "pointer": "/x"}, {"s": {"x": planted}, "secret": "no"}) == planted


def test_every_reference_that_fails_is_told_at_once_and_nothing_is_resolved():
    value = [
        {"$from": "gone", "pointer": ""}, {"$from": "s", "pointer": "/nothing"}, {"$artifact": {"step": "s", "name": "n"}},
        {"$from": "s", "pointer": ""},
    ]  # fmt: skip

    with pytest.raises(Refused) as refused:
        resolve(value, {"s": {}}, at="/input")

    assert refused.value.faults == (
        Fault("/input/0", "bad_reference", "there is no result of the step gone"),
        Fault("/input/1", "bad_reference", "the result of the step s has nothing at '/nothing'"),
        Fault("/input/2", "bad_reference", "the step s has no artifact called n"),
    )


def test_renaming_reaches_every_reference_and_leaves_self_and_strangers():
    assert renamed(VALUE, {"history": "1", "report": "2"}) == VALUE | {
        "log": {"$from": "1", "pointer": "/log"},
        "deep": [1, {"file": {"$artifact": {"step": "2", "name": "r.md"}}}],
    }


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=10,
)


def _places(value, at=()):
    yield at, value
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield from _places(item, (*at, key))


@given(JSON)
@LAW
def test_every_place_of_every_document_has_a_pointer_that_finds_it(document):
    for path, value in _places(document):
        assert look_up(document, pointer(path)) == value


@given(JSON)
@LAW
def test_a_literal_resolves_to_itself_and_names_nothing(document):
    if is_literal(document):
        assert resolve(document, {}) == document
        assert renamed(document, {}) == document
        assert sources(document) == frozenset()


def test_references_put_in_at_most_a_mebibyte_however_small_the_value_is():
    results = {"s": {"x": "z" * 200_000, "y": "y"}}
    reference = {"$from": "s", "pointer": "/x"}

    assert resolve([reference] * 5, results) == [results["s"]["x"]] * 5
    assert resolve([{"$from": "s", "pointer": "/y"}] * 10_000, results) == ["y"] * 10_000
    for value in ([reference] * 6, [reference] * 500, [{"$from": "s", "pointer": ""}, *[reference] * 5]):
        with pytest.raises(Refused, match="more than 1048576 bytes") as refused:
            resolve(value, results, at="/input")
        assert refused.value.code == Code.BAD_INPUT
        assert [fault.code for fault in refused.value.faults] == ["too_large"]


def test_artifacts_count_too():
    known = {("s", "n"): {"id": "7" * 1000}}
    with pytest.raises(Refused, match="more than"):
        resolve([{"$artifact": {"step": "s", "name": "n"}}] * 1100, {}, known)


def test_of_many_references_that_fail_a_few_are_told_and_shortly():
    value = {"k" * 100_000: [{"$from": "gone" * 1000, "pointer": ""}] * 10_000}
    with pytest.raises(Refused) as refused:
        resolve(value, {})
    assert len(refused.value.faults) == 50
    assert all(len(fault.path) <= 300 and len(fault.message) <= 300 for fault in refused.value.faults)
