"""The tick of governance: end the questions that nobody answered in time."""

import structlog
from django.utils.timezone import now

from audit.core.refusals import Refused
from governance.actions.votes import expire_gate
from governance.core.states import GateState
from governance.models import Gate

log = structlog.get_logger(__name__)


def tick() -> int:
    """Expire every waiting gate whose time has passed; return how many were."""
    at = now()
    expired = 0
    late = Gate.objects.filter(state=GateState.WAITING, expires_at__lte=at).values_list("pk", flat=True)[:200]
    for pk in late:
        try:
            expired += expire_gate(pk, at=at)
        except Refused:
            continue  # somebody answered, or the run ended, in between
        except Exception:
            log.exception("gate_not_expired", gate=str(pk))  # the ones behind it must not wait for it
    return expired
