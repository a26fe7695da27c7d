"""The real agents at the real door, in this process, with a scripted model behind it."""

from contextlib import contextmanager

import pytest

from runtime.tokens import mint_token
from tests.wire.messages_api import KEY, messages_api, says
from worka.agent import Agent, Suspended
from worka.errors import ApiError
from worka.wire import Wire


@pytest.fixture(scope="module")
def upstream():
    with messages_api() as api:
        yield api


@pytest.fixture
def api(upstream, settings):
    upstream.will(says("Nothing to say"))
    upstream.asked.clear()
    settings.WORKA_MODEL_URL, settings.WORKA_MODEL_KEY, settings.WORKA_MODEL = upstream.url, KEY, "claude-test"
    return upstream


@pytest.fixture
def at_work(door_socket):
    """Let the agent of a live job do its work, in this process, and end the job as its process would."""

    def work(j, agent, ref=""):
        job = j.job(j.step(ref) if ref else None)
        with at_the_door(door_socket, job) as conversation:
            try:
                agent.work(conversation)
            except Suspended:
                pass
            except ApiError as refusal:
                assert refusal.code == "job_over"
        j.leave(job)
        j.tick()

    return work


@contextmanager
def at_the_door(socket, job):
    wire = Wire(f"http+unix://{socket}", mint_token(job), patience_s=2)
    yield Agent(wire, heartbeat_s=60)
    wire.close()


def told(api, number=-1):
    """Return what the model was told in its last message."""
    content = api.asked[number]["messages"][-1]["content"]
    return content if isinstance(content, str) else "\n".join(str(each.get("content")) for each in content)
