"""When the job plane last turned: a row, so that every process sees it."""

from datetime import datetime

from django.utils.timezone import now

from runtime.models import Pulse


def beat() -> None:
    """Note that the tick has turned."""
    if not Pulse.objects.filter(name="tick").update(at=now()):
        Pulse.objects.get_or_create(name="tick", defaults={"at": now()})


def last_tick() -> datetime | None:
    return Pulse.objects.filter(name="tick").values_list("at", flat=True).first()
