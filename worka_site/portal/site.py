"""The admin site that people live in."""

from collections.abc import Callable, Mapping
from functools import wraps
from http import HTTPStatus
from typing import Any

from django.contrib import messages
from django.contrib.admin import AdminSite
from django.core.exceptions import BadRequest, PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, URLResolver, path
from django.utils.functional import SimpleLazyObject
from django.views.decorators.http import require_http_methods, require_POST

from audit.core.codes import Code
from audit.core.refusals import Refused
from audit.principals import person
from audit.screens import refusal_sentence
from governance.people import choose_workspace
from worka_site.portal import registry
from worka_site.portal.accounts import password_written_down
from worka_site.portal.navigation import navigation
from worka_site.portal.signing_in import SignInForm


class ConsoleSite(AdminSite):
    """The stock admin site with a desk, our navigation, and pages that belong to no single row."""

    site_title = "Worka"
    site_header = "Worka"
    index_title = "Desk"
    site_url = None
    enable_nav_sidebar = False
    index_template = "admin/index.html"
    login_form = SignInForm

    # Pages of their own: URL name, address, template.
    PAGES = (
        ("new_request", "new/", "worka/pages/new_request.html"),
        ("connection_new", "connections/new/", "worka/pages/connection_new.html"),
        ("secret_new", "secrets/new/", "worka/pages/secret_new.html"),
        ("freeze", "freeze/", "worka/pages/freeze.html"),
        ("health", "health/", "worka/pages/health.html"),
        ("policy_check", "policy/check/", "worka/pages/policy_check.html"),
        ("mcp_add", "mcp/add/", "worka/pages/mcp_add.html"),
        ("ledger_verify", "ledger/verify/", "worka/pages/ledger_verify.html"),
    )

    def get_urls(self) -> list[URLPattern | URLResolver]:
        """Add our pages before the stock ones."""
        own = [
            path(address, self.admin_view(self._page(name, template)), name=name)
            for name, address, template in self.PAGES
        ]
        choose = path("workspace/", self.admin_view(require_POST(self.choose_workspace)), name="workspace")
        return [*own, choose, *super().get_urls()]

    def admin_view(self, view: Callable[..., Any], cacheable: bool = False) -> Any:
        """Answer a refused reading as the page that browsers know: what one may not see is not there."""
        guarded = super().admin_view(view, cacheable)

        @wraps(guarded)
        def answer(request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
            try:
                return guarded(request, *args, **kwargs)
            except Refused as refusal:
                status = Code(refusal.code).status
                if status == HTTPStatus.NOT_FOUND:
                    raise Http404(str(refusal)) from None
                if status == HTTPStatus.FORBIDDEN:
                    raise PermissionDenied(refusal_sentence(refusal)) from None
                if status == HTTPStatus.BAD_REQUEST:
                    raise BadRequest(refusal_sentence(refusal)) from None
                raise

        return answer

    def choose_workspace(self, request: HttpRequest) -> HttpResponse:
        """Let the session go on in another workspace, at its desk."""
        asker = choose_workspace(request, request.POST.get("workspace", ""))
        messages.success(request, f"You are in the workspace {asker.workspace.name}.")
        return redirect("admin:index")

    def each_context(self, request: HttpRequest) -> dict[str, Any]:
        """Add `frame` to what every page shows: `groups` of links, `waiting` (for this person), `workspace`, `role`."""
        return {**super().each_context(request), "frame": SimpleLazyObject(lambda: self._frame(request))}

    def index(self, request: HttpRequest, extra_context: Mapping[str, Any] | None = None) -> TemplateResponse:
        """Show the desk."""
        request.current_app = self.name  # as AdminSite.index does
        context = {**self.each_context(request), "title": "Desk", **self.fill("desk", request), **(extra_context or {})}
        return TemplateResponse(request, self.index_template or "admin/index.html", context)

    def password_change(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        """Let people change their own password, and write down that they did."""
        with password_written_down("user.password_change", request, request.user):
            return super().password_change(request, extra_context)

    def fill(self, name: str, request: HttpRequest, *args: Any) -> dict[str, Any]:
        """Return what a page shows, from the portal's pages."""
        return registry.fill(name, request, *args)

    def summary_for(self, request: HttpRequest) -> dict[str, Any]:
        """Return what the frame shows for a signed-in person: `counts` by URL name, `workspace`, `role`, `workspaces`
        to choose from, and `closed`, the URL names of places that are not for them.
        """
        user = getattr(request, "user", None)
        if user is None or not user.is_authenticated or not self.has_permission(request):
            return {}
        return registry.fill("summary", request) if registry.is_filled("summary") else {}

    def _frame(self, request: HttpRequest) -> dict[str, Any]:
        summary = self.summary_for(request)
        counts: Mapping[str, int] = summary.get("counts", {})
        here = request.resolver_match.url_name if request.resolver_match else ""
        return {
            "groups": navigation(
                here or "",
                counts,
                with_people=request.user.is_superuser,
                closed=summary.get("closed", frozenset()),
            ),
            "waiting": counts.get("governance_gate_changelist", 0),
            "workspace": summary.get("workspace", ""),
            "workspaces": summary.get("workspaces", []),
            "role": summary.get("role", ""),
        }

    def _page(self, name: str, template: str) -> Any:
        """Make the view of a page: GET fills it, POST does its deed (`<name>.do`) and goes where that says."""

        @require_http_methods(["GET", "HEAD", "POST"])
        def view(request: HttpRequest) -> HttpResponse:
            said: dict[str, Any] = {}
            if request.method == "POST":
                try:
                    said = self.fill(f"{name}.do", request, person(request.user))
                except Refused as refusal:
                    messages.error(request, refusal_sentence(refusal))
                    said = {"faults": refusal.faults, "refused": refusal}
                if "redirect" in said:
                    return redirect(said["redirect"])
            context = {**self.each_context(request), **self.fill(name, request), **said}
            return TemplateResponse(request, template, context, status=409 if "refused" in said else 200)

        return view
