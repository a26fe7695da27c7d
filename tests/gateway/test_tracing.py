"""Traces of runs: what the ledger says is over arrives at a collector, once, as one tree, and nothing secret with it."""

import base64
import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
import time_machine
from django.utils.timezone import now
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from rest_framework.test import APIClient

from audit.deliver import SinkHealth
from audit.models import AuditEvent, SinkCursor
from audit.outward import NotDelivered, connected, post
from audit.sealing import seal_all
from gateway.tracing.exporters import PROTOBUF, Langfuse, Otlp
from gateway.tracing.follow import follow_ledger, tracing_health
from gateway.tracing.model_calls import ModelCall, model_span
from gateway.tracing.reading import spans_of
from gateway.tracing.shapes import trace_of
from gateway.tracing.wire import encoded
from governance.actions.runs import cancel_run
from governance.models import Gate, SkillInvocation
from runtime.core.traces import traceparent
from tests.console import queries, visit, words
from tests.desk import step
from tests.journeys import journey
from tests.receivers import HttpReceiver, spans_in
from worka_site import diagnosis, outward_checks

pytestmark = pytest.mark.django_db
CANARY = "sk-ant-canary0123456789abcdef"
EXACT = "canary-that-only-the-exact-payload-holds"
OK, ERROR, UNSET = 1, 2, 0


@pytest.fixture
def j(monkeypatch, settings, tmp_path):
    settings.WORKA_TREE_HEADS = tmp_path / "heads.jsonl"
    return journey(monkeypatch)


@pytest.fixture
def collector(settings):
    """A collector that is configured, and not up yet."""
    receiver = HttpReceiver(answer=(PROTOBUF, b""))
    with receiver:
        settings.WORKA_OTLP_ENDPOINT = receiver.url
        settings.WORKA_OTLP_HEADERS = {"api-key": "the collector's own"}
        settings.WORKA_IS_TRACED = True
    return receiver


def whole_run(j):
    """A run with everything in it: a plan, a read, a denied call, a held one, an approval, and a second attempt."""
    j.ask(f"Please use {CANARY}")
    first = step("look", ("a", "read", f"letters {CANARY}"), ("d", "write", "forbidden"))
    j.propose(first, step("note", ("b", "write", "a note"), after=("look",)))
    j.call("look", "a")
    j.call("look", "d")
    j.finish("look", output={"a": "LETTERS", "password": EXACT})
    j.call("note", "b")
    j.finish("note", "suspended", waits_for=["b"])
    j.answer("approve")
    j.tick()
    j.finish("note", output={"b": "A NOTE"})
    j.tick()
    assert j.run.state == "succeeded"
    seal_all()
    return j.run


def later(minutes=6):
    return time_machine.travel(now() + timedelta(minutes=minutes), tick=False)


def received(receiver):
    return [span for asked in receiver.taken for span in spans_in(asked)]


def tree_of(spans):
    """Write the spans as a tree of names, children in order of their start; a parent that is not there is a fault."""
    ids = {span.id for span in spans}
    assert len(ids) == len(spans), "a span came twice"
    assert all(span.parent in ids for span in spans if span.parent)

    def below(parent):
        children = sorted((span for span in spans if span.parent == parent), key=lambda span: (span.start, span.name))
        return [(span.name, below(span.id)) if below(span.id) else span.name for span in children]

    return below("")


TREE = [
    ("run", [
        "invoke_agent hari",
        ("step 1", [
            ("invoke_agent ernest", ["execute_tool desk.read", ("execute_tool desk.write", ["denied skill.invoke"])]),
        ]),
        ("step 2", [
            ("invoke_agent ernest", [("execute_tool desk.write", ["approval"])]),
            "invoke_agent ernest",
        ]),
    ]),
]  # fmt: skip


