import json
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audit.core.canonical import canonical
from audit.core.codes import Code
from audit.core.refusals import Refused
from governance.core.result import LONGEST_SUMMARY, StepResult, parse_result, read_result

LAW = settings(max_examples=100, deadline=None)
DONE = {"status": "succeeded", "summary": "done", "output": {"log": {"total": 3}}, "artifacts": ["a1"]}


def refused(body):
    with pytest.raises(Refused) as refusal:
        parse_result(body)
    assert refusal.value.code == Code.BAD_OUTPUT
    return [fault.path for fault in refusal.value.faults]


# --- Reading


def test_a_body_that_is_json_is_read_as_it_is():
    assert read_result(json.dumps(DONE).encode()) == DONE


@pytest.mark.parametrize(
    "content",
    [
        b'```json\n{"status": "ok"}\n```', b'```\n{"status": "ok"}\n```', b'~~~json\r\n{"status": "ok"}\r\n~~~',
        b'Here is the result:\n\n```json\n{"status": "ok"}\n```\nLet me know!', b'{"status": "ok"}\n\nI hope this helps.',
        b'The result {as asked} is: {"status": "ok"} {"status": "failed"}',
    ],
)  # fmt: skip
def test_code_fences_and_text_around_are_taken_away(content):
    assert read_result(content) == {"status": "ok"}


@pytest.mark.parametrize(
    "content", [b"", b"I am done.", b"\xff\xfe", b"{", b"{" * 100_000, b"{x" * 200 + b'{"status": "ok"}']
)
def test_garbage_is_bad_output(content):
    with pytest.raises(Refused) as refusal:
        read_result(content)

    assert refusal.value.code == Code.BAD_OUTPUT
    assert refusal.value.faults[0].code == "bad_output"


@pytest.mark.parametrize(
    "content", [b'{"a": 1, "a": 2}', b'{"a": NaN}', b'{"a": "\\u0000"}', b'```\n{"a": 1, "a": 2}\n```']
)
def test_json_that_two_readers_could_read_differently_stays_refused_as_such(content):
    with pytest.raises(Refused) as refusal:
        read_result(content)

    assert refusal.value.code == Code.NOT_CANONICAL


# --- Normal form


def test_a_good_result_stays_as_it_is():
    result = parse_result(DONE)

    assert result == StepResult("succeeded", "done", {"log": {"total": 3}}, ("a1",))
    assert result.as_json() == DONE


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("Succeeded", "succeeded"), (" success ", "succeeded"), ("OK", "succeeded"), ("done", "succeeded"),
        ("completed", "succeeded"), ("FAILED", "failed"), ("error", "failed"), ("failure", "failed"),
    ],
)  # fmt: skip
def test_a_status_in_other_words_is_understood(said, meant):
    assert parse_result({"status": said}).status == meant


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        (None, ""), ("  trimmed ", "trimmed"), (5, "5"), (True, "true"), (0.5, "0.5"), (["one", "two"], "one\ntwo"),
        ("x" * 5000, "x" * (LONGEST_SUMMARY - 1) + "…"),
    ],
)  # fmt: skip
def test_a_summary_of_the_wrong_type_is_mended(said, meant):
    assert parse_result({"status": "ok", "summary": said}).summary == meant


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        (None, {}), ([1], [1]), ("text", "text"), (0, 0), ('```json\n{"a": 1}\n```', {"a": 1}), ("```\n[1, 2]\n```", [1, 2]),
        ("```\nprint(1)\n```", "```\nprint(1)\n```"), ('see ```json\n{"a": 1}\n```', 'see ```json\n{"a": 1}\n```'),
    ],
)  # fmt: skip
def test_an_output_in_a_code_fence_is_taken_out_of_it(said, meant):
    assert parse_result({"status": "ok", "output": said}).output == meant


@pytest.mark.parametrize(
    ("said", "meant"),
    [(None, ()), ("a1", ("a1",)), ({"id": "a1"}, ("a1",)), ([{"id": "a1"}, "a2", "a1"], ("a1", "a2"))],
)
def test_artifacts_are_a_list_of_ids_however_they_are_named(said, meant):
    assert parse_result({"status": "ok", "artifacts": said}).artifacts == meant


def test_a_whole_result_as_text_is_read():
    assert parse_result('Done!\n```json\n{"status": "ok", "summary": "x"}\n```') == StepResult("succeeded", "x")


