"""Every model provider keeps the contract: it answers as it was told, counts, and lets nothing but `ModelFailed` out."""

import asyncio
import json
import time

import pytest

from gateway.model_provider import ModelFailed, ProviderSettings, all_model_providers
from governance.core.prices import Usage
from tests.wire.messages_api import KEY, Turn, messages_api, says, uses

EVERY = pytest.mark.parametrize("provider", sorted(all_model_providers()))
ASK = {"model": "claude-test", "max_tokens": 50, "messages": [{"role": "user", "content": "Good morning"}]}
NOBODY = "http://127.0.0.1:9"


@pytest.fixture(scope="module")
def upstream():
    with messages_api() as api:
        yield api


@pytest.fixture
def api(upstream, monkeypatch):
    monkeypatch.setattr("gateway.model_providers.anthropic.FIRST_PAUSE_S", 0.01)
    for seen in (upstream.asked, upstream.headers, upstream.left):
        seen.clear()
    return upstream


def with_provider(name, use, *, url, key=KEY, timeout_s=20.0, retries=2):
    """Build a provider in a loop of its own, use it, and let it close."""

    async def run():
        provider = all_model_providers()[name].from_settings(ProviderSettings(url, key, timeout_s, retries))
        try:
            return await use(provider)
        finally:
            await provider.close()

    return asyncio.run(run())


async def whole(provider):
    return await provider.answer(ASK, ())


async def streamed(provider):
    return [part async for part in provider.stream(ASK, ())]


def failure_of(name, use, **settings):
    with pytest.raises(ModelFailed) as caught:
        with_provider(name, use, **settings)
    return caught.value


def test_the_provider_of_this_release_is_there():
    assert sorted(all_model_providers()) == ["anthropic"]


@EVERY
def test_a_whole_answer_comes_as_it_is_with_what_it_used(provider, api):
    api.will(uses(("look", {"text": "x"}), text="I look", usage=(7, 3)))

    reply = with_provider(provider, whole, url=api.url)

    said = json.loads(reply.content)
    assert [block["type"] for block in said["content"]] == ["text", "tool_use"]
    assert (reply.usage, reply.stop_reason) == (Usage(7, 3), "tool_use")
    assert reply.request_id.startswith("req_")
    assert api.asked == [{**ASK, "stream": False}]


@EVERY
def test_what_it_is_given_is_what_it_sends_fields_of_tomorrow_too(provider, api):
    api.will(says("yes"))
    more = {"system": "Be brief", "thinking": {"type": "adaptive"}, "output_config": {"effort": "low"}}

    with_provider(provider, lambda it: it.answer({**ASK, **more}, ("beta-1", "beta-2")), url=api.url)

    assert api.asked == [{**ASK, **more, "stream": False}]
    assert api.headers[0]["anthropic-beta"] == "beta-1,beta-2"


@EVERY
def test_a_stream_comes_event_by_event_with_one_end_and_the_usage_known_so_far(provider, api):
    api.will(says("one two three", usage=(7, 3)))

    parts = with_provider(provider, streamed, url=api.url)

    told = b"".join(part.content for part in parts).decode()
    assert [line[7:] for line in told.splitlines() if line.startswith("event: ")] == [
        "message_start", "content_block_start", *["content_block_delta"] * 3, "content_block_stop", "message_delta", "message_stop",
    ]  # fmt: skip
    assert [part.is_last for part in parts] == [False] * 7 + [True]
    assert parts[0].usage == Usage(7, 1)
    assert [part.usage for part in parts if part.usage][-1] == Usage(7, 3)
    assert sum(part.characters for part in parts) == len("one two three ")
    assert [part.stop_reason for part in parts if part.stop_reason] == ["end_turn"]


FAILURES = {
    "a key that is not accepted": (Turn(status=401), "authentication", False, 1),
    "a limit that passes late": (Turn(status=429, retry_after="30"), "rate_limited", False, 1),
    "a limit to the end": (Turn(status=429, retry_after="0.01"), "rate_limited", False, 3),
    "overloaded to the end": (Turn(status=529), "overloaded", False, 3),
    "a request it does not like": (Turn(status=400), "refused_request", False, 1),
    "an error of its own": (Turn(status=500), "upstream", True, 1),
}


