"""The ledger in the console."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import URLPattern, path
from django.views.decorators.http import require_GET

from audit.models import AuditEvent
from audit.screens import ReadOnlyAdmin


@admin.register(AuditEvent)
class AuditEventAdmin(ReadOnlyAdmin):
    """One entry of the ledger, with its proof. Who may see which is known above: the site is asked."""

    list_page = "worka/pages/ledger.html"
    row_page = "worka/pages/entry.html"

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        found: QuerySet[Any] = self._asked(request, "visible")["entries"]
        return found

    def get_urls(self) -> list[URLPattern]:
        """Add the address of an entry's proof."""
        proof = self.admin_site.admin_view(require_GET(self.proof_view))
        return [path("<str:pk>/proof.json", proof, name="audit_auditevent_proof"), *super().get_urls()]

    def proof_view(self, request: HttpRequest, pk: str) -> HttpResponse:
        """Hand out the proof of an entry as a file that `verify_ledger --proof` checks anywhere."""
        event = self.row(request, pk)
        response = JsonResponse(self._asked(request, "proof", event)["proof"], json_dumps_params={"indent": 2})
        response["Content-Disposition"] = f'attachment; filename="worka-entry-{event.position}.json"'
        return response

    def _asked(self, request: HttpRequest, what: str, *args: Any) -> dict[str, Any]:
        filled: dict[str, Any] = self.admin_site.fill(f"audit.auditevent.{what}", request, *args)  # type: ignore[attr-defined]
        return filled
