"""What is known about one call while it is being decided."""

from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any

from django.utils.timezone import now as clock

from audit.core.canonical import digest
from governance.actions.work import payload_of
from governance.caller import Caller
from governance.connections import ConnectionFact, NoConnection, connection_for, still_lacking
from governance.gather import Standing
from governance.models import Run, Skill, SkillInvocation, Step


@dataclass
class Case:
    """All that is known about one call while it is being decided; lives for one transaction."""

    caller: Caller
    run: Run
    step: Step
    call_id: str
    skill_name: str
    skill: Skill | None
    input: dict[str, Any]
    taint: frozenset[str]
    standing: Standing
    call: SkillInvocation | None = None
    now: datetime = field(default_factory=clock)
    connection: ConnectionFact | None = field(init=False, default=None)
    unconnected: NoConnection | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        side_effect = self.skill.side_effect if self.skill else ""
        found = connection_for(self.run.workspace_id, self.skill_name, side_effect, self.input)
        if isinstance(found, NoConnection):
            self.unconnected = found
        else:
            self.connection = found

    @property
    def lack(self) -> NoConnection | None:
        """Why the call could not go out now: it has no connection, or one that may not use its secrets."""
        if self.unconnected is not None or self.connection is None:
            return self.unconnected
        need = self.connection.need
        because = still_lacking([need]).get(need)
        return NoConnection(need, because) if because else None

    @cached_property
    def payload(self) -> dict[str, Any]:
        """What people would consent to."""
        skill_digest = self.skill.digest if self.skill else ""
        return payload_of(
            self.run, self.step.pk, self.call_id, self.skill_name, skill_digest, self.input, self.connection
        )

    @cached_property
    def payload_digest(self) -> str:
        """What consent is bound to."""
        return digest(self.payload)

    @property
    def bound(self) -> dict[str, Any]:
        """Return the columns that say what a call is bound to, for one that was reset: its connection may be another now."""
        if self.call is None:
            return {}
        return {"connection": self.connection_id, "payload_digest": self.payload_digest}

    @property
    def connection_id(self) -> str:
        return self.connection.id if self.connection else ""
