"""What an agent does where it meets a freeze: it sleeps until that is over, and is started again."""

from collections.abc import Iterator
from contextlib import contextmanager

from worka.agent import Agent
from worka.errors import ApiError


@contextmanager
def asleep_while_frozen(agent: Agent) -> Iterator[None]:
    """Suspend the step until it is thawed when what is asked inside is refused as `frozen`; raises Suspended."""
    try:
        yield
    except ApiError as refusal:
        if refusal.code != "frozen":
            raise
        agent.suspend(waits_for="frozen", state={}, summary=f"it meets a freeze: {refusal.detail}"[:1000])
