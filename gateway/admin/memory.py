"""What agents remember, in the console, for who may erase it."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest

from audit.principals import Principal
from audit.screens import Button, DecisionAdmin
from gateway.models import MemoryEntry
from gateway.remembering import forgetting
from gateway.remembering.queries import memories_visible_to
from governance.core.permissions import Verb
from governance.people import asker_in_session, asker_of


def may_forget(user: Any, memory: MemoryEntry) -> bool:
    """Say whether a person may erase a memory: owners and admins of its workspace."""
    asker = asker_of(user, memory.workspace)
    return asker is not None and asker.may(Verb.FORGET_MEMORIES)


def forget_run(memory: MemoryEntry, *, by: Principal, because: str) -> str:
    """Erase what all agents remember of the run of a memory."""
    count = forgetting.forget_run(memory.run, by=by, because=because)
    return f"Run {memory.run.number} is forgotten: {_counted(count)} erased."


def forget_person(memory: MemoryEntry, *, by: Principal, because: str) -> str:
    """Erase what all agents remember of the runs of everybody behind the request of a memory."""
    count = forgetting.forget_person(memory.workspace, memory.person_ids, by=by, because=because)
    return f"What {memory.run.requester_name.partition(':')[2]} asked for is forgotten: {_counted(count)} erased."


def forget_namespace(memory: MemoryEntry, *, by: Principal, because: str) -> str:
    """Erase all that the agent of a memory remembers in this workspace."""
    count = forgetting.forget_namespace(memory.workspace, memory.namespace, by=by, because=because)
    return f"{memory.agent_name} has forgotten everything: {_counted(count)} erased."


def _counted(count: int) -> str:
    return f"{count} {'memory' if count == 1 else 'memories'}"


@admin.register(MemoryEntry)
class MemoryAdmin(DecisionAdmin):
    """A memory; all of them stand on one list."""

    visible_to = staticmethod(lambda request: memories_visible_to(asker_in_session(request)))
    list_page = "worka/pages/memories.html"
    buttons = (
        Button(
            "forget_run", "Forget the run", forget_run, may_forget, icon="cancelled", tone="danger",
            consequence="What every agent remembers of this run is erased for good.",
        ),
        Button(
            "forget_person", "Forget the person", forget_person, may_forget, icon="person", tone="danger",
            consequence="What every agent remembers of all that this person asked for is erased for good.",
        ),
        Button(
            "forget_namespace", "Forget all of this agent", forget_namespace, may_forget, icon="agents", tone="danger",
            consequence="Everything that this agent remembers in this workspace is erased for good.",
        ),
    )  # fmt: skip

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> Any:
        """Show the list to who may erase memories."""
        asker_in_session(request).must(Verb.FORGET_MEMORIES)
        return super().changelist_view(request, extra_context)
