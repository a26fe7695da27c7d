"""Tools of MCP servers as values: what a digest covers, what a look at a server finds, what is handed on of an answer."""

import dataclasses

import pytest

from gateway.core.mcp import Definition, Known, ToolState, answer_of, changes, compare, output_schema, skill_name

ECHO = Definition("echo", "Says it again.", {"type": "object"}, None, {"readOnlyHint": True})
OTHERWISE = {
    "name": "Echo",
    "description": "Says it again, and mails it.",
    "input_schema": {"type": "object", "required": ["to"]},
    "output_schema": {"type": "object"},
    "annotations": {"readOnlyHint": False},
}


def known(state, definition=ECHO, served=None):
    return Known(state, definition, definition.digest if served is None else served)


def found(*arguments):
    return [(each.kind, each.name, each.because) for each in compare(*arguments)]


def test_a_digest_covers_everything_that_people_and_models_read():
    others = {dataclasses.replace(ECHO, **{name: value}).digest for name, value in OTHERWISE.items()}

    assert len(others | {ECHO.digest}) == len(dataclasses.fields(Definition)) + 1
    assert dataclasses.replace(ECHO, input_schema=dict(ECHO.input_schema)).digest == ECHO.digest


@pytest.mark.parametrize("state", ToolState)
def test_what_is_served_as_it_was_is_no_finding(state):
    assert found([known(state)], [ECHO]) == []


@pytest.mark.parametrize("part", [name for name in OTHERWISE if name != "name"])
def test_a_change_suspends_what_was_accepted_and_never_accepts_anything(part):
    changed = dataclasses.replace(ECHO, **{part: OTHERWISE[part]})
    because = f"the server changed its {part.replace('_', ' ')}"

    kinds = {state: found([known(state)], [changed]) for state in ToolState if state != ToolState.WITHDRAWN}

    assert changes(ECHO, changed) == [part.replace("_", " ")]
    assert kinds == {
        ToolState.DISCOVERED: [("changed", "echo", because)],
        ToolState.ACCEPTED: [("suspend", "echo", because)],
        ToolState.SUSPENDED: [("noted", "echo", because)],
        ToolState.REFUSED: [("noted", "echo", because)],
    }


def test_what_is_gone_is_suspended_where_it_was_accepted_and_withdrawn_where_nobody_relied_on_it():
    gone = "the server serves it no more"

    assert found([known("accepted")], []) == [("suspend", "echo", gone)]
    assert found([known("discovered")], []) == [("withdraw", "echo", gone)]
    assert found([known("refused")], []) == [("withdraw", "echo", gone)]
    assert found([known("suspended")], []) == [("noted", "echo", gone)]
    assert found([known("suspended", served="")], []) == []


def test_a_renamed_tool_is_a_new_one_and_the_old_one_says_its_new_name():
    renamed = dataclasses.replace(ECHO, name="repeat")

    assert found([known("accepted")], [renamed]) == [
        ("suspend", "echo", "the server serves it as repeat now"),
        ("new", "repeat", "the server serves it"),
    ]


def test_a_suspended_tool_that_is_served_as_before_is_told_so_and_stays_suspended():
    assert found([known("suspended", served="0" * 64)], [ECHO]) == [("noted", "echo", "it is served as before")]


@pytest.mark.parametrize("tool", ["", "a b", "a/b", "*", "a\n", "-a", "a" * 100, "[a]", "ä"])
def test_a_name_that_a_rule_could_misread_is_no_skills(tool):
    assert skill_name("time", tool) == ""
    assert skill_name("time", "get_current-time.v2") == "mcp.time.get_current-time.v2"


def test_of_an_answer_texts_are_whole_and_everything_else_is_named_by_kind_and_size():
    answer = answer_of(
        [
            {"type": "text", "text": "hello"},
            {"type": "image", "data": "AAAA", "mimeType": "image/png"},
            {"type": "resource", "resource": {"uri": "a:b", "text": "inside"}},
            {"type": "resource", "resource": {"uri": "a:b", "blob": "AA", "mimeType": "x/y"}},
            {"type": "resource_link", "uri": "a:c", "name": "c"},
            {"type": "of tomorrow"},
        ],
        {"n": 1},
    )

    assert answer == {
        "content": [
            {"type": "text", "text": "hello"},
            {"type": "image", "media_type": "image/png", "characters": 4},
            {"type": "text", "text": "inside", "uri": "a:b"},
            {"type": "resource", "media_type": "x/y", "characters": 2},
            {"type": "resource_link", "uri": "a:c", "name": "c"},
            {"type": "of tomorrow", "media_type": "", "characters": 0},
        ],
        "structured": {"n": 1},
    }
    assert answer_of([], None) == {"content": []}


def test_the_schema_of_an_answer_keeps_the_references_of_the_tools_own():
    from governance.core.schemas import Schema

    own = {"type": "object", "properties": {"n": {"$ref": "#/$defs/n"}}, "$defs": {"n": {"type": "integer"}}}
    schema = Schema(output_schema(dataclasses.replace(ECHO, output_schema=own)))

    assert schema.accepts({"content": [], "structured": {"n": 1}})
    assert not schema.accepts({"content": [], "structured": {"n": "1"}})
    assert not Schema(output_schema(ECHO)).accepts({"structured": {}})
