"""Which memory this deployment has, and how it is."""

from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

from django.conf import settings
from django.utils.timezone import now

from gateway.memory import Memory, Question, all_memories
from gateway.remembering.queries import unremembered

OFF = "off"
LATE = timedelta(minutes=2)
LOOKED_BACK = timedelta(days=7)
COUNTED = 1000
NOBODY = UUID(int=0)


def configured_memory() -> Memory | None:
    """Return the memory that is configured, None when it is off; a name that nobody knows is a `KeyError`."""
    return None if settings.WORKA_MEMORY == OFF else all_memories()[settings.WORKA_MEMORY]()


def forget_everywhere(ids: Sequence[UUID]) -> None:
    """Let every memory there is forget, not the configured one alone: another may have been it before; raises what they raise."""
    for each in all_memories().values():
        each().forget(ids)


def memory_problem() -> str:
    """Say what is wrong with memory, or nothing: it is asked for something, and whether runs have waited long for it."""
    if settings.WORKA_MEMORY not in {OFF, *all_memories()}:
        return "WORKA_MEMORY names none that is installed"
    memory = configured_memory()
    if memory is None:
        return ""
    try:
        if problem := memory.problem():
            return problem
        memory.find(Question(NOBODY, "agent:nobody", "is anybody there", 1))
    except Exception as error:  # noqa: BLE001 - a plug-in may raise anything, and what it says may quote what it was asked
        return f"{settings.WORKA_MEMORY} does not answer ({type(error).__name__}); runs go on without memories"
    waiting = unremembered(now() - LOOKED_BACK).filter(finished_at__lt=now() - LATE)[:COUNTED].count()
    return f"{waiting} {'run that' if waiting == 1 else 'runs that'} succeeded wait to be remembered" if waiting else ""
