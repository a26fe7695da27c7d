"""Playbooks: what is refused when they are written, what is filled in when they are used."""

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.agents.matching import Surroundings
from runtime.agents.playbook import BadPlaybook, bare, compile_playbook, last_part, slug
from tests.agents.contexts import PLAYBOOKS, shipped

AROUND = Surroundings(("/srv/repos",))
SMALL: dict[str, Any] = {
    "name": "small",
    "match": ["Look at {thing}"],
    "parameters": {"thing": {"type": "text"}},
    "plan": {
        "summary": "Look at ${thing}",
        "steps": [{"input": {"$param": "thing"}, "ref": {"$from": "a", "pointer": "/x"}, "n": 1}],
    },
}


def changed(path: list[Any], value: Any) -> dict[str, Any]:
    book = copy.deepcopy(SMALL)
    target: Any = book
    for key in path[:-1]:
        target = target[key]
    target[path[-1]] = value
    return book


def test_values_and_texts_are_filled_in_and_nothing_else_is_touched():
    plan = compile_playbook(SMALL, digest="d").plan_for({"thing": "a thing"})

    assert plan == {
        "summary": "Look at a thing",
        "steps": [{"input": "a thing", "ref": {"$from": "a", "pointer": "/x"}, "n": 1}],
        "playbook": {"name": "small", "digest": "d", "parameters": {"thing": "a thing"}},
    }


@given(st.text())
def test_what_is_filled_in_is_never_read_again(text):
    plan = compile_playbook(SMALL).plan_for({"thing": text + "${thing} {'$param': 'thing'}"})

    assert plan["steps"][0]["input"] == text + "${thing} {'$param': 'thing'}"
    assert plan["summary"] == "Look at " + text + "${thing} {'$param': 'thing'}"


@pytest.mark.parametrize(
    ("path", "value", "says"),
    [
        (["name"], "Small Book", "name"),
        (["name"], None, "name"),
        (["match"], [], "match"),
        (["match"], "Look at {thing}", "match"),
        (["match"], ["Look at {other}"], "slots"),
        (["match"], ["Look around"], "slots"),
        (["match"], ["{thing} it"], "must follow"),
        (["parameters"], {"thing": {"type": "shell"}}, "type must be one of"),
        (["parameters"], {"thing": {"type": "text", "default": "x"}}, "type must be one of"),
        (["parameters"], ["thing"], "mapping"),
        (["plan"], {"summary": "x"}, "steps"),
        (["plan", "summary"], "${nothing}", "no parameter"),
        (["plan", "summary"], "${thing|shell}", "filters are"),
        (["plan", "steps"], [{"$param": "nothing"}], "no parameter"),
        (["plan", "steps"], [{"$param": "thing", "beside": 1}], "beside"),
        (["plan", "playbook"], {"name": "other"}, "written by the planner"),
        (["model"], "x", "unknown keys"),
    ],
)
def test_a_playbook_that_cannot_work_is_refused_when_it_is_read(path, value, says):
    with pytest.raises(BadPlaybook, match=says):
        compile_playbook(changed(path, value))


@pytest.mark.parametrize("source", [None, [], "text", 3])
def test_what_is_no_mapping_is_no_playbook(source):
    with pytest.raises(BadPlaybook):
        compile_playbook(source)


def test_a_plan_nested_without_end_is_refused():
    deep: Any = "x"
    for _ in range(100):
        deep = [deep]

    with pytest.raises(BadPlaybook, match="deeper"):
        compile_playbook(changed(["plan", "steps"], deep))


def test_the_first_sentence_that_fits_is_read():
    book = compile_playbook(shipped("repository-report"))

    reading = book.read("Report on the repository /srv/repos/orders since v1", AROUND)

    assert reading is not None
    assert (reading.values, reading.trouble) == ({"repository": "/srv/repos/orders", "since": "v1"}, "")


def test_a_value_that_cannot_be_read_is_explained_and_not_read_by_a_looser_sentence():
    book = compile_playbook(shipped("repository-report"))

    reading = book.read("Report on the repository /etc since v1", AROUND)

    assert reading is not None
    assert reading.trouble == "/etc is not under /srv/repos, where repositories may be looked at"


@given(st.text(max_size=120))
def test_a_slug_is_a_harmless_part_of_a_path(text):
    made = slug(text)

    assert 0 < len(made) <= 48
    assert "/" not in made
    assert ".." not in made
    assert not made.startswith((".", "-"))
    assert not made.endswith((".", "-"))
    assert made.isascii()


@pytest.mark.parametrize(
    ("path", "name"), [("/srv/orders", "orders"), ("/srv/orders.git/", "orders"), ("/", "/"), ("orders", "orders")]
)
def test_a_repository_is_called_by_the_end_of_its_path(path, name):
    assert last_part(path) == name


@pytest.mark.parametrize(
    ("url", "name"),
    [("https://a.example/b/?c#d", "a.example/b"), ("a.example/", "a.example"), ("HTTP://a.example?b", "a.example")],
)
def test_an_address_is_filed_under_where_it_leads(url, name):
    assert bare(url) == name


@pytest.mark.parametrize("path", sorted(PLAYBOOKS.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_shipped_playbook_is_named_like_its_file(path):
    book = compile_playbook(shipped(path.stem))

    assert book.name == path.stem
    assert book.description
