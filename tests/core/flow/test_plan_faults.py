from dataclasses import replace

import pytest

from audit.core.codes import Code
from audit.core.refusals import Refused
from governance.core.facts import SkillFact
from governance.core.plan import parse_plan
from tests.core.flow.plans import CATALOGUE, FREE, a_direct_step, a_plan, a_plan_step, good_plan


def faults(body, catalogue=CATALOGUE):
    return [(fault.path, fault.code) for fault in parse_plan(body, catalogue).faults]


def spoilt(change):
    body = good_plan()
    change(body)
    return body


# --- One fault at a time


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (lambda b: b["steps"][0].update(agent_name="giskard"), ("/steps/0/agent_name", "unknown_agent")),
        (lambda b: b["steps"][3].update(agent_name="hari"), ("/steps/3/agent_name", "unknown_agent")),
        (lambda b: b["steps"][0]["allowed_skills"].append("git.push"), ("/steps/0/allowed_skills/1", "unknown_skill")),
        (lambda b: b["steps"][3].update(allowed_skills=["git.log"]), ("/steps/3/allowed_skills/0", "skill_not_allowed")),
        (lambda b: b["steps"][0]["allowed_skills"].append("http.get"), ("/steps/0/allowed_skills/1", "skill_not_allowed")),
        (
            lambda b: b["steps"][0].pop("allowed_skills"),
            ("/steps/0/instruction/calls/0/skill", "skill_not_allowed"),
        ),
        (
            lambda b: b["steps"][0]["instruction"]["calls"][0].update(skill="git.push"),
            ("/steps/0/instruction/calls/0/skill", "unknown_skill"),
        ),
        (lambda b: b["steps"][3]["depends_on"].append("nowhere"), ("/steps/3/depends_on/2", "unknown_ref")),
        (
            lambda b: b["steps"].append(a_plan_step("answer", agent_name="daneel")),
            ("/steps/4/step_ref", "duplicate_ref"),
        ),
        (
            lambda b: b["steps"][0]["instruction"]["calls"].append(b["steps"][0]["instruction"]["calls"][0]),
            ("/steps/0/instruction/calls/1/call_id", "duplicate_ref"),
        ),
        (lambda b: b["steps"][0].update(depends_on=["history"]), ("/steps/0/depends_on", "cycle")),
        (lambda b: b["steps"][0].update(depends_on=["file"]), ("/steps/0/depends_on", "cycle")),
        (
            lambda b: b["steps"][0]["instruction"]["calls"][0]["input"].pop("repository"),
            ("/steps/0/instruction/calls/0/input", "bad_input"),
        ),
        (
            lambda b: b["steps"][0]["instruction"]["calls"][0]["input"].update(limit="many"),
            ("/steps/0/instruction/calls/0/input/limit", "bad_input"),
        ),
        (
            lambda b: b["steps"][2]["instruction"]["calls"][0]["input"].update(if_exists="overwrite"),
            ("/steps/2/instruction/calls/0/input/if_exists", "bad_input"),
        ),
        (
            lambda b: b["steps"][2]["instruction"]["calls"][0]["input"].update(mode=5),
            ("/steps/2/instruction/calls/0/input", "bad_input"),
        ),
        (
            lambda b: b["steps"][1]["instruction"]["data"].update(log={"$from": "answer", "pointer": ""}),
            ("/steps/1/instruction/data/log", "bad_reference"),
        ),
        (
            lambda b: b["steps"][1]["instruction"]["data"].update(log={"$from": "nowhere", "pointer": ""}),
            ("/steps/1/instruction/data/log", "bad_reference"),
        ),
        (
            lambda b: b["steps"][1]["instruction"]["data"].update(log={"$from": "history", "pointer": "/log", "x": 1}),
            ("/steps/1/instruction/data/log", "bad_reference"),
        ),
        (
            lambda b: b["steps"][1]["instruction"]["data"].update(log={"$from": "history", "pointer": "log"}),
            ("/steps/1/instruction/data/log", "bad_reference"),
        ),
        (
            lambda b: b["steps"][1]["instruction"]["data"].update(log={"$from": "history", "pointer": "/blame"}),
            ("/steps/1/instruction/data/log", "bad_reference"),
        ),
        (
            lambda b: b["steps"][1]["instruction"]["data"].update(log={"$from": "self", "pointer": ""}),
            ("/steps/1/instruction/data/log", "bad_reference"),
        ),
        (
            lambda b: b["steps"][2]["instruction"]["output"].update(path={"$from": "self", "pointer": "/wrote"}),
            ("/steps/2/instruction/output/path", "bad_reference"),
        ),
        (
            lambda b: b["steps"][2]["instruction"]["calls"][0]["input"]["content"]["$artifact"].update(name="other.md"),
            ("/steps/2/instruction/calls/0/input/content", "bad_reference"),
        ),
        (
            lambda b: b["steps"][1]["instruction"].pop("artifact"),
            ("/steps/2/instruction/calls/0/input/content", "bad_reference"),
        ),
        (lambda b: b["steps"][0]["instruction"].update(kind="shell"), ("/steps/0/instruction/kind", "bad_schema")),
        (lambda b: b["steps"][0]["instruction"].pop("kind"), ("/steps/0/instruction/kind", "bad_schema")),
        (lambda b: b["steps"][0]["instruction"].update(kind=[]), ("/steps/0/instruction/kind", "bad_schema")),
        (lambda b: b["steps"][1]["instruction"].update(template="../../etc/passwd"),
         ("/steps/1/instruction/template", "bad_schema")),
        (lambda b: b["steps"][1]["instruction"]["artifact"].update(media_type="a page"),
         ("/steps/1/instruction/artifact/media_type", "bad_schema")),
        (lambda b: b["steps"][0].update(run="other"), ("/steps/0", "bad_schema")),
        (lambda b: b["steps"][3].update(step_ref="self"), ("/steps/3/step_ref", "bad_schema")),
        (lambda b: b["steps"][3].update(step_ref=7), ("/steps/3/step_ref", "bad_schema")),
        (lambda b: b["steps"][3].update(objective=" \n"), ("/steps/3/objective", "bad_schema")),
        (lambda b: b["steps"][3].update(agent_name=None), ("/steps/3/agent_name", "bad_schema")),
        (lambda b: b["steps"][3].update(instruction="do it"), ("/steps/3/instruction", "bad_schema")),
        (lambda b: b["steps"][3].update(allowed_skills="git.log"), ("/steps/3/allowed_skills", "bad_schema")),
        (lambda b: b["steps"].append("and so on"), ("/steps/4", "bad_schema")),
        (lambda b: b.update(summary=""), ("/summary", "bad_schema")),
        (lambda b: b.pop("summary"), ("", "bad_schema")),
        (lambda b: b.update(no_plan="I give up"), ("", "bad_schema")),
        (lambda b: b["playbook"].update(digest="abc"), ("/playbook/digest", "bad_schema")),
    ],
)  # fmt: skip
def test_one_thing_wrong_is_one_fault_in_its_place(change, found):
    assert faults(spoilt(change)) == [found]


