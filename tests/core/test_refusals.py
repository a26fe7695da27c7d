import pytest

from audit.core.codes import Code
from audit.core.refusals import Fault, Refused


def test_a_refusal_is_a_sentence_a_code_and_a_way_out():
    refused = Refused(
        "the plan has a cycle", code=Code.PLAN_REFUSED, recovery="Break it.", facts={"gate": "1"}, retry_after_s=2.0,
        faults=[Fault("/steps/0", "cycle", "step a waits for itself")],
    )  # fmt: skip

    assert (str(refused), refused.code, refused.code.status) == ("the plan has a cycle", "plan_refused", 422)
    assert (refused.recovery, refused.facts, refused.retry_after_s) == ("Break it.", {"gate": "1"}, 2.0)
    assert [fault.as_json() for fault in refused.faults] == [
        {"path": "/steps/0", "code": "cycle", "message": "step a waits for itself"}
    ]


def test_a_refusal_may_bring_its_code_with_its_kind():
    class Overtaken(Refused):
        code = Code.OVERTAKEN
        recovery = "Read it again."

    refused = Overtaken("somebody was faster")

    assert (refused.code, refused.recovery, refused.faults, refused.facts) == (Code.OVERTAKEN, "Read it again.", (), {})
    assert Refused("no").code is Code.BAD_REQUEST


@pytest.mark.parametrize("code", Code)
def test_every_code_has_a_status_of_an_error(code):
    assert 400 <= code.status < 600
    assert Code(code.value) is code
    assert str(code) == code.value == code.name.lower()
