"""A console with one kind of row, about which people decide; it is filled with what the row itself says."""

from typing import Any

from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import path

from audit.screens import Button, DecisionAdmin
from audit.transition import transition
from governance.models import Run
from worka_site.portal.site import ConsoleSite


def cancel(run: Run, *, by: Any, because: str, note: str = "") -> None:
    transition(run, "cancel", by=by, because=because, details={"note": note})


def fail(run: Run, *, by: Any, because: str) -> None:
    transition(run, "fail", by=by, because=because)


def is_operator(user: Any, run: Run) -> bool:
    return user.username == "operator"


class RunDecisions(DecisionAdmin):
    list_page = "worka/pages/runs.html"
    row_page = "worka/page.html"
    buttons = (
        Button("cancel", "Cancel", cancel, is_operator, fields=("note",)),
        Button("fail", "Fail", fail, lambda user, run: False),
        Button("praise", "Praise", fail, is_operator),
    )

    @staticmethod
    def visible_to(request: HttpRequest) -> QuerySet[Run]:
        return Run.objects.exclude(requester_name="user:hidden")


class DecisionSite(ConsoleSite):
    def fill(self, name: str, request: HttpRequest, *args: Any) -> dict[str, Any]:
        return {"filled": (name, *args)}

    def summary_for(self, request: HttpRequest) -> dict[str, Any]:
        return {}


site = DecisionSite()
site.register(Run, RunDecisions)
urlpatterns = [path("admin/", site.urls)]
