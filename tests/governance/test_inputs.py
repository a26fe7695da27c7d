"""What a call is really about: artifacts are seen, and bound, whoever named them and however."""

import hashlib
from uuid import uuid4

import pytest

from governance.actions.artifacts import store_artifact
from governance.actions.plans import propose_plan
from governance.actions.reserve import request_call
from governance.context import context_for
from governance.core.references import MOST_RESOLVED
from governance.inputs import MOST_ARTIFACTS, artifact_ids, told
from governance.models import SkillInvocation
from governance.payloads import open_value
from runtime import actions as runtime_actions
from runtime.agents.ernest import resolved
from tests import desk
from tests.desk import step
from tests.journeys import journey
from tests.people import use_policy
from worka.contract import Context

pytestmark = pytest.mark.django_db

CONTENT = b"# from strangers\n"
SHA256 = hashlib.sha256(CONTENT).hexdigest()
SPELLINGS = {
    "as told": str, "in capitals": lambda pk: str(pk).upper(), "without dashes": lambda pk: pk.hex,
    "as a URN": lambda pk: pk.urn, "in braces": lambda pk: f"{{{pk}}}",
}  # fmt: skip


@pytest.fixture
def j(monkeypatch):
    return journey(monkeypatch)


def note(content):
    """Return a step whose one call writes what another step has handed in."""
    return {
        "step_ref": "note", "agent_name": "ernest", "objective": "o", "allowed_skills": ["files.write"],
        "depends_on": ["look"],
        "instruction": {"kind": "direct", "calls": [
            {"call_id": "w", "skill": "files.write", "input": {"path": "a.md", "content": content}}]},
    }  # fmt: skip


def planned(j, *steps):
    j.ask()
    use_policy(j.house.workspace, desk.POLICY.replace('"desk.*"', '"desk.*", "files.*"'))
    job = j.job()
    assert propose_plan(j.caller(), desk.plan(*steps)).state == "accepted"
    runtime_actions.accept_answer(job.pk, digest="0" * 64, status=201, answer={})
    j.leave(job)
    j.tick()


def tainted_artifact(j):
    """Let another step read strangers' letters and store an artifact of them."""
    j.call("other", "r")
    artifact, _ = store_artifact(
        j.caller(j.step("other")), name="x.md", media_type="text/markdown", content=CONTENT, sha256=SHA256
    )
    assert "untrusted_output" in artifact.taint
    return artifact


def handed_over(j, make):
    """Reach the note, whose content is what `make(artifact)` is: data in the result of a step that it depends on."""
    planned(
        j,
        step("look", ("a", "peek", "x")),
        step("other", ("r", "read", "letters")),
        note({"$from": "look", "pointer": "/a"}),
    )
    artifact = tainted_artifact(j)
    j.call("look", "a")
    j.finish("look", output={"a": make(artifact)})
    return artifact


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_data_that_names_an_artifact_is_an_artifact_with_its_taint_and_one_form(j, spelling):
    artifact = handed_over(j, lambda row: {"$artifact": {"id": SPELLINGS[spelling](row.pk), "sha256": SHA256}})

    answer = request_call(j.caller(j.step("note")), call_id="w")

    # The house holds writes after text that strangers wrote.
    assert (answer.state, SkillInvocation.objects.get(call_id="w").state) == ("held", "held")
    value = open_value(j.run.pk, answer.invocation, "input")
    assert value["content"] == {"$artifact": told(artifact)}
    assert artifact_ids(value) == [artifact.pk]


def test_a_repeat_of_such_a_call_is_the_same_call(j):
    handed_over(j, lambda row: {"$artifact": {"id": str(row.pk).upper()}})

    first = request_call(j.caller(j.step("note")), call_id="w")
    again = request_call(j.caller(j.step("note")), call_id="w")

    assert (first.invocation.pk, first.state) == (again.invocation.pk, again.state)
    assert SkillInvocation.objects.filter(call_id="w").count() == 1


@pytest.mark.parametrize(
    ("make", "code"),
    [
        (lambda row: {"$artifact": {"id": str(row.pk), "sha256": "0" * 64}}, "payload_changed"),
        (lambda row: {"$artifact": {"id": str(uuid4()), "sha256": SHA256}}, "not_found"),
        (lambda row: {"$artifact": {"id": str(row.pk), "sha256": SHA256}, "more": 1}, "not_found"),
        (lambda row: {"$artifact": "x"}, "not_found"),
        (lambda row: [{"$artifact": {"id": str(row.pk)}}] * (MOST_ARTIFACTS + 2), "too_large"),
    ],
)
def test_data_that_names_no_artifact_of_the_run_is_refused(j, make, code):
    handed_over(j, make)

    answer = request_call(j.caller(j.step("note")), call_id="w")

    assert (answer.state, answer.code) == ("refused", "bad_input")
    assert [fault.code for fault in answer.faults] == [code]
    assert answer.faults[0].path.startswith("/input/content")
    assert not SkillInvocation.objects.filter(call_id="w").exists()


def test_what_unfolds_beyond_all_bounds_is_refused(j):
    planned(j, step("look", ("a", "peek", "x")), note({"$from": "look", "pointer": "/a"}))
    j.call("look", "a")
    j.finish("look", output={"a": "z" * (MOST_RESOLVED + 1)})

    answer = request_call(j.caller(j.step("note")), call_id="w")

    assert (answer.state, answer.code, [fault.code for fault in answer.faults]) == (
        "refused",
        "bad_input",
        ["too_large"],
    )


def test_an_output_refers_to_any_step_before_also_to_one_that_another_depends_on(j):
    j.ask()
    last = step("last", ("c", "peek", "three"), after=("middle",))
    last["instruction"]["output"] = {
        "own": {"$from": "self", "pointer": "/c/said"}, "first": {"$from": "first", "pointer": "/a/said"},
    }  # fmt: skip
    j.propose(step("first", ("a", "peek", "one")), step("middle", ("b", "peek", "two"), after=("first",)), last)
    for ref, call in (("first", "a"), ("middle", "b")):
        said = j.call(ref, call).invocation
        j.finish(ref, output={call: open_value(j.run.pk, SkillInvocation.objects.get(pk=said.pk), "output")})

    told = Context.from_json(context_for(j.caller(j.step("last")), playbooks=list)).step

    assert resolved(told.instruction["output"], {"c": {"said": "THREE"}}, told) == {"own": "THREE", "first": "ONE"}
    assert {each for each in told.results if "-" not in each} == {"first", "middle"}
