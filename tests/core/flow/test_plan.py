import pytest

from audit.core.canonical import digest, parse
from governance.core.plan import literal_calls, parse_plan
from tests.core.flow.plans import CATALOGUE, FREE, GOOD, a_direct_step, a_plan, a_plan_step, good_plan


def faults(body, catalogue=CATALOGUE):
    return [(fault.path, fault.code) for fault in parse_plan(body, catalogue).faults]


def spoilt(change):
    body = good_plan()
    change(body)
    return body


# --- A good plan


def test_a_good_plan_has_no_faults_and_all_its_steps():
    plan = parse_plan(good_plan(), CATALOGUE)

    assert plan.faults == ()
    assert [step.step_ref for step in plan.steps] == ["history", "report", "file", "answer"]
    assert plan.skills == ("files.write", "git.log")
    assert plan.playbook.name == "repository-report"


def test_the_normal_form_trims_texts_and_writes_defaults_out_but_leaves_inputs():
    body = good_plan()
    body["steps"][0]["instruction"]["calls"][0]["input"]["repository"] = " /srv/worka "
    body["steps"].append(a_plan_step("think", instruction={"kind": "agentic", "goal": " find out "}))

    plan = parse_plan(body, CATALOGUE)

    assert plan.summary == "Report on worka"
    assert plan.steps[0].objective == "Read the history"
    assert plan.steps[0].depends_on == ()
    assert plan.steps[0].calls[0].input["repository"] == " /srv/worka "
    assert plan.steps[4].instruction == {"kind": "agentic", "goal": "find out", "max_turns": 20}
    assert parse_plan(a_plan(a_plan_step("a")), CATALOGUE).steps[0].instruction["data"] == {}


def test_steps_stand_in_an_order_in_which_they_can_be_done_else_as_they_were_written():
    body = a_plan(a_plan_step("d", "b", "a"), a_plan_step("c"), a_plan_step("b", "a"), a_plan_step("a"))

    plan = parse_plan(body, CATALOGUE)

    assert [step.step_ref for step in plan.steps] == ["c", "a", "b", "d"]
    assert plan.steps[3].depends_on == ("a", "b")


def test_repeated_names_in_lists_are_said_once():
    body = a_plan(a_plan_step("a"), a_plan_step("b", "a", "a", allowed_skills=["git.log", "files.write", "git.log"]))

    assert parse_plan(body, CATALOGUE).steps[1].as_json() == {
        "step_ref": "b", "agent_name": "ernest", "objective": "Do it",
        "instruction": {"kind": "render", "template": "answer", "data": {}}, "allowed_skills": ["files.write", "git.log"],
        "depends_on": ["a"],
    }  # fmt: skip


def test_a_plan_without_a_playbook_has_none_in_its_normal_form():
    assert "playbook" not in parse_plan(a_plan(a_plan_step("a")), CATALOGUE).as_json()
    assert parse_plan(good_plan(), CATALOGUE).as_json()["playbook"] == GOOD["playbook"]


def test_parsing_changes_nothing_in_what_was_proposed():
    body = good_plan()

    parse_plan(body, CATALOGUE)

    assert body == GOOD


# --- The hash


def test_the_same_text_has_the_same_hash_whatever_the_order_of_its_keys():
    text = '{"steps":[{"step_ref":"a","agent_name":"ernest","objective":"x","instruction":{"kind":"render","template":"t"}}],"summary":"s"}'
    other = '{"summary":"s","steps":[{"instruction":{"template":"t","kind":"render"},"objective":"x","agent_name":"ernest","step_ref":"a"}]}'

    assert parse_plan(parse(text), CATALOGUE).plan_hash == parse_plan(parse(other), CATALOGUE).plan_hash


def test_the_normal_form_is_normal():
    plan = parse_plan(good_plan(), CATALOGUE)

    again = parse_plan(plan.as_json(), CATALOGUE)

    assert again == plan
    assert again.plan_hash == digest(plan.as_json())


@pytest.mark.parametrize(
    "change",
    [
        lambda body: body.update(summary="Another"),
        lambda body: body["steps"][0].update(objective="Another"),
        lambda body: body["steps"][0]["instruction"]["calls"][0]["input"].update(limit=6),
        lambda body: body["steps"][0]["allowed_skills"].append("files.write"),
        lambda body: body["steps"][3]["depends_on"].append("report"),
        lambda body: body["playbook"]["parameters"].update(repository="/srv/other"),
        lambda body: body.pop("playbook"),
    ],
)
def test_what_changes_the_plan_changes_the_hash(change):
    body = spoilt(change)

    assert faults(body) == []
    assert parse_plan(body, CATALOGUE).plan_hash != parse_plan(good_plan(), CATALOGUE).plan_hash


# --- Real ids, and what a yes covers


def test_rewriting_puts_real_ids_everywhere_and_leaves_self():
    plan = parse_plan(good_plan(), CATALOGUE)

    steps = plan.rewrite({"history": "1", "report": "2", "file": "3", "answer": "4"})

    assert [step.step_ref for step in steps] == ["history", "report", "file", "answer"]
    assert [step.depends_on for step in steps] == [(), ("1",), ("2",), ("1", "3")]
    assert steps[1].instruction["data"] == {"log": {"$from": "1", "pointer": "/log/commits"}}
    assert steps[2].calls[0].input["content"] == {"$artifact": {"step": "2", "name": "report.md"}}
    assert steps[2].instruction["output"] == {"path": {"$from": "self", "pointer": "/write/path"}}
    assert plan.steps[1].depends_on == ("history",)


def test_rewriting_without_an_id_for_every_step_is_a_mistake():
    with pytest.raises(KeyError):
        parse_plan(good_plan(), CATALOGUE).rewrite({"history": "1"})


def test_a_yes_to_a_plan_covers_its_literal_calls_and_no_others():
    body = a_plan(
        a_plan_step("render"),
        a_direct_step(
            "a", {"x": [1, {"y": "literal"}]}, {"x": [{"$from": "render", "pointer": ""}]}, {"$artifact": {"bad": 1}},
            needs=("render",),
        ),
    )  # fmt: skip
    body["steps"][1]["instruction"]["calls"].pop()

    calls = literal_calls(parse_plan(body, FREE).steps)

    assert [(call.step_ref, call.call_id, call.skill, call.input) for call in calls] == [
        ("a", "c0", "http.get", {"x": [1, {"y": "literal"}]}),
    ]
