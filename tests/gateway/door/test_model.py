"""POST /llm/v1/messages: the official client at the door, a scripted model behind it, and every cent counted."""

import threading
import time
from decimal import Decimal

import anthropic
import httpx2
import psycopg
import pytest
from django.db import OperationalError, connection
from django.utils.timezone import now

from audit.models import AuditEvent
from gateway import llm
from gateway.models import LlmCall
from gateway.spending import Ended
from governance.core.prices import Price, Usage
from governance.models import Budget, Gate
from tests import desk
from tests.people import use_policy
from tests.wire.messages_api import KEY, Turn, messages_api, says, uses

POLICY = desk.POLICY.replace("skill.invoke,", "skill.invoke, llm.call,").replace(
    'skills: ["desk.*"]', 'skills: ["desk.*"], models: ["claude-*", "local"]'
)
ASK = {"model": "claude-test", "max_tokens": 50, "messages": [{"role": "user", "content": "Good morning"}]}
PRICES = {"claude-*": Price.from_json({"input": 10, "output": 100})}


@pytest.fixture(scope="module")
def upstream():
    with messages_api() as api:
        yield api


@pytest.fixture
def api(upstream, settings):
    upstream.will(says("Good morning to you"))
    for seen in (upstream.asked, upstream.headers, upstream.left):
        seen.clear()
    settings.WORKA_MODEL_URL, settings.WORKA_MODEL_KEY = upstream.url, KEY
    settings.WORKA_MODEL_PRICES = PRICES
    return upstream


@pytest.fixture
def agent(api, working, ernest):
    use_policy(working.house.workspace, POLICY)
    return ernest


@pytest.fixture
def client(agent, door_socket):
    """The official client, as any agent would use it; its own repeats are off, so that each test sees one request."""
    http = httpx2.Client(transport=httpx2.HTTPTransport(uds=str(door_socket), verify=False), timeout=20)
    made = anthropic.Anthropic(
        api_key=agent.token, base_url="http://door/agent/v1/llm", max_retries=0, http_client=http
    )
    yield made
    made.close()


def budget(j, kind="usd"):
    found = Budget.objects.get(scope=j.run.pk, kind=kind)
    return found.reserved, found.spent


def the_call():
    return LlmCall.objects.get()


def settled(state):
    """Wait for the one call to be settled: who left does not hear of it."""
    until = time.monotonic() + 10
    while (call := the_call()).state != state:
        assert time.monotonic() < until, call.state
        time.sleep(0.02)
    return call


def test_an_answer_comes_through_and_is_gated_counted_and_written_down(client, api, working):
    said = client.messages.create(**ASK, system="Be brief", metadata={"user_id": "somebody else"})

    call, gate = the_call(), Gate.objects.get(action="llm.call")
    assert said.content[0].text == "Good morning to you"
    assert (said.usage.input_tokens, said.usage.output_tokens) == (100, 20)
    assert api.asked[0] == {
        **ASK, "system": "Be brief", "stream": False, "metadata": {"user_id": str(working.run.pk)},
    }  # fmt: skip
    assert (gate.effect, gate.subject, call.gate) == ("allow", "claude-test", gate)
    assert (call.state, call.stop_reason, call.input_tokens, call.output_tokens) == ("succeeded", "end_turn", 100, 20)
    assert call.cost_usd == Decimal("0.003")
    assert budget(working) == (0, Decimal("0.003"))
    assert budget(working, "tokens") == (0, 120)
    entries = AuditEvent.objects.filter(subject__endswith=str(call.pk)).values_list("type", flat=True)
    assert sorted(entries) == ["llm_call.start", "llm_call.succeed"]


def test_the_key_stays_in_the_gateway_and_the_token_too(client, api, agent):
    answer = client.messages.with_raw_response.create(**ASK)

    assert KEY in str(api.headers[0])
    assert agent.token not in str(api.headers)
    assert KEY not in str(dict(answer.headers)) + answer.text()
    assert not AuditEvent.objects.filter(body__contains=KEY.encode()).exists()


def test_a_stream_comes_through_event_by_event_and_is_settled_before_its_end(client, api, working):
    api.will(says("one two three", usage=(7, 3)))

    with client.messages.stream(**ASK) as stream:
        text = "".join(stream.text_stream)
        final = stream.get_final_message()

    call = the_call()
    assert (text, final.stop_reason, final.usage.output_tokens) == ("one two three ", "end_turn", 3)
    assert (call.state, call.streamed, call.input_tokens, call.output_tokens) == ("succeeded", True, 7, 3)
    assert budget(working)[0] == 0