@pytest.mark.parametrize("name", ["../x", "/etc/passwd", ".hidden", "a/b", "a\nb", "", "x" * 121])
def test_the_name_of_an_artifact_is_never_a_path(name):
    body = spoilt(lambda b: b["steps"][1]["instruction"]["artifact"].update(name=name))

    assert ("/steps/1/instruction/artifact/name", "bad_schema") in faults(body)


@pytest.mark.parametrize("body", [None, 7, "plan", [], {"no_plan": "there is none"}, {"summary": "s", "steps": "none"}])
def test_what_is_no_plan_at_all_is_said_to_be_none(body):
    plan = parse_plan(body, CATALOGUE)

    assert {fault.code for fault in plan.faults} == {"bad_schema"}
    assert (plan.steps, plan.summary) == ((), "")


def test_a_plan_has_at_least_one_step():
    assert faults(a_plan()) == [("/steps", "bad_schema")]


def test_twenty_one_steps_are_too_many_and_twenty_are_not():
    twenty = [a_plan_step(f"s{number}") for number in range(20)]

    assert faults(a_plan(*twenty)) == []
    assert faults(a_plan(*twenty, a_plan_step("s20"))) == [("/steps", "too_many_steps")]


def test_a_chain_of_nine_is_too_deep_and_one_of_eight_is_not():
    chain = [a_plan_step("s0"), *(a_plan_step(f"s{number}", f"s{number - 1}") for number in range(1, 9))]

    assert faults(a_plan(*chain[:8])) == []
    assert faults(a_plan(*chain)) == [("/steps/8/depends_on", "too_deep")]


def test_a_cycle_is_named_from_its_first_step_on_and_every_cycle_once():
    body = a_plan(
        a_plan_step("x", "b"), a_plan_step("a", "c"), a_plan_step("b", "a"), a_plan_step("c", "b"), a_plan_step("own", "own"),
    )  # fmt: skip

    found = parse_plan(body, CATALOGUE).faults

    assert [(fault.path, fault.code) for fault in found] == [
        ("/steps/1/depends_on", "cycle"),
        ("/steps/4/depends_on", "cycle"),
    ]
    assert found[0].message == "these steps wait for each other: a → c → b → a"
    assert found[1].message == "these steps wait for each other: own → own"


