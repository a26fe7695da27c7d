"""The console without a data base: the real site, templates and admin classes, filled with samples."""

from collections.abc import Callable
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.urls import path

from audit.models import AuditEvent
from audit.screens import DecisionAdmin
from gateway.models import LlmCall
from governance.models import Agent, Artifact, Burn, Gate, PolicyManifest, Run, SkillInvocation
from runtime.models import AgentJob
from tests.browser import model_samples, rows, samples
from worka_site.portal.site import ConsoleSite

# model: (its sample row, template of the list, template of the row)
ROWS: dict[Any, tuple[Any, str, str]] = {
    Run: (rows.RUN, "runs", "run"),
    Gate: (rows.HELD, "approvals", "approval"),
    SkillInvocation: (rows.LOST, "calls", "call"),
    AgentJob: (rows.JOBS[1], "jobs", "job"),
    LlmCall: (model_samples.LOST, "models", "model_call"),
    Burn: (rows.BURN, "burns", "burn"),
    PolicyManifest: (rows.MANIFEST, "policies", "policy"),
    Agent: (rows.AGENTS[0], "agents", ""),
    Artifact: (rows.ARTIFACT, "", "artifact"),
    AuditEvent: (rows.EVENTS[0], "ledger", "entry"),
}
PAGES = ("new_request", "freeze", "health", "policy_check", "ledger_verify")


class SampleSite(ConsoleSite):
    """The console, filled with samples; everybody is the operator."""

    def has_permission(self, request: HttpRequest) -> bool:
        return True

    def fill(self, name: str, request: HttpRequest, *args: Any) -> dict[str, Any]:
        # A page with tabs has a sample for some of them: `?sample=`.
        sample = request.GET.get("sample", "")
        return {"now": rows.NOW, **(_sample(sample) if sample else FILLED[name])()}

    def summary_for(self, request: HttpRequest) -> dict[str, Any]:
        return samples.summary()


class SampleAdmin(DecisionAdmin):
    """Rows that are not stored."""

    def buttons_for(self, user: Any, subject: Any) -> list[Any]:
        return list(FILLED[f"{self.opts.label_lower}.row"]().get("buttons", []))

    def row(self, request: HttpRequest, pk: str) -> Any:
        return ROWS[self.model][0]

    def entries(self, subject: Any) -> Any:
        return []


def _sample(name: str) -> Any:
    return getattr(samples if hasattr(samples, name) else model_samples, name)


FILLED: dict[str, Callable[[], dict[str, Any]]] = {
    "desk": samples.desk,
    **{name: getattr(samples, name) for name in PAGES},
}
site = SampleSite()
for _model, (_row, _list, _one) in ROWS.items():
    if _list:
        FILLED[f"{_model._meta.label_lower}.list"] = _sample(_list)
    if _one:
        FILLED[f"{_model._meta.label_lower}.row"] = _sample(_one)
    _pages = {
        "list_page": f"worka/pages/{_list}.html" if _list else "",
        "row_page": f"worka/pages/{_one}.html" if _one else "",
    }
    site.register(_model, type(f"{_model.__name__}Sample", (SampleAdmin,), _pages))


def signed_in(get_response: Callable[[HttpRequest], HttpResponse]) -> Callable[[HttpRequest], HttpResponse]:
    """Middleware: nobody signs in, everybody is the operator."""

    def answer(request: HttpRequest) -> HttpResponse:
        request.user = rows.ME
        return get_response(request)

    return answer


def stream(request: HttpRequest) -> HttpResponse:
    """An event stream that says that something happened, and ends."""
    return HttpResponse('id: 1\nretry: 600000\ndata: {"type": "gate.vote"}\n\n', content_type="text/event-stream")


urlpatterns = [path("admin/", site.urls), path("v1/events/stream", stream)]
