"""Failures grouped: the same kind and reason once, with how often and where last."""

from types import SimpleNamespace
from typing import Any

from governance.models import Burn
from governance.people import Asker
from governance.queries import burns_visible_to
from worka_site.portal.links import to, to_run

LOOKED_AT = 300  # of the newest; more than anybody groups by hand


def burn_groups(asker: Asker) -> list[Any]:
    """Return the burns that nobody has acknowledged, by kind and reason, those that happen most first."""
    groups: dict[tuple[str, str], list[Burn]] = {}
    for burn in burns_visible_to(asker).filter(acknowledged_at=None)[:LOOKED_AT]:
        groups.setdefault((burn.kind, burn.reason), []).append(burn)
    drawn = [
        SimpleNamespace(
            kind=kind, reason=reason, count=len(burns), last_at=burns[0].created_at, run_number=burns[0].run.number,
            run_href=to_run(burns[0].run_id), href=to("governance_burn_change", burns[0].pk),
        )
        for (kind, reason), burns in groups.items()
    ]  # fmt: skip
    return sorted(drawn, key=lambda group: (-group.count, -group.last_at.timestamp()))
