"""A state machine is a table. This module only looks things up in it."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from audit.core.codes import Code
from audit.core.refusals import Refused


class TransitionRefused(Refused):
    """The event leads nowhere from the state the subject is in."""

    code = Code.TRANSITION_REFUSED


@dataclass(frozen=True)
class Machine:
    """`births` maps each state a row may be born in to the event its birth is recorded as."""

    subject: str
    births: Mapping[StrEnum, str]
    table: Mapping[tuple[StrEnum, str], StrEnum]

    @property
    def initial(self) -> StrEnum:
        return next(iter(self.births))

    @property
    def states(self) -> tuple[StrEnum, ...]:
        return tuple(type(self.initial))

    @property
    def events(self) -> tuple[str, ...]:
        return tuple(sorted({event for _, event in self.table}))

    def after(self, state: str, event: str) -> StrEnum:
        """Return the state that `event` leads to, or refuse with `transition_refused`."""
        try:
            return self.table[state, event]  # type: ignore[index]  # a StrEnum equals its value
        except KeyError:
            raise TransitionRefused(f"a {self.subject} that is {state} cannot {event.replace('_', ' ')}") from None

    def birth(self, state: str) -> str:
        """Return the event that a birth in `state` is recorded as, or refuse with `transition_refused`."""
        try:
            return self.births[state]  # type: ignore[index]
        except KeyError:
            raise TransitionRefused(f"a {self.subject} cannot be born {state}") from None

    def events_from(self, state: str) -> list[str]:
        return [event for source, event in self.table if source == state]

    def is_final(self, state: str) -> bool:
        return not self.events_from(state)

    @property
    def final_states(self) -> frozenset[StrEnum]:
        return frozenset(state for state in self.states if self.is_final(state))

    def diagram(self) -> str:
        """Draw the table as Mermaid, for the docs and the admin's help panel."""
        lines = ["stateDiagram-v2"]
        lines += [f"    [*] --> {state}: {event}" for state, event in self.births.items()]
        lines += [f"    {before} --> {after}: {event}" for (before, event), after in self.table.items()]
        lines += [f"    {state} --> [*]" for state in self.states if self.is_final(state)]
        return "\n".join(lines)
