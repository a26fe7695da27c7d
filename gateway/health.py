"""How each component is doing, with its last sign of life."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import structlog
from django.conf import settings
from django.db import connection
from django.utils.timezone import now

from audit.deliver import sinks_health
from audit.sealing import sealer_health
from gateway.playbooks import broken_playbooks
from gateway.remembering.configured import OFF, memory_problem
from gateway.tracing.follow import tracing_health
from runtime.dispatch import backend_problem
from runtime.pulse import last_tick

log = structlog.get_logger(__name__)

SEALER_LATE = timedelta(seconds=15)
TICK_LATE = timedelta(seconds=30)


@dataclass(frozen=True, slots=True)
class Check:
    """One component: healthy or not, and a sentence."""

    name: str
    healthy: bool
    detail: str
    essential: bool = True


def checks() -> list[Check]:
    """Look at every component; one that cannot be asked is unhealthy."""
    return [_safely(name, look) for name, look in CHECKS.items()]


def health() -> dict[str, Any]:
    """Return what /v1/health answers: healthy when every essential component is.

    It needs no key, so what is wrong in detail (versions, paths) is left to the console and the doctor.
    """
    found = checks()
    return {
        "healthy": all(check.healthy for check in found if check.essential),
        "version": settings.WORKA_VERSION,
        "checks": {check.name: {"healthy": check.healthy} for check in found},
    }


def _safely(name: str, look: Callable[[str], Check]) -> Check:
    try:
        return look(name)
    except Exception:
        log.exception("health_check_failed", check=name)
        return Check(name, healthy=False, detail="it does not answer")


def _database(name: str) -> Check:
    with connection.cursor() as cursor:
        cursor.execute("SHOW server_version")
        version = cursor.fetchone()[0]
    return Check(name, healthy=True, detail=f"PostgreSQL {version}")


def _sealer(name: str) -> Check:
    sealer = sealer_health()
    if sealer.stopped_because:
        return Check(name, healthy=False, detail=sealer.stopped_because)
    late = sealer.waiting_since is not None and now() - sealer.waiting_since > SEALER_LATE
    return Check(name, healthy=not late, detail=f"{sealer.waiting} entries wait to be sealed")


def _reconciler(name: str) -> Check:
    last = last_tick()
    if last is None:
        return Check(name, healthy=False, detail="no tick has been seen")
    age = now() - last
    return Check(name, healthy=age < TICK_LATE, detail=f"last tick {int(age.total_seconds())} s ago")


def _backend(name: str) -> Check:
    why = backend_problem()
    if settings.WORKA_ALLOW_UNSANDBOXED:
        return Check(
            name, healthy=False, detail="agents may run without a sandbox (WORKA_ALLOW_UNSANDBOXED)", essential=False
        )
    return Check(name, healthy=not why, detail=why or f"{settings.WORKA_BACKEND}: sandboxed")


def _sinks(name: str) -> Check:
    sinks = sinks_health()
    failing = [sink.name for sink in sinks if sink.last_error]
    detail = f"failing: {', '.join(failing)}" if failing else f"{len(sinks)} sinks follow the ledger"
    # A sink may be down without stopping a run: nothing is lost, it goes on from its cursor.
    return Check(name, healthy=not failing, detail=detail, essential=False)


def _playbooks(name: str) -> Check:
    broken = [f"{each.file} ({each.why})" for each in broken_playbooks()]
    detail = f"left out: {', '.join(broken)}" if broken else "every playbook can be read"
    return Check(name, healthy=not broken, detail=detail, essential=False)


def _tracing(name: str) -> Check:
    collectors = tracing_health()
    failing = [one.name.removeprefix("trace:") for one in collectors if one.last_error]
    if failing:
        return Check(name, healthy=False, detail=f"failing: {', '.join(failing)}", essential=False)
    behind = max((one.behind for one in collectors), default=0)
    names = ", ".join(one.name.removeprefix("trace:") for one in collectors)
    detail = f"{names}: {behind} entries behind" if collectors else "off: no collector is configured"
    return Check(name, healthy=True, detail=detail, essential=False)


def _memory(name: str) -> Check:
    why = memory_problem()
    well = "off" if settings.WORKA_MEMORY == OFF else f"{settings.WORKA_MEMORY}: every run that succeeded is remembered"
    # Runs go on without it; what could not be written is written later.
    return Check(name, healthy=not why, detail=why or well, essential=False)


def _broker(name: str) -> Check:
    return Check(name, healthy=True, detail="none is needed: the tick runs in this process", essential=False)


CHECKS: dict[str, Callable[[str], Check]] = {
    "database": _database,
    "broker": _broker,
    "sealer": _sealer,
    "reconciler": _reconciler,
    "backend": _backend,
    "sinks": _sinks,
    "playbooks": _playbooks,
    "tracing": _tracing,
    "memory": _memory,
}
