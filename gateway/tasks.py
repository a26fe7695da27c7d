"""The tick of the gateway: perform released calls, and take back the leases of performers that are gone."""

from concurrent.futures import ThreadPoolExecutor
from threading import Lock
from uuid import UUID

import structlog
from django.db import close_old_connections
from django.db.models import Q
from django.utils.timezone import now

from audit.core.refusals import Refused
from gateway import llm
from gateway.tools import perform
from gateway.treasury.secrets import retire_overlaps
from governance.actions.outcomes import take_expired_lease
from governance.actions.reserve import reserve_released
from governance.core.states import InvocationState
from governance.models import SkillInvocation

log = structlog.get_logger(__name__)

AT_ONCE = 8
_pool = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="performer")
_under_way: set[UUID] = set()
_guard = Lock()


def tick() -> int:
    """Hand released calls to the connector pool without waiting for them; sweep expired leases and overlaps. Return how many."""
    return hand_out() + sweep_leases() + llm.sweep() + retire_overlaps()


def hand_out() -> int:
    """Give every due call that nobody here performs yet to a thread of the pool."""
    handed = 0
    for pk in due_calls():
        with _guard:
            if pk in _under_way or len(_under_way) >= AT_ONCE:
                continue
            _under_way.add(pk)
        _pool.submit(_perform_and_forget, pk)
        handed += 1
    return handed


def due_calls() -> list[UUID]:
    due = Q(not_before=None) | Q(not_before__lte=now())
    calls = SkillInvocation.objects.filter(due, state=InvocationState.RELEASED, run__state="running")
    return list(calls.order_by("created_at").values_list("pk", flat=True)[:100])


def perform_released(invocation_id: UUID) -> SkillInvocation | None:
    """Reserve and perform one released call; None when it is not to be performed now."""
    work = reserve_released(invocation_id)
    return perform(work) if work is not None else None


def sweep_leases() -> int:
    """Decide about every call whose lease is over: repeat it or ask a person."""
    late = SkillInvocation.objects.filter(state=InvocationState.RUNNING, lease_until__lt=now())
    swept = 0
    for pk in late.values_list("pk", flat=True)[:100]:
        try:
            take_expired_lease(pk)
            swept += 1
        except Refused:
            continue  # its outcome came in after all
        except Exception:
            log.exception("lease_not_swept", invocation=str(pk))  # the ones behind it must not wait for it
    return swept


def _perform_and_forget(pk: UUID) -> None:
    close_old_connections()
    try:
        perform_released(pk)
    except Refused as refusal:
        log.info("released_call_overtaken", invocation=str(pk), code=str(refusal.code))
    except Exception:
        log.exception("released_call_not_performed", invocation=str(pk))
    finally:
        with _guard:
            _under_way.discard(pk)
        close_old_connections()
