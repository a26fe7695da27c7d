"""What people may see of memories, who may erase them; and which runs are not remembered yet."""

from collections.abc import Sequence
from datetime import datetime

from django.db.models import Exists, OuterRef, QuerySet

from gateway.models import MemoryEntry, RememberedRun
from governance.core.permissions import Verb
from governance.core.states import RunState
from governance.models import Run
from governance.people import Asker


def unremembered(since: datetime) -> QuerySet[Run]:
    """Return the runs that have succeeded since then and were not looked at yet, the oldest first."""
    looked_at = RememberedRun.objects.filter(run=OuterRef("pk"))
    runs = Run.objects.filter(~Exists(looked_at), state=RunState.SUCCEEDED, finished_at__gte=since)
    return runs.defer("request_exact", "request_input").order_by("finished_at")


def memories_visible_to(asker: Asker) -> QuerySet[MemoryEntry]:
    """Return the workspace's memories with their runs; refuses with forbidden whoever may not erase them."""
    asker.must(Verb.FORGET_MEMORIES)
    return MemoryEntry.objects.filter(workspace=asker.workspace_id).defer("search").select_related("run", "workspace")


def memories_about(asker: Asker, *, namespace: str = "", person: str = "", words: str = "") -> QuerySet[MemoryEntry]:
    """Return those of one agent, of one person (a user's key) or with some words in them; empty matches everything."""
    same = {"namespace": namespace, "person_ids__contains": [person] if person else "", "text__icontains": words}
    return memories_visible_to(asker).filter(**{name: value for name, value in same.items() if value})


def namespaces_of(asker: Asker) -> Sequence[str]:
    """Return the namespaces that hold something."""
    rows = memories_visible_to(asker).order_by("namespace").values_list("namespace", flat=True).distinct()
    return list(rows[:100])