@pytest.mark.parametrize("usage", [None, ("many", -1), (10**12, 3)], ids=["none", "nonsense", "too much"])
def test_a_stream_that_never_says_what_it_used_is_counted_in_full(client, api, working, usage):
    api.will(says("one two three", usage=usage))

    with client.messages.create(**ASK, stream=True) as stream:
        kinds = [event.type for event in stream]

    call = the_call()
    assert kinds[-1] == "message_stop"
    assert (call.state, call.cost_usd) == ("succeeded", call.reserved_usd)
    assert budget(working) == (0, call.reserved_usd)
    assert budget(working, "tokens") == (0, call.reserved_tokens)


def test_tools_of_the_agents_own_go_through(client, api):
    api.will(uses(("look", {"text": "x"}), text="I look"))
    tool = {"name": "look", "description": "Look", "input_schema": {"type": "object"}}

    said = client.messages.create(**ASK, tools=[tool], tool_choice={"type": "auto"})

    assert [block.type for block in said.content] == ["text", "tool_use"]
    assert api.asked[0]["tools"] == [tool]


FORBIDDEN = {
    "server tool": {"tools": [{"type": "web_search_20250305", "name": "web_search"}]},
    "code execution": {"tools": [{"type": "code_execution_20250825", "name": "code_execution"}]},
    "mcp servers": {"mcp_servers": [{"type": "url", "url": "https://evil.example", "name": "x"}]},
    "container": {"container": "container_1"},
    "service tier": {"service_tier": "priority"},
    "image by address": {"messages": [{"role": "user", "content": [
        {"type": "image", "source": {"type": "url", "url": "https://evil.example/x.png"}}]}]},
    "document by file": {"messages": [{"role": "user", "content": [
        {"type": "document", "source": {"type": "file", "file_id": "file_1"}}]}]},
    "address in a tool's result": {"messages": [{"role": "user", "content": [
        {"type": "tool_result", "tool_use_id": "t", "content": [{"type": "image", "source": {"type": "url", "url": "https://e.example"}}]}]}]},
    "no tokens": {"max_tokens": 0},
    "too many tokens": {"max_tokens": 10_000_000},
}  # fmt: skip


@pytest.mark.parametrize("more", FORBIDDEN.values(), ids=FORBIDDEN)
def test_what_would_let_the_provider_go_out_is_refused_with_a_gate_and_nothing_is_asked(agent, api, more):
    answer = agent.post("/llm/v1/messages", {**ASK, **more})

    agent.denied(answer, 422, "invalid", "llm.call")
    assert answer.json()["error"]["type"] == "invalid_request_error"
    assert answer.json()["errors"]
    assert api.asked == []
    assert not LlmCall.objects.exists()


def test_another_model_a_beta_and_an_unpriced_model_are_refused_with_a_gate(agent, api, settings):
    other = agent.post("/llm/v1/messages", {**ASK, "model": "gpt-5"})
    agent.denied(other, 403, "policy_denied", "llm.call")
    unpriced = agent.post("/llm/v1/messages", {**ASK, "model": "local"})
    agent.denied(unpriced, 403, "policy_denied", "llm.call")
    assert "no price" in unpriced.json()["detail"]
    beta = agent.post("/llm/v1/messages", ASK, headers={"anthropic-beta": "files-api-2025-04-14"})
    agent.denied(beta, 422, "invalid", "llm.call")
    settings.WORKA_MODEL_BETAS = ("files-api-2025-04-14",)
    allowed = agent.post("/llm/v1/messages", ASK, headers={"anthropic-beta": "files-api-2025-04-14"})

    assert allowed.status_code == 200
    assert api.headers[-1]["anthropic-beta"] == "files-api-2025-04-14"
    assert len(api.asked) == 1