@EVERY
@pytest.mark.parametrize("use", [whole, streamed], ids=["whole", "streamed"])
@pytest.mark.parametrize(("turn", "kind", "is_billed", "asked"), FAILURES.values(), ids=FAILURES)
def test_a_refusal_has_its_kind_and_only_one_that_cost_nothing_is_repeated(
    provider, api, use, turn, kind, is_billed, asked
):
    api.will(turn)

    failure = failure_of(provider, use, url=api.url)

    assert (failure.kind, failure.is_billed) == (kind, is_billed)
    assert failure.retry_after_s == (float(turn.retry_after) if turn.retry_after else None)
    assert len(api.headers) == asked
    assert KEY not in f"{failure!r} {failure.__cause__!r}"


@EVERY
@pytest.mark.parametrize("use", [whole, streamed], ids=["whole", "streamed"])
def test_who_is_not_there_was_not_billed_and_who_is_silent_may_have_been(provider, api, use):
    nobody = failure_of(provider, use, url=NOBODY, retries=1)
    api.will(Turn(stalls=True))
    silent = failure_of(provider, use, url=api.url, timeout_s=0.2)

    assert (nobody.kind, nobody.is_billed) == ("unreachable", False)
    assert (silent.kind, silent.is_billed) == ("timeout", True)
    assert len(api.headers) == 1


@EVERY
@pytest.mark.parametrize(
    "raw",
    [
        b"<html>",
        b"[]",
        b"{}",
        b"\xff\xfe",
        b'{"usage": 7}',
        b'{"usage": {}}',
        b'{"usage": {"input_tokens": -1, "output_tokens": 1}}',
        b'{"usage": {"input_tokens": 1, "output_tokens": 1e3}}',
    ],
)
def test_what_is_no_message_is_a_broken_answer_that_may_be_billed(provider, api, raw):
    api.will(Turn(raw=raw))

    failure = failure_of(provider, whole, url=api.url)

    assert (failure.kind, failure.is_billed) == ("broken_answer", True)


@EVERY
def test_half_a_stream_is_a_broken_answer_after_what_was_heard(provider, api):
    api.will(says("one two three four", breaks_after=4))
    heard = []

    async def listen(it):
        async for part in it.stream(ASK, ()):
            heard.append(part)

    failure = failure_of(provider, listen, url=api.url)

    assert (failure.kind, failure.is_billed) == ("broken_answer", True)
    assert sum(part.characters for part in heard) > 0
    assert not any(part.is_last for part in heard)


@EVERY
def test_an_endless_answer_is_cut_off(provider, api, monkeypatch):
    monkeypatch.setattr("gateway.model_providers.anthropic.LARGEST_ANSWER", 10_000)
    monkeypatch.setattr("gateway.model_providers.anthropic.LARGEST_EVENT", 10_000)
    api.will(says("x" * 50_000))

    for use in (whole, streamed):
        assert failure_of(provider, use, url=api.url).kind == "broken_answer"


@EVERY
def test_who_leaves_the_stream_closes_the_connection(provider, api):
    api.will(says("word " * 30, drips=True))

    async def leave(it):
        parts = it.stream(ASK, ())
        async for part in parts:
            if part.characters:
                break
        await parts.aclose()
        until = time.monotonic() + 10
        while not api.left:
            assert time.monotonic() < until, "the connection is still open"
            await asyncio.sleep(0.02)

    with_provider(provider, leave, url=api.url)


@EVERY
def test_no_key_and_no_proxy_of_the_environment_is_used(provider, api, monkeypatch):
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-ant-of-the-environment")
    monkeypatch.setenv("ANTHROPIC_AUTH_TOKEN", "token-of-the-environment")
    monkeypatch.setenv("ANTHROPIC_BASE_URL", NOBODY)
    monkeypatch.setenv("HTTP_PROXY", NOBODY)
    api.will(says("yes"))

    with_provider(provider, whole, url=api.url)
    refused = failure_of(provider, whole, url=api.url, key="")

    assert "of-the-environment" not in str(api.headers)
    assert refused.kind == "authentication"
