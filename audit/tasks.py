"""What the tick calls; each finds its work by query, whatever signals were lost."""

import logging

from audit.deliver import deliver_all
from audit.sealing import SealingStopped, publish_heads, seal

BATCHES = 20

log = logging.getLogger(__name__)
_last_reason = ""


def seal_ledger() -> None:
    """Seal what is committed, and write outside whatever heads are not there yet; say once why if it may not."""
    global _last_reason
    try:
        for _ in range(BATCHES):
            if not seal():
                break
        publish_heads()
        _last_reason = ""
    except SealingStopped as stopped:
        # The tick comes many times a second, and a person needs hours: the health page goes on saying it.
        if str(stopped) != _last_reason:
            log.error("%s. %s", stopped, stopped.recovery)  # noqa: TRY400 - the reason is all there is to know
        _last_reason = str(stopped)


def deliver_sinks() -> None:
    """Carry what is sealed to every sink."""
    deliver_all()
