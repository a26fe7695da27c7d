"""Every address of the API, read from its own list of addresses."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from gateway.api.site import Nowhere
from gateway.api.urls import urlpatterns
from gateway.keys import Scope
from tests.desk import POLICY


@dataclass(frozen=True)
class Route:
    """One method of one address; `scope` is None where it is public."""

    method: str
    path: str
    scope: Scope | None
    view: Any

    def __str__(self) -> str:
        return f"{self.method} {self.path}"

    @property
    def has_id(self) -> bool:
        return "{" in self.path


def views() -> Iterator[tuple[str, Any]]:
    """Yield every address below /v1 with its view, but the one for everything else."""
    for pattern in urlpatterns:
        view = (
            getattr(pattern.callback, "view_class", None) or getattr(pattern.callback, "cls", None) or pattern.callback
        )
        if view is not Nowhere:
            yield "/v1/" + re.sub(r"<\w+:(\w+)>", r"{\1}", str(pattern.pattern)), view


def routes() -> Iterator[Route]:
    for path, view in views():
        if hasattr(view, "scope"):
            yield Route("GET", path, view.scope, view)
        elif getattr(view, "is_public", False):
            yield Route("GET", path, None, view)
        else:
            for method, scope in view.scopes.items():
                yield Route(method, path, scope, view)


ROUTES = list(routes())
GUARDED = [route for route in ROUTES if route.scope is not None]
BODIES = {
    "/v1/runs": {"request": "Please"},
    "/v1/runs/{run}/cancel": {"because": "enough"},
    "/v1/approvals/{gate}/vote": {"verdict": "approve", "because": "fine", "payload_digest": "0" * 64},
    "/v1/invocations/{call}/settle": {"outcome": "failed", "because": "looked"},
    "/v1/memories/forget": {"namespace": "agent:nobody", "because": "a test"},
    "/v1/policies/check": {"source": POLICY},
}