def test_what_is_missing_has_a_default():
    assert parse_result({"status": "failed"}) == StepResult("failed", "", {}, ())


# --- Waiting


@pytest.mark.parametrize(
    ("said", "meant", "stored"),
    [
        (["w1", "w2", "w1"], {"waits_for": ("w1", "w2")}, ["w1", "w2"]),
        ("t3.1", {"waits_for": ("t3.1",)}, ["t3.1"]),
        ("frozen", {"frozen": True}, "frozen"),
        ("2026-05-04T14:00:00+02:00", {"until": datetime(2026, 5, 4, 12, tzinfo=UTC)}, "2026-05-04T12:00:00+00:00"),
        (" 2026-05-04T12:00:00Z ", {"until": datetime(2026, 5, 4, 12, tzinfo=UTC)}, "2026-05-04T12:00:00+00:00"),
    ],
)
def test_a_suspended_result_says_what_it_waits_for(said, meant, stored):
    result = parse_result({"status": "suspended", "waits_for": said})

    assert result == StepResult("suspended", **meant)
    assert result.as_json()["waits_for"] == stored
    assert parse_result(result.as_json()) == result


@pytest.mark.parametrize(
    "said",
    [None, [], [1], ["no spaces"], [["w1"]], 5, {}, "", "2026-05-04T12:00:00", "2026-13-04T12:00:00Z", "2026",
     "0001-01-01T00:00:00+23:00", "some day", ["w"] * 101],
)  # fmt: skip
def test_a_suspended_result_that_waits_for_nothing_is_bad_output(said):
    assert refused({"status": "suspended", "waits_for": said}) == ["/waits_for"]


@pytest.mark.parametrize("said", [["w1"], "frozen", "nonsense", None])
def test_who_does_not_wait_has_nothing_to_wait_for(said):
    assert parse_result({"status": "ok", "waits_for": said}) == StepResult("succeeded")


# --- Beyond mending


@pytest.mark.parametrize("body", [None, 5, [], [DONE], "done", "", {"status": "ok"}.keys()])
def test_what_is_no_object_is_no_result(body):
    assert refused(body if isinstance(body, list | str | int | None) else list(body)) == [""]


def test_everything_wrong_is_said_at_once():
    body = {
        "status": "maybe", "summary": {"no": "text"}, "artifacts": ["a1", 7, {"name": "x"}], "agent": "hari", "waits_for": 5,
    }  # fmt: skip

    assert refused(body) == ["/agent", "/status", "/summary", "/artifacts/1", "/artifacts/2"]


@pytest.mark.parametrize(("status", "summary"), [(None, ""), (5, ""), ("", ""), (["ok"], ""), ("ok", [1])])
def test_a_status_or_summary_beyond_mending_is_bad_output(status, summary):
    assert len(refused({"status": status, "summary": summary})) == 1


def test_the_number_of_artifacts_and_of_faults_about_them_is_bounded():
    assert refused({"status": "ok", "artifacts": [f"a{number}" for number in range(101)]}) == ["/artifacts"]
    assert len(refused({"status": "ok", "artifacts": [None] * 5000})) == 101


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(alphabet="ab`{}\n", max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)
BODIES = st.fixed_dictionaries(
    {}, optional={
        "status": st.sampled_from(["ok", "failed", "suspended", "?"]) | JSON, "summary": JSON, "output": JSON,
        "artifacts": JSON, "waits_for": st.sampled_from(["frozen", ["w1"], "2026-05-04T12:00:00Z"]) | JSON,
    },
)  # fmt: skip


def _tried(read, value):
    try:
        return None, read(value)
    except Refused as refusal:
        return refusal, None


@given(BODIES | JSON)
@LAW
def test_every_body_is_a_result_that_stays_one_or_bad_output(body):
    refusal, result = _tried(parse_result, body)

    if refusal:
        assert refusal.code == Code.BAD_OUTPUT
        assert refusal.faults
        return
    canonical(result.as_json())
    assert parse_result(result.as_json()).status == result.status
    assert (result.status == "suspended") == bool(result.waits_for or result.until or result.frozen)


@given(st.binary(max_size=40) | st.text(alphabet='{}"status:ok `\n', max_size=40).map(str.encode))
@LAW
def test_any_bytes_are_read_or_refused(content):
    refusal, _ = _tried(read_result, content)

    assert refusal is None or refusal.code in (Code.BAD_OUTPUT, Code.NOT_CANONICAL)