def test_a_whole_run_is_one_trace_and_one_tree_without_anything_secret(j, collector):
    with collector:
        follow_ledger()
        began = SinkCursor.objects.get().position
        run = whole_run(j)
        follow_ledger()
        follow_ledger()
        spans = received(collector)
        # As after a crash between sending and noting it down.
        SinkCursor.objects.update(position=began)
        follow_ledger()

    assert received(collector) == spans + spans
    with queries() as asked:
        spans_of(list(AuditEvent.objects.sealed()))
    assert len(asked) <= 9, "a batch costs the same number of statements, however much ended"
    assert {span.trace for span in spans} == {run.pk.hex}
    assert tree_of(spans) == TREE
    assert {asked.path for asked in collector.taken} == {"/v1/traces"}
    assert {asked.headers["api-key"] for asked in collector.taken} == {"the collector's own"}
    sent = b"".join(asked.body for asked in collector.taken)
    assert CANARY.encode() not in sent and EXACT.encode() not in sent
    assert b"[masked:model_key]" in sent
    by_name = {span.name: span for span in spans}
    root = by_name["run"]
    assert (root.status, root.attributes["worka.state"], root.attributes["worka.workspace"]) == (
        OK,
        "succeeded",
        "acme",
    )
    assert root.attributes["worka.run_id"] == str(run.pk)
    assert root.attributes["worka.input"] == "Please use [masked:model_key]"
    assert "ada" not in str([span.attributes.get("user.id") for span in spans])
    gate = Gate.objects.get(state="approved")
    approval = by_name["approval"].attributes
    assert approval["worka.waited_s"] == pytest.approx(
        (gate.state_changed_at - gate.created_at).total_seconds(), abs=1e-3
    )
    assert approval["worka.asked"] == ["operators"]
    denied = next(span for span in spans if span.attributes.get("worka.state") == "denied" and "execute" in span.name)
    assert (denied.status, denied.attributes["error.type"]) == (UNSET, "policy_denied")
    attempts = [span for span in spans if span.name == "invoke_agent ernest"]
    assert sorted(span.attributes["worka.attempt"] for span in attempts) == [1, 1, 2]
    assert all(span.moments == ["submitted", "started", "result_accepted"] for span in attempts)


def test_while_the_collector_is_down_runs_go_on_and_afterwards_each_span_is_there_once(j, collector, caplog):
    follow_ledger()

    run = whole_run(j)
    follow_ledger()

    (health,) = tracing_health()
    assert (health.name, health.is_healthy) == ("trace:otlp", False)
    assert health.behind == AuditEvent.objects.sealed().count()
    assert health.last_error == "NotDelivered: the other side cannot be reached (ConnectError)"
    assert APIClient().get("/v1/health").json()["checks"]["tracing"] == {"healthy": False}
    assert [found.level for found in diagnosis._tracing()] == ["weak"]
    collector.statuses = [503, 302]
    with collector:
        for minutes in (6, 12, 18):
            with later(minutes):
                follow_ledger()

    assert len(collector.refused) == 2 and {asked.path for asked in collector.refused} == {"/v1/traces"}
    assert tree_of(received(collector)) == TREE
    assert {span.trace for span in received(collector)} == {run.pk.hex}
    (health,) = tracing_health()
    assert (health.is_healthy, health.behind) == (True, 0)


def test_a_new_collector_is_told_of_what_ends_from_now_on(j, collector):
    j.ask("The first")
    j.propose(step("look", ("a", "peek", "x")))
    seal_all()

    with collector:
        follow_ledger()
        j.ask("Another")
        j.propose(step("look", ("a", "peek", "x")))
        seal_all()
        follow_ledger()

    assert {span.trace for span in received(collector)} == {j.run.pk.hex}


def test_an_agent_is_given_the_span_that_its_own_spans_belong_under(j, collector, settings):
    j.ask()
    job = j.job()

    given = j.backend.specs[job.name].env["TRACEPARENT"]

    version, trace, parent, flags = given.split("-")
    assert (version, trace, flags) == ("00", j.run.pk.hex, "01")
    with collector:
        follow_ledger()
        j.propose(step("look", ("a", "peek", "x")))
        seal_all()
        follow_ledger()
    assert {span.id for span in received(collector) if span.name == "invoke_agent hari"} == {parent}
    assert traceparent(j.run.pk, job.name, is_recorded=False) == given[:-2] + "00"


