"""Write down what agents remember of runs that have succeeded. By query, never on a request's path: what fails comes again."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid5

import structlog
from django.conf import settings
from django.db import transaction
from django.utils.timezone import now

from audit.ledger import record
from audit.principals import SYSTEM
from gateway.core.episodes import LONGEST_EPISODE, RunStory, StepStory, episode, namespace_of
from gateway.memory import Kept, Memory
from gateway.models import MemoryEntry, RememberedRun
from gateway.remembering.configured import configured_memory, forget_everywhere
from gateway.remembering.queries import unremembered
from governance.actions.wording import told
from governance.core.masking import TOKEN
from governance.core.states import InvocationState, PlanState
from governance.gather import maskers_of
from governance.models import Gate, Plan, Run, SkillInvocation, Step, Workspace
from governance.run_facts import HEAVY_STEP

log = structlog.get_logger(__name__)

AT_ONCE = 20
RESTS = timedelta(minutes=1)
# A run's transaction may commit later than its `finished_at` says.
COMMITTED_WITHIN = timedelta(minutes=10)

_everything_until = datetime(2000, 1, 1, tzinfo=UTC)
"""Up to when all that succeeded is remembered, so that a look need not go through years; a new process looks at all of it."""
_resting: dict[UUID, datetime] = {}
"""Runs that could not be remembered, and until when they are left alone, so that they hold up no others."""

_caught_up: dict[str, datetime] = {}
"""Until when a memory is not asked what it does not know: for good once it knew everything, since it is told of what is new."""


def remember_runs() -> int:
    """Remember runs that are due and erase memories whose time is over; return how many runs were. Off, it does nothing."""
    global _everything_until
    memory = configured_memory()
    if memory is None:
        return 0
    _expire()
    began = now()
    for pk in [pk for pk, until in _resting.items() if until <= began]:
        del _resting[pk]
    _catch_up(memory)
    due = list(unremembered(_everything_until).exclude(pk__in=list(_resting))[:AT_ONCE])
    for run in due:
        try:
            remember(run, memory)
        except Exception as error:  # noqa: BLE001 - the ones behind it must not wait; a plug-in's words may quote the run
            _resting[run.pk] = began + RESTS
            log.warning("run_not_remembered", run=str(run.pk), error=type(error).__name__)
    if len(due) < AT_ONCE and not _resting:
        _everything_until = began - COMMITTED_WITHIN
    return sum(run.pk not in _resting for run in due)


def remember(run: Run, memory: Memory) -> bool:
    """Store what each agent of a succeeded run remembers of it; say whether it was this call that did."""
    entries = entries_of(run)
    memory.keep([Kept(each.pk, each.workspace_id, each.namespace, each.text) for each in entries])
    if _store(run, entries):
        return True
    # It was forgotten, or remembered, in between; what was forgotten must not stay behind.
    kept = set(MemoryEntry.objects.filter(run=run).values_list("pk", flat=True))
    memory.forget([each.pk for each in entries if each.pk not in kept])
    return False


def _catch_up(memory: Memory) -> None:
    """Tell the memory some of the entries that it does not know well, until there are none; what fails is tried later."""
    about = f"{settings.WORKA_MEMORY} {settings.WORKA_EMBEDDER_MODEL}"
    if _caught_up.get(about, datetime.min.replace(tzinfo=UTC)) > now():
        return
    try:
        ids = memory.unknown(AT_ONCE)
        if not ids:
            _caught_up[about] = datetime.max.replace(tzinfo=UTC)
            return
        rows = MemoryEntry.objects.filter(pk__in=ids).only("workspace_id", "namespace", "text")
        memory.keep([Kept(each.pk, each.workspace_id, each.namespace, each.text) for each in rows])
        left = set(MemoryEntry.objects.filter(pk__in=ids).values_list("pk", flat=True))
        memory.forget([pk for pk in ids if pk not in left])
    except Exception as error:  # noqa: BLE001 - a plug-in may raise anything
        _caught_up[about] = now() + RESTS
        log.warning("memories_not_caught_up", error=type(error).__name__)


@transaction.atomic
def _store(run: Run, entries: Sequence[MemoryEntry]) -> bool:
    _, is_new = RememberedRun.objects.get_or_create(run=run, defaults={"workspace_id": run.workspace_id})
    if not is_new:
        return False
    MemoryEntry.objects.bulk_create(entries)
    record(
        "memory.store", run, by=SYSTEM, because="the run has succeeded",
        agents=[each.agent_name for each in entries], taint=entries[0].taint if entries else [],
    )  # fmt: skip
    return True


def entries_of(run: Run) -> list[MemoryEntry]:
    """Return the memories of a succeeded run, one for each agent that worked in it, not stored yet.

    A memory tells of the whole run, so it carries the taint of the whole run; what was asked is the workspace's own.
    """
    plan = Plan.objects.filter(run=run, state=PlanState.ACCEPTED).only("created_by", "summary", "playbook_name").first()
    if plan is None:
        return []
    heavy = [name for name in HEAVY_STEP if name != "result_redacted"]
    steps = list(Step.objects.filter(plan=plan).defer(*heavy).order_by("sequence"))
    story = _story(run, plan, steps)
    last = {step.agent_name: step for step in steps}
    taint = sorted({"reads_private", *run.taint, *(label for step in steps for label in step.taint)})
    gates = Gate.objects.filter(run=run).order_by("-created_at").values_list("manifest_digests", flat=True)
    masks = {TOKEN, *maskers_of(run.workspace_id)}
    return [
        MemoryEntry(
            # A memory that was told of it before a crash is told the same again.
            id=uuid5(run.pk, namespace_of(agent)),
            workspace_id=run.workspace_id,
            namespace=namespace_of(agent),
            text=told(episode(story, agent), masks, LONGEST_EPISODE),
            run=run,
            step=last.get(agent),
            agent_name=agent,
            playbook_name=plan.playbook_name,
            manifest_digests=gates.first() or [],
            created_by=str(SYSTEM),
            person_ids=run.requester_persons,
            taint=taint,
            expires_at=(run.finished_at or now()) + timedelta(days=settings.WORKA_MEMORY_DAYS),
        )
        for agent in story.agents
    ]


def _story(run: Run, plan: Plan, steps: Sequence[Step]) -> RunStory:
    used: dict[UUID, list[str]] = defaultdict(list)
    calls = SkillInvocation.objects.filter(run=run, state=InvocationState.SUCCEEDED).order_by("created_at")
    for step_id, skill in calls.values_list("step_id", "skill_name"):
        if skill not in used[step_id]:
            used[step_id].append(skill)
    return RunStory(
        run.request_text,
        plan.summary,
        plan.playbook_name,
        plan.created_by,
        run.outcome,
        tuple(StepStory(each.agent_name, each.objective, tuple(used[each.pk]), each.result_redacted) for each in steps),
    )


def _expire() -> None:
    """Erase memories whose time is over, some at a time."""
    over = MemoryEntry.objects.filter(expires_at__lte=now()).values_list("pk", "workspace_id")[:500]
    by_workspace: dict[UUID, list[UUID]] = defaultdict(list)
    for pk, workspace_id in over:
        by_workspace[workspace_id].append(pk)
    for workspace_id, ids in by_workspace.items():
        forget_everywhere(ids)
        with transaction.atomic():
            gone, _ = MemoryEntry.objects.filter(pk__in=ids).delete()
            workspace = Workspace.objects.get(pk=workspace_id)
            record("memory.expire", workspace, by=SYSTEM, because="their time is over", memories=gone)
