"""Burns in the console: failures, and the button that says that somebody has looked."""

from typing import Any

from django.contrib import admin

from audit.principals import Principal
from audit.screens import Button, DecisionAdmin
from governance.actions.burns import acknowledge_burn
from governance.core.permissions import Verb
from governance.models import Burn
from governance.people import asker_in_session, asker_of
from governance.queries import burns_visible_to


def may_acknowledge(user: Any, burn: Burn) -> bool:
    """Say whether a person may acknowledge a burn: admins and owners, once."""
    asker = asker_of(user, burn.run.workspace)
    return burn.acknowledged_at is None and asker is not None and asker.may(Verb.ACKNOWLEDGE_BURNS)


def acknowledge(burn: Burn, *, by: Principal, because: str) -> None:
    """Say that somebody has looked at a failure."""
    acknowledge_burn(burn.pk, by=by, because=because)


@admin.register(Burn)
class BurnAdmin(DecisionAdmin):
    """A failure worth a look."""

    visible_to = staticmethod(lambda request: burns_visible_to(asker_in_session(request)))
    list_page = "worka/pages/burns.html"
    row_page = "worka/pages/burn.html"
    buttons = (
        Button(
            "acknowledge",
            "Acknowledge",
            acknowledge,
            may_acknowledge,
            icon="check",
            tone="primary",
            consequence="It leaves the list of what is open. Say what you found, for whoever meets it next.",
        ),
    )
