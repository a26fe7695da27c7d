"""The API client, against a double that is strict about the contract."""

from decimal import Decimal
from itertools import islice

import httpx2
import pytest

from tests.sdk.api_double import DIGEST, GATE_ID, KEY, RUN_ID, ApiDouble, a_model_call, a_run, sent
from tests.sdk.door_double import problem
from worka import Client
from worka.errors import ApiError, Misconfigured, Unreachable


@pytest.fixture
def api():
    return ApiDouble()


@pytest.fixture
def worka(api, fast_time):
    with Client("http://worka.test", KEY, transport=api.transport(), sleep=fast_time.sleep) as client:
        yield client


# Runs


def test_a_run_is_asked_for_under_a_key_of_its_own(worka, api):
    run = worka.runs.create("Report", metadata={"ticket": 7})
    worka.runs.create("Report", metadata={"ticket": 7})

    assert (run.id, run.number, run.state) == (RUN_ID, 142, "received")
    assert api.bodies[0] == {"request": "Report", "metadata": {"ticket": 7}}
    assert len(api.created) == 2


def test_asking_twice_with_one_key_asks_once(worka, api):
    worka.runs.create("Report", idempotency_key="k1")
    worka.runs.create("Report", idempotency_key="k1")

    assert list(api.created) == ["k1"]
    with pytest.raises(ApiError) as refused:
        worka.runs.create("Something else", idempotency_key="k1")
    assert refused.value.code == "idempotency_conflict"


def test_a_workflow_is_asked_for_by_name(worka, api):
    worka.runs.create(workflow="repository-report", input={"since": "v1"})

    assert api.bodies[0] == {"workflow": "repository-report", "input": {"since": "v1"}}


def test_lists_are_read_page_by_page_and_no_further_than_asked(worka, api):
    api.runs = [a_run(number) for number in range(1, 8)]

    assert [run.number for run in worka.runs.list()] == [1, 2, 3, 4, 5, 6, 7]
    api.requests.clear()
    assert [run.number for run in worka.runs.list(limit=3)] == [1, 2, 3]
    assert len(api.requests) == 2
    assert [run.number for run in islice(worka.runs.list(), 1)] == [1]


def test_a_run_is_found_by_id_and_by_number(worka, api):
    assert worka.runs.get(RUN_ID).number == 142
    assert worka.runs.get(142).id == RUN_ID
    assert worka.runs.get("#142").id == RUN_ID
    assert worka.runs.why("142").sentence == "Waits for operators to answer files.write."
    with pytest.raises(ApiError) as refused:
        worka.runs.get(7)
    assert (refused.value.status, refused.value.code) == (404, "not_found")


@pytest.mark.parametrize("name", ["", "x", "../approvals", "142/../..", "１４２", "-1", RUN_ID + "/cancel"])
def test_a_name_never_becomes_another_path(worka, api, name):
    with pytest.raises(ApiError) as refused:
        worka.runs.get(name)

    assert refused.value.code == "not_found"
    assert api.requests == []


def test_what_hangs_below_a_run_can_be_read(worka, api):
    api.steps = [
        {"id": "s2", "sequence": 2, "state": "ready"},
        {"id": "s1", "sequence": 1, "state": "succeeded", "agent": "ernest"},
    ]
    api.events = [{"type": "run.plan", "position": None, "at": "x", "facts": {"a": 1}}]

    assert [(step.sequence, step.state) for step in worka.runs.steps(142)] == [(1, "succeeded"), (2, "ready")]
    assert [(event.type, event.position, event.facts) for event in worka.runs.events(142)] == [
        ("run.plan", None, {"a": 1})
    ]
    assert worka.runs.plan(142) == {"summary": "Report"}
    for below in (worka.runs.gates, worka.runs.invocations, worka.runs.artifacts, worka.runs.burns):
        assert list(below(142)) == []


def test_what_a_run_asked_of_models_is_read_page_by_page_with_exact_money(worka, api):
    failed = a_model_call(2, "failed", cost_usd="0.000000", error={"code": "overloaded", "message": "too many ask"})
    api.model_calls = [a_model_call(3, "running", cost_usd="0", input_tokens=0), failed, a_model_call(1)]

    found = list(worka.runs.model_calls("#142"))

    assert [(call.state, call.error, call.cost_usd) for call in found] == [
        ("running", "", 0), ("failed", "overloaded", 0), ("succeeded", "", Decimal("0.0103")),
    ]  # fmt: skip
    assert (found[2].agent, found[2].model, found[2].tokens_in, found[2].tokens_out) == (
        "hari",
        "claude-test",
        1234,
        20,
    )
    assert found[0].reserved_usd == Decimal("0.05")
    assert found[2].raw["job"] == "worka-142-plan-1"
    assert [path for _, path in api.requests] == ["/v1/runs/142/model-calls"] * 2


def test_cancelling_says_why(worka, api):
    assert worka.runs.cancel(142, because="asked too early").state == "cancelled"
    assert api.bodies[-1] == {"because": "asked too early"}


# Approvals and the rest


def test_a_vote_names_the_digest_that_was_seen(worka, api):
    (waiting,) = worka.approvals.list()
    seen = worka.approvals.get(waiting.id)

    voted = worka.approvals.vote(seen.id, "approve", because="figures fit", payload_digest=seen.payload_digest)

    assert (seen.run_number, seen.subject, seen.payload["input"]["path"]) == (
        142,
        "files.write",
        "reports/orders-since-v2.3.0.md",
    )
    assert voted.state == "approved"
    assert api.votes == [{"verdict": "approve", "because": "figures fit", "payload_digest": DIGEST}]


