"""Runs that come to their end and are remembered, for tests of memories."""

from gateway.models import MemoryEntry
from gateway.remembering import writing
from governance.models import Run
from tests import desk
from tests.journeys import Journey


def done(j: Journey, text: str) -> Run:
    """Let a run come to its end and be remembered."""
    run = j.ask(text)
    j.propose(desk.step("tell", agent="daneel"))
    j.finish("tell", output={"text": "done"})
    j.tick()
    assert j.run.state == "succeeded"
    writing.remember_runs()
    return run


def of(run: Run, namespace: str = "agent:hari") -> object:
    """Return the key of what an agent remembers of a run."""
    return MemoryEntry.objects.get(run=run, namespace=namespace).pk
