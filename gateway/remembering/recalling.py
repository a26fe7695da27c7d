"""Tell an agent what it remembers: of its own namespace and workspace, and only of runs that its requester may see."""

from collections.abc import Sequence

from django.utils.timezone import now

from audit.principals import SYSTEM
from gateway.core.episodes import namespace_of, shortened
from gateway.memory import Question
from gateway.models import MemoryEntry
from gateway.remembering.configured import configured_memory
from governance.context import Memory
from governance.models import Run, ServiceAccount
from governance.people import Asker, asker_of, service_asker
from governance.queries import runs_visible_to

MOST = 5
LONGEST = 1500
MOST_CHARACTERS = 6000
LOOKED_AT = 50


def recall(run: Run, agent: str, about: str) -> Sequence[Memory]:
    """Return at most five memories, in 6,000 characters, best first; raises what the memory raises.

    Whatever the memory answers is looked up again here: it cannot lead into another workspace or namespace.
    """
    memory = configured_memory()
    if memory is None:
        return ()
    namespace = namespace_of(agent)
    ids = memory.find(Question(run.workspace_id, namespace, about, LOOKED_AT))[:LOOKED_AT]
    asker = asker_behind(run) if ids else None
    if asker is None:
        return ()
    found = {
        each.pk: each
        for each in MemoryEntry.objects.filter(
            pk__in=ids,
            workspace=run.workspace_id,
            namespace=namespace,
            expires_at__gt=now(),
            run__in=runs_visible_to(asker).order_by().values("pk"),
        ).select_related("run")
    }
    best = [found[pk] for pk in dict.fromkeys(ids) if pk in found][:MOST]
    texts = shortened([each.text for each in best], most=MOST_CHARACTERS, each=LONGEST)
    return [
        Memory(text, each.run.number, each.created_at, frozenset(each.taint))
        for each, text in zip(best, texts, strict=False)
    ]


def asker_behind(run: Run) -> Asker | None:
    """Return who asked for a run, as they may see the workspace now; None when they have no business there any more."""
    if run.requester is not None:
        return asker_of(run.requester, run.workspace) if run.requester.is_active else None
    kind, _, name = run.requester_name.partition(":")
    account = (
        ServiceAccount.objects.filter(workspace=run.workspace_id, name=name).first() if kind == "service" else None
    )
    return service_asker(account, via=SYSTEM.name) if account else None