def test_where_nothing_is_configured_nothing_is_followed_and_agents_are_told_so(j, settings):
    j.ask()
    seal_all()

    assert follow_ledger() == 0

    assert not SinkCursor.objects.exists()
    assert tracing_health() == []
    assert [found.level for found in diagnosis._tracing()] == ["good"]
    assert APIClient().get("/v1/health").json()["checks"]["tracing"] == {"healthy": True}
    assert j.backend.specs[j.job().name].env["TRACEPARENT"].endswith("-00")


def test_langfuse_gets_the_request_that_its_own_package_makes(j, settings):
    receiver = HttpReceiver(answer=("application/json", b"{}"))
    settings.WORKA_LANGFUSE_PUBLIC_KEY, settings.WORKA_LANGFUSE_SECRET_KEY = "pk-lf-1", "sk-lf-canary"
    settings.WORKA_ISSUER = "Worka.Example"
    with receiver:
        settings.WORKA_LANGFUSE_HOST = receiver.url
        follow_ledger()
        run = whole_run(j)
        follow_ledger()

    (asked,) = receiver.taken
    assert asked.path == "/api/public/otel/v1/traces"
    assert asked.headers["authorization"] == "Basic " + base64.b64encode(b"pk-lf-1:sk-lf-canary").decode()
    assert asked.headers["x-langfuse-ingestion-version"] == "4"
    assert b"sk-lf-canary" not in asked.body
    spans = spans_in(asked)
    assert tree_of(spans) == TREE
    # Langfuse reads what is true of the trace from each of its spans.
    for span in spans:
        told = span.attributes
        assert told["langfuse.trace.name"] == "run"
        assert told["langfuse.trace.metadata.run_id"] == told["langfuse.observation.metadata.run_id"] == str(run.pk)
        assert told["langfuse.observation.metadata.workspace"] == "acme"
        assert told["user.id"] == f"user:{run.requester_id}"
        assert told["langfuse.environment"] == "worka-example"
    kinds = {span.name: span.attributes["langfuse.observation.type"] for span in spans}
    assert kinds == {
        "run": "chain", "step 1": "chain", "step 2": "chain", "invoke_agent hari": "agent",
        "invoke_agent ernest": "agent", "execute_tool desk.read": "tool", "execute_tool desk.write": "tool",
        "approval": "guardrail", "denied skill.invoke": "guardrail",
    }  # fmt: skip
    read = next(span for span in spans if span.name == "execute_tool desk.read").attributes
    call = SkillInvocation.objects.get(call_id="a")
    assert (
        json.loads(read["langfuse.observation.input"]) == call.input_redacted == {"text": "letters [masked:model_key]"}
    )
    assert json.loads(read["langfuse.observation.output"]) == call.output_redacted
    assert read["langfuse.observation.metadata.step_id"] == str(call.step_id)


def test_a_call_of_a_model_is_told_with_its_tokens_and_its_cost(j):
    run = j.ask()
    at = datetime(2026, 11, 20, 9, 30, tzinfo=UTC)
    call = ModelCall(
        id=run.pk, trace=trace_of(run), job_name=j.job().name, provider="anthropic", model="claude-x",
        start=at, end=at + timedelta(seconds=2.5), input_tokens=1200, output_tokens=34, cost_usd=Decimal("0.004110"),
        finish_reason="end_turn", input={"messages": [f"use {CANARY}"]},
    )  # fmt: skip

    with HttpReceiver() as receiver, connected(None) as client:
        for for_langfuse in (False, True):
            body = encoded([model_span(call)], for_langfuse=for_langfuse)
            post(client, receiver.url, body, {"content-type": PROTOBUF})

    plain, langfuse = received(receiver)
    assert plain.name == "chat claude-x" and plain.end - plain.start == 2_500_000_000
    assert plain.parent == traceparent(run.pk, j.job().name, is_recorded=True).split("-")[2]
    assert {name: plain.attributes[name] for name in plain.attributes if name.startswith("gen_ai.")} == {
        "gen_ai.operation.name": "chat", "gen_ai.provider.name": "anthropic", "gen_ai.request.model": "claude-x",
        "gen_ai.response.model": "claude-x", "gen_ai.response.finish_reasons": ["end_turn"],
        "gen_ai.usage.input_tokens": 1200, "gen_ai.usage.output_tokens": 34,
    }  # fmt: skip
    assert plain.attributes["worka.cost_usd"] == 0.00411
    told = langfuse.attributes
    assert (told["langfuse.observation.type"], told["langfuse.observation.model.name"]) == ("generation", "claude-x")
    assert json.loads(told["langfuse.observation.usage_details"]) == {"input": 1200, "output": 34}
    assert json.loads(told["langfuse.observation.cost_details"]) == {"total": 0.00411}
    assert CANARY.encode() not in receiver.taken[0].body + receiver.taken[1].body


