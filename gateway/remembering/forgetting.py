"""Erase what agents remember: of a person, of a run, of an agent. The rows are gone, and do not come back."""

from collections.abc import Iterable
from typing import Any

from django.db import transaction
from django.db.models import Exists, OuterRef, Q

from audit.core.codes import Code
from audit.core.refusals import Refused
from audit.ledger import record
from audit.principals import Principal
from gateway.models import MemoryEntry, RememberedRun
from gateway.remembering.configured import forget_everywhere
from gateway.treasury.authority import asker_named
from governance.core.permissions import Verb
from governance.core.states import RunState
from governance.models import Run, Workspace


def forget_person(workspace: Workspace, keys: Iterable[str], *, by: Principal, because: str) -> int:
    """Erase all memories of runs that one of these people stands behind (keys as text); return how many there were."""
    named = sorted(set(keys))
    return _forget(
        workspace,
        Q(person_ids__overlap=named),
        Q(requester_persons__overlap=named, state=RunState.SUCCEEDED),
        {"of": "person", "persons": named},
        by=by,
        because=because,
    )


def forget_run(run: Run, *, by: Principal, because: str) -> int:
    """Erase what any agent remembers of a run, and let none of it be remembered later; return how many there were."""
    about = {"of": "run", "number": run.number}
    return _forget(run.workspace, Q(run=run), Q(pk=run.pk), about, by=by, because=because)


def forget_namespace(workspace: Workspace, namespace: str, *, by: Principal, because: str) -> int:
    """Erase all that an agent remembers in a workspace (`agent:<name>`); return how many memories there were."""
    about = {"of": "namespace", "namespace": namespace[:64]}
    return _forget(
        workspace, Q(namespace=namespace), Q(state=RunState.SUCCEEDED), about, by=by, because=because
    )  # fmt: skip


@transaction.atomic
def _forget(workspace: Workspace, which: Q, runs: Q, about: dict[str, Any], *, by: Principal, because: str) -> int:
    _demand(workspace, by, because)
    # What succeeded a moment ago and is not remembered yet must not be so a moment later.
    looked_at = RememberedRun.objects.filter(run=OuterRef("pk"))
    pending = Run.objects.filter(runs, ~Exists(looked_at), workspace=workspace).order_by().values_list("pk", flat=True)
    RememberedRun.objects.bulk_create(
        (RememberedRun(workspace=workspace, run_id=pk) for pk in pending), ignore_conflicts=True
    )
    rows = MemoryEntry.objects.filter(which, workspace=workspace)
    found = list(rows.select_for_update().values_list("pk", "run_id"))
    MemoryEntry.objects.filter(pk__in=[pk for pk, _ in found]).delete()
    record(
        "memory.forget",
        workspace,
        by=by,
        because=because,
        memories=len(found),
        runs=len({run for _, run in found}),
        **about,
    )
    _forget_outside([pk for pk, _ in found])
    return len(found)


def _forget_outside(ids: list[Any]) -> None:
    """Let the memories forget, last in the transaction: what they cannot forget now stays here, to be erased again."""
    try:
        forget_everywhere(ids)
    except Exception as error:  # noqa: BLE001 - a plug-in may raise anything
        raise Refused(
            f"a memory does not answer ({type(error).__name__}), so nothing is erased",
            code=Code.UNAVAILABLE,
            recovery="Look at the health page, and erase again.",
        ) from None


def _demand(workspace: Workspace, by: Principal, because: str) -> None:
    if not because.strip():
        raise Refused("say why", code=Code.INVALID, recovery="Give a reason; it is written down.")
    if by.kind == "system":
        return
    asker = asker_named(workspace, by)
    if asker is None:
        raise Refused("these memories are not yours to erase", code=Code.FORBIDDEN)
    asker.must(Verb.FORGET_MEMORIES)