def test_who_may_call_no_model_is_denied_and_who_names_another_is_recognised(working, ernest, api):
    denied = ernest.post("/llm/v1/messages", ASK)
    foreign = ernest.post("/llm/v1/messages", {**ASK, "agent": "hari"})
    nobody = ernest.http.post("/agent/v1/llm/v1/messages", json=ASK, headers={"x-api-key": "sk-ant-stolen"})

    assert denied.status_code == 403
    ernest.denied(foreign, 403, "identity_mismatch", "llm.call")
    assert nobody.status_code == 401
    assert nobody.json()["error"]["type"] == "authentication_error"
    assert api.asked == []


def test_the_key_header_of_older_clients_opens_this_route_and_no_other(agent, api):
    here = agent.http.post("/agent/v1/llm/v1/messages", json=ASK, headers={"x-api-key": agent.token})
    elsewhere = agent.http.get("/agent/v1/context", headers={"x-api-key": agent.token})

    assert (here.status_code, elsewhere.status_code) == (200, 401)


def test_the_budget_of_one_call_is_spent_by_one_of_fifty(agent, api, working, door_socket):
    reserved = Decimal("0.005") + Decimal("0.001")  # fifty tokens out, and something in
    Budget.objects.filter(scope=working.run.pk, kind="usd").update(limit=reserved)
    api.will(says("x", usage=(10, 50)))
    codes: list[int] = []
    barrier = threading.Barrier(8)

    def ask_often():
        with httpx2.Client(
            transport=httpx2.HTTPTransport(uds=str(door_socket), verify=False), base_url="http://door", timeout=30
        ) as http:
            barrier.wait(10)
            for _ in range(6):
                answer = http.post("/agent/v1/llm/v1/messages", json=ASK, headers={"x-api-key": agent.token})
                codes.append(answer.status_code)

    threads = [threading.Thread(target=ask_often) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    assert sorted(codes)[0] == 200
    assert codes.count(200) == 1 == len(api.asked)
    assert set(codes) <= {200, 429}
    assert budget(working) == (0, the_call().cost_usd)
    refused = Gate.objects.filter(action="llm.call", code="budget_exceeded").first()
    assert refused is not None
    assert "US dollars" in refused.reason


FAILURES = {
    "the key is wrong": (Turn(status=401), 503, "authentication", 0, 1),
    "a limit that does not pass soon": (Turn(status=429, retry_after="30"), 429, "rate_limited", 0, 1),
    "overloaded to the end": (Turn(status=529), 503, "overloaded", 0, 3),
    "a request it does not like": (Turn(status=400, message="max_tokens: too low"), 422, "refused_request", 0, 1),
    "an error of its own": (Turn(status=500), 502, "upstream", None, 1),
    "no message at all": (Turn(raw=b"<html>"), 502, "broken_answer", None, 1),
}


@pytest.mark.parametrize(("turn", "status", "kind", "spent", "asked"), FAILURES.values(), ids=FAILURES)
def test_what_goes_wrong_behind_is_named_repeated_where_safe_and_counted(
    agent, api, working, monkeypatch, turn, status, kind, spent, asked
):
    monkeypatch.setattr("gateway.model_providers.anthropic.FIRST_PAUSE_S", 0.01)
    api.will(turn)

    answer = agent.post("/llm/v1/messages", ASK)

    call = the_call()
    assert (answer.status_code, answer.json()["reason"]) == (status, kind)
    assert answer.json()["gate"] == str(call.gate_id)
    assert (call.state, call.error["code"]) == ("failed", kind)
    assert len(api.headers) == asked
    assert budget(working) == (0, call.reserved_usd if spent is None else spent)
    if turn.retry_after:
        assert answer.headers["retry-after"] == turn.retry_after


def test_a_short_limit_is_waited_out(agent, api, working):
    api.will(Turn(status=429, retry_after="0.01"), says("now"))

    answer = agent.post("/llm/v1/messages", ASK)

    assert answer.status_code == 200
    assert len(api.headers) == 2
    assert the_call().state == "succeeded"


def test_a_model_that_never_answers_is_timed_out_and_counted_in_full(agent, api, working, settings):
    settings.WORKA_MODEL_TIMEOUT_S = 0.2
    api.will(Turn(stalls=True))

    answer = agent.post("/llm/v1/messages", ASK)

    assert (answer.status_code, answer.json()["reason"]) == (502, "timeout")
    assert budget(working) == (0, the_call().reserved_usd)


def test_half_a_stream_ends_with_an_error_event_and_costs_what_was_heard(client, api, working):
    api.will(says("one two three four five six", usage=(10, 6), breaks_after=5))

    with pytest.raises(anthropic.APIStatusError, match="broke off"), client.messages.stream(**ASK) as stream:
        list(stream.text_stream)

    call = settled("failed")
    assert call.error["code"] == "broken_answer"
    assert call.input_tokens == 10
    assert 1 <= call.output_tokens < 50
    assert budget(working) == (0, call.cost_usd)


def test_who_leaves_in_mid_stream_closes_the_model_and_pays_what_was_heard(client, api, working):
    api.will(says("word " * 30, usage=(10, 40), drips=True))

    with client.messages.create(**ASK, stream=True) as stream:
        for event in stream:
            if event.type == "content_block_delta":
                break

    call = settled("left")
    assert (call.input_tokens, call.output_tokens > 0) == (10, True)
    assert budget(working)[0] == 0
    until = time.monotonic() + 10
    while not api.left:
        assert time.monotonic() < until, "the provider's connection is still open"
        time.sleep(0.02)


def test_a_call_that_nobody_settles_is_counted_in_full_when_its_lease_is_over(agent, working, api):
    gate = Gate.objects.filter(run=working.run).first()
    reserved = llm.reserve(agent_caller(working), ASK)
    LlmCall.objects.update(lease_until=now())

    assert llm.sweep() == 1
    assert llm.sweep() == 0

    call = the_call()
    assert gate is not None
    assert reserved.call is not None
    assert (call.state, call.cost_usd) == ("lost", call.reserved_usd)
    assert budget(working) == (0, call.reserved_usd)


def test_an_answer_that_comes_after_the_call_was_counted_in_full_changes_nothing(agent, working, api):
    reserved = llm.reserve(agent_caller(working), ASK)
    LlmCall.objects.update(lease_until=now())
    assert llm.sweep() == 1

    late = llm.settle(reserved.call, Ended("succeed", Usage(100, 20), "end_turn"))

    call = the_call()
    assert (late.state, call.state, call.cost_usd, call.stop_reason) == ("lost", "lost", call.reserved_usd, "")
    assert budget(working) == (0, call.reserved_usd)
    entries = AuditEvent.objects.filter(subject__endswith=str(call.pk)).values_list("type", flat=True)
    assert sorted(entries) == ["llm_call.lose", "llm_call.start"]


def test_an_answer_is_written_down_only_when_its_run_is_free(agent, working, api):
    reserved = llm.reserve(agent_caller(working), ASK)
    ended = Ended("succeed", Usage(100, 20), "end_turn")

    with psycopg.connect(connection.connection.info.dsn) as other, connection.cursor() as cursor:
        other.execute("SELECT 1 FROM governance_run WHERE id = %s FOR UPDATE", [working.run.pk])
        cursor.execute("SET lock_timeout = '100ms'")
        with pytest.raises(OperationalError, match="lock timeout"):
            llm.settle(reserved.call, ended)
        assert the_call().state == "running"
        other.rollback()
        settled = llm.settle(the_call(), ended)
        cursor.execute("RESET lock_timeout")

    assert (settled.state, the_call().state) == ("succeeded", "succeeded")


def test_who_is_over_is_told_so_and_nothing_is_asked_or_reserved(agent, working, api):
    working.finish("look")
    before = Gate.objects.count()

    answer = agent.post("/llm/v1/messages", ASK)

    assert (answer.status_code, answer.json()["code"], api.asked) == (401, "job_over", [])
    assert not LlmCall.objects.exists() and Gate.objects.count() == before


def test_without_a_provider_there_is_no_model(agent, settings):
    settings.WORKA_MODEL_URL = settings.WORKA_MODEL_KEY = ""

    answer = agent.post("/llm/v1/messages", ASK)

    agent.denied(answer, 503, "unavailable", "llm.call")
    assert "ANTHROPIC_API_KEY" in answer.json()["recovery"]


def test_a_freeze_stops_the_next_call(agent, working, api):
    from governance.actions.freezing import freeze_workspace

    freeze_workspace(working.house.workspace.pk, by=working.house.by("olga"), because="something is odd")

    answer = agent.post("/llm/v1/messages", ASK)

    agent.denied(answer, 409, "frozen", "llm.call")
    assert api.asked == []


def agent_caller(j):
    return j.caller(j.step("look"))