def test_what_a_collector_throws_away_is_said_and_not_sent_again(j, collector, monkeypatch):
    said = []
    monkeypatch.setattr("gateway.tracing.exporters.log.warning", lambda event, **facts: said.append((event, facts)))
    answer = ExportTraceServiceResponse()
    answer.partial_success.rejected_spans, answer.partial_success.error_message = 3, "too old"
    collector.answer = (PROTOBUF, answer.SerializeToString())
    with collector:
        follow_ledger()
        j.ask()
        j.propose(step("look", ("a", "peek", "x")))
        seal_all()
        follow_ledger()
        follow_ledger()

    assert len(collector.taken) == 1
    assert said == [("spans_rejected", {"spans": 3, "because": "too old"})]


def test_hostile_and_endless_text_leaves_harmless_and_bounded(j, collector):
    with collector:
        follow_ledger()
        j.ask("\x1b[2J\u202e" + "x" * 19_000)
        cancel_run(j.run.pk, by=j.house.by("ada"), because="not needed")
        j.tick()
        seal_all()
        follow_ledger()

    root = next(span for span in received(collector) if span.name == "run")
    assert (root.status, root.attributes["worka.state"]) == (UNSET, "cancelled")
    text = root.attributes["worka.input"]
    assert "\x1b" not in text and "\u202e" not in text and len(text) < 8300


@pytest.mark.parametrize(("given", "why"), [
    ({"WORKA_OTLP_ENDPOINT": "http://otel.example.com:4318"}, "must begin with https://"),
    ({"WORKA_LANGFUSE_HOST": "http://langfuse.example.com"}, "must begin with https://"),
    ({"WORKA_LANGFUSE_HOST": "https://langfuse.example.com"}, "are not both set"),
    ({"WORKA_OTLP_ENDPOINT": "https://otel.example.com", "WORKA_TRACING_CA_FILE": "/nowhere.pem"}, "cannot be read"),
])  # fmt: skip
def test_a_collector_that_cannot_be_safe_is_an_error_at_start_and_gets_nothing(settings, given, why):
    for name, value in given.items():
        setattr(settings, name, value)
    exporter = Otlp if "WORKA_OTLP_ENDPOINT" in given else Langfuse

    (found,) = outward_checks.traces_can_be_sent(None)

    assert found.id == "worka.E011" and why in found.msg
    with pytest.raises(NotDelivered, match=why):
        exporter.configured()


def test_a_collector_has_a_line_of_its_own_on_the_page_of_health(j, monkeypatch):
    monkeypatch.setattr("worka_site.portal.pages.health.configured_backend", lambda: j.backend)
    one = SinkHealth("trace:langfuse", 5, 7, None, now(), "NotDelivered: the other side answers 401")
    assert "Off: no collector is configured" in words(visit(j.house.olga).get("/admin/health/"))

    monkeypatch.setattr("worka_site.portal.pages.health.tracing_health", lambda: [one])

    page = words(visit(j.house.olga).get("/admin/health/"))
    assert "Traces to langfuse" in page and "7 entries wait" in page and "answers 401" in page
    assert "answers 401" not in words(visit(j.house.ada).get("/admin/health/"))
