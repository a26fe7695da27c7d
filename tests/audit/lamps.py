"""A governed row of the tests' own, with all that the ledger reads off a subject."""

from enum import StrEnum

from django.db import connection, models

from audit.core.ids import uuid7
from audit.core.machine import Machine
from audit.principals import Principal


class LampState(StrEnum):
    DARK = "dark"
    LIT = "lit"
    BROKEN = "broken"


LAMP = Machine(
    "lamp",
    {LampState.DARK: "hang", LampState.LIT: "hang_lit"},
    {
        (LampState.DARK, "light"): LampState.LIT,
        (LampState.LIT, "quench"): LampState.DARK,
        (LampState.DARK, "smash"): LampState.BROKEN,
    },
)


class Lamp(models.Model):
    id = models.UUIDField(primary_key=True, default=uuid7)
    workspace_id = models.UUIDField(null=True)
    run_id = models.UUIDField(null=True)
    state = models.CharField(max_length=16)
    state_changed_at = models.DateTimeField(null=True)
    colour = models.CharField(max_length=16, default="white")
    gift = models.CharField(max_length=16, null=True)

    machine = LAMP

    class Meta:
        app_label = "lamps"

    def __str__(self):
        return f"the {self.colour} lamp"

    @property
    def audit_label(self):
        return f"the {self.colour} lamp"


ADA = Principal("user", "ada", id="7", via="api_key:wk_ab12")
ERNEST = Principal("agent", "ernest", id="3", on_behalf_of="user:ada")


def make_table():
    with connection.schema_editor() as editor:
        editor.create_model(Lamp)


def hang(state=LampState.DARK, **fields):
    return Lamp.objects.create(state=state, **fields)