def test_everything_wrong_is_said_at_once():
    body = a_plan(
        a_plan_step("a", "b", agent_name="giskard"),
        a_plan_step("b", "a", "nowhere", allowed_skills=["git.push", "http.get"]),
        a_plan_step("a", instruction={"kind": "direct", "calls": []}),
        {"step_ref": 5},
        *(a_plan_step(f"s{number}") for number in range(18)),
    )

    assert {code for _, code in faults(body)} == {
        "bad_schema", "too_many_steps", "duplicate_ref", "unknown_ref", "cycle", "unknown_agent", "unknown_skill",
        "skill_not_allowed",
    }  # fmt: skip
    assert parse_plan(body, CATALOGUE).steps == ()


def test_a_fault_shows_neither_escapes_nor_keys_nor_endless_text():
    secret = "AKIA" + "IOSFODNN7EXAMPLE"
    body = a_plan(a_plan_step("a", objective=[f"{secret} \x1b[31m" + "x" * 1000]))

    (fault,) = parse_plan(body, CATALOGUE).faults

    assert secret not in fault.message
    assert "\x1b" not in fault.message
    assert len(fault.message) <= 300


# --- References


def test_a_step_may_take_from_any_step_before_it_and_not_only_from_the_nearest():
    first = a_direct_step("a", {})
    last = a_direct_step("c", {"x": {"$from": "a", "pointer": "/c0/deep/down"}}, needs=("b",))

    assert faults(a_plan(first, a_plan_step("b", "a"), last), FREE) == []


def test_an_output_of_its_own_may_have_any_shape():
    shaped = a_direct_step("a", {}, output={"first": {"$from": "self", "pointer": "/c0"}})
    taker = a_direct_step("b", {"x": {"$from": "a", "pointer": "/first/title"}}, needs=("a",))

    assert faults(a_plan(shaped, taker), FREE) == []


def test_a_whole_result_may_be_taken():
    taker = a_direct_step(
        "b", {"x": {"$from": "a", "pointer": ""}}, needs=("a",), output={"$from": "self", "pointer": ""}
    )

    assert faults(a_plan(a_direct_step("a", {}), taker), FREE) == []


def test_a_call_takes_nothing_from_its_own_step():
    own = a_direct_step("a", {}, {"x": {"$from": "self", "pointer": "/c0"}})

    assert faults(a_plan(own), FREE) == [("/steps/0/instruction/calls/1/input/x", "bad_reference")]


def test_an_artifact_of_a_step_that_may_make_any_is_taken_on_trust():
    maker = a_plan_step("a", instruction={"kind": "agentic", "goal": "g"})
    direct = a_direct_step("b", {})
    taker = a_direct_step(
        "c",
        {"x": {"$artifact": {"step": "a", "name": "n"}}, "y": {"$artifact": {"step": "b", "name": "n"}}},
        needs=("a", "b"),
    )

    assert faults(a_plan(maker, direct, taker), FREE) == []


@pytest.mark.parametrize("broken", [{"calls": "none"}, {"calls": ["none", {"call_id": []}]}, {}])
def test_a_reference_to_a_step_that_is_broken_itself_breaks_nothing(broken):
    body = a_plan(
        a_plan_step("a", instruction={"kind": "direct"} | broken),
        a_direct_step("b", {"x": {"$from": "a", "pointer": "/c0"}}, needs=("a",)),
    )

    assert "bad_schema" in {code for _, code in faults(body, FREE)}


def test_where_a_reference_stands_the_schema_of_the_skill_has_no_say_yet_but_elsewhere_it_has():
    schema = {
        "type": "object", "required": ["a", "b"], "additionalProperties": False,
        "properties": {"a": {"type": "integer"}, "b": {"type": "array", "maxItems": 1, "items": {"type": "string"}}},
        "anyOf": [{"properties": {"a": {"const": 5}}}],
    }  # fmt: skip
    catalogue = replace(
        FREE, skills=FREE.skills | {"http.get": SkillFact("http.get", "read_only", input_schema=schema)}
    )
    later = {"$from": "a", "pointer": ""}

    def tried(value):
        body = a_plan(a_plan_step("a"), a_direct_step("b", value, needs=("a",)))
        return [path.removeprefix("/steps/1/instruction/calls/0/input") for path, _ in faults(body, catalogue)]

    assert tried({"a": later, "b": [later]}) == []
    assert tried({"a": later, "b": [later, later]}) == ["/b"]
    assert tried({"a": later, "b": [7]}) == ["/b/0"]
    assert tried({"a": later}) == [""]
    assert tried({"a": 6, "b": []}) == [""]


def test_a_skill_whose_schema_is_none_is_refused_as_such():
    catalogue = replace(
        FREE, skills=FREE.skills | {"http.get": SkillFact("http.get", "read_only", input_schema={"type": "x"})}
    )

    with pytest.raises(Refused) as refused:
        parse_plan(a_plan(a_direct_step("a", {})), catalogue)

    assert refused.value.code == Code.INVALID
