"""What every governed row has: an id that sorts by time, a birth date and, with a machine, a state."""

from typing import ClassVar
from uuid import UUID

from django.db import models
from django.utils.timezone import now

from audit.core.ids import uuid7
from audit.core.machine import Machine


class Row(models.Model):
    """A row that is named by a UUIDv7."""

    id: "models.UUIDField[UUID, UUID]" = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    created_at = models.DateTimeField(default=now, editable=False)

    class Meta:
        abstract = True


class Stateful(Row):
    """A row with a machine. Only `audit.transition` writes its state."""

    machine: ClassVar[Machine]

    state = models.CharField(max_length=16)
    state_changed_at = models.DateTimeField(default=now)

    class Meta:
        abstract = True

    @property
    def is_final(self) -> bool:
        return self.machine.is_final(self.state)