def test_a_changed_payload_is_refused(worka):
    with pytest.raises(ApiError) as refused:
        worka.approvals.vote(GATE_ID, "approve", because="x", payload_digest="0" * 64)

    assert refused.value.code == "payload_changed"


def test_everything_else_has_its_method(worka, api):
    assert worka.artifacts.content(RUN_ID) == b"# Report\x00"
    assert worka.policies.check("version: 1") == {"valid": True}
    assert worka.settle(GATE_ID, "succeeded", because="it is there") == {"state": "succeeded"}
    assert worka.health()["healthy"] is False
    assert list(worka.audit.events(type="run.plan")) == []
    assert [policy["scope"] for policy in worka.policies.active()] == ["platform"]


def test_a_refusal_tells_everything(worka, api):
    fault = {"path": "3:7", "code": "unknown_key", "message": "there is no key `rulez`"}
    api.before = lambda request: problem(
        400, "invalid_manifest", "the manifest has 1 fault", errors=[fault], recovery="see the docs"
    )

    with pytest.raises(ApiError) as refused:
        worka.policies.check("rulez: []")

    error = refused.value
    assert (error.status, error.code, error.detail, error.recovery) == (
        400,
        "invalid_manifest",
        "the manifest has 1 fault",
        "see the docs",
    )
    assert str(error.faults[0]) == "3:7: there is no key `rulez` (unknown_key)"
    assert error.correlation_id == "c-1"


def test_a_refusal_that_is_no_problem_document_is_still_one(worka, api):
    api.before = lambda request: (500, ["boom"])

    with pytest.raises(ApiError) as refused:
        worka.runs.plan(RUN_ID)

    assert (refused.value.status, refused.value.code) == (500, "http_500")


# Patience


def test_a_read_is_repeated_when_the_connection_breaks(worka, api, fast_time):
    broken = [httpx2.ReadError("gone"), httpx2.ConnectError("refused")]
    api.before = lambda request: broken.pop(0) if broken else None

    assert worka.runs.get(RUN_ID).number == 142
    assert fast_time.slept == [0.5, 1.0]


def test_a_run_is_asked_for_again_under_the_same_key(worka, api):
    broken = [httpx2.ReadError("gone")]
    api.before = lambda request: broken.pop(0) if broken else None

    worka.runs.create("Report")

    assert len({headers["idempotency-key"] for headers in api.headers}) == 1
    assert len(api.requests) == 2


def test_a_vote_that_may_have_been_heard_is_not_sent_again(worka, api):
    api.before = lambda request: httpx2.ReadError("gone")

    with pytest.raises(Unreachable):
        worka.approvals.vote(GATE_ID, "approve", because="x", payload_digest=DIGEST)

    assert len(api.requests) == 1


def test_a_server_that_is_away_is_given_up(worka, api, fast_time):
    api.before = lambda request: httpx2.ConnectError("refused")

    with pytest.raises(Unreachable, match=r"worka\.test"):
        worka.runs.get(RUN_ID)

    assert len(api.requests) == 4


def test_a_busy_server_is_asked_again_when_it_says_and_not_for_ever(worka, api, fast_time):
    busy = [(*problem(429, "rate_limited"), {"Retry-After": "3"}), (*problem(503, "unavailable"), {"Retry-After": "1"})]
    api.before = lambda request: busy.pop(0) if busy else None
    assert worka.runs.get(RUN_ID).number == 142
    assert fast_time.slept == [3, 1]

    api.before = lambda request: (*problem(429, "rate_limited"), {"Retry-After": "3600"})
    with pytest.raises(ApiError) as refused:
        worka.runs.get(RUN_ID)
    assert refused.value.retry_after_s == 3600


# The stream


def test_a_stream_goes_on_where_it_broke(worka, api):
    api.streams = [sent(5) + ": still here\n\n" + sent(6), httpx2.ReadError("gone"), sent(7)]
    cursors = []
    api.before = lambda request: (
        cursors.append(dict(request.url.params)) if request.url.path == "/v1/events/stream" else None
    )

    events = list(islice(worka.stream(cursor=4), 3))

    assert [(event.position, event.type, event.run) for event in events] == [(n, "run.plan", RUN_ID) for n in (5, 6, 7)]
    assert cursors == [{"cursor": "4"}, {"cursor": "6"}, {"cursor": "6"}]


def test_a_stream_that_is_not_repeated_ends_with_its_server(worka, api):
    api.streams = [sent(1)]

    assert [event.position for event in worka.stream(repeat=False)] == [1]


def test_a_stream_that_says_nothing_is_taken_up_again(worka, api):
    api.streams = [httpx2.ReadTimeout("quiet"), sent(2)]

    assert next(worka.stream()).position == 2


def test_a_stream_that_stays_away_is_given_up(worka, api):
    api.streams = [httpx2.ConnectError("refused")] * 9

    with pytest.raises(Unreachable):
        next(worka.stream())


def test_a_stream_that_is_refused_says_why(worka, api):
    api.before = lambda request: problem(403, "missing_scope", "runs:read is missing")

    with pytest.raises(ApiError) as refused:
        next(worka.stream())

    assert refused.value.code == "missing_scope"


# Set-up


@pytest.mark.parametrize(
    ("url", "key"),
    [("worka.test", KEY), ("ftp://x", KEY), ("http://x", ""), ("http://x", "a\nb"), ("http://x", "schlüssel")],
)
def test_what_cannot_work_is_said_before_anything_is_sent(url, key):
    with pytest.raises(Misconfigured):
        Client(url, key)


def test_the_package_shows_its_names_without_loading_them():
    import worka

    assert all(getattr(worka, name).__name__ == name for name in worka.__all__)
    with pytest.raises(AttributeError):
        worka.nothing
