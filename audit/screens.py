"""What every admin screen is made of: rows that cannot be edited, and buttons that ask why."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.db.models import Model, QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.http import require_POST

from audit.core.refusals import Refused
from audit.ledger import subject_of
from audit.models import AuditEvent
from audit.principals import person

if TYPE_CHECKING:
    _ModelAdmin = admin.ModelAdmin[Any]
else:
    _ModelAdmin = admin.ModelAdmin  # generic for the type checker only

ENTRIES = 50  # how many of a row's ledger entries its page shows


@dataclass(frozen=True, slots=True)
class Button:
    """One deed that a person can do to a row.

    `event` names the deed and, where the row's machine has it, the event. `action(subject, by=, because=, **fields)`
    does it, and may return the sentence that says how it went; `may(user, subject)` says whether this person may. `fields` are further inputs of the form that the action
    takes. `consequence` says what happens; `tone`: empty, `primary`, `danger`, `yes` or `no`.
    """

    event: str
    label: str
    action: Callable[..., object]
    may: Callable[[Any, Any], bool]
    icon: str = ""
    tone: str = ""
    consequence: str = ""
    fields: tuple[str, ...] = ()

    def is_possible(self, subject: Any) -> bool:
        """Say whether the row's machine has the event from its state; a deed that is no event is always possible."""
        machine = getattr(subject, "machine", None)
        if machine is None or self.event not in machine.events:
            return True
        return self.event in machine.events_from(subject.state)


@dataclass(frozen=True, slots=True)
class Pressable:
    """A button as a page draws it: where it posts to."""

    button: Button
    href: str


def refusal_sentence(refusal: Refused) -> str:
    """Say a refusal to a person: what happened, then the way out."""
    sentence = str(refusal).rstrip(".") + "."
    return f"{sentence} {refusal.recovery}".strip()


class ReadOnlyAdmin(_ModelAdmin):
    """Rows that nobody edits. `visible_to` says which ones who asks may see; the others are 404.

    `list_page` and `row_page` are templates; the admin site fills them (`<app>.<model>.list` and `.row`).
    """

    visible_to: Callable[[HttpRequest], QuerySet[Any]]  # a static method: it asks the query on behalf of who asks
    list_page = ""
    row_page = ""

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.admin_site.has_permission(request)

    def has_module_permission(self, request: HttpRequest) -> bool:
        return self.admin_site.has_permission(request)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return type(self).visible_to(request)

    def row(self, request: HttpRequest, pk: str) -> Any:
        """Return the row of this key if the person may see it; else 404."""
        try:
            return self.get_queryset(request).get(pk=pk)
        except (self.model.DoesNotExist, ValidationError, ValueError):
            raise Http404(f"there is no such {self.opts.verbose_name}") from None

    def get_urls(self) -> list[URLPattern]:
        """Offer the list and the row; there is nothing to add, change or delete."""
        wrap = self.admin_site.admin_view
        name = f"{self.opts.app_label}_{self.opts.model_name}"
        urls = []
        if self.list_page:
            urls.append(path("", wrap(self.changelist_view), name=f"{name}_changelist"))
        if self.row_page:
            urls.append(path("<str:object_id>/change/", wrap(self.change_view), name=f"{name}_change"))
        return urls

    def changelist_view(self, request: HttpRequest, extra_context: Mapping[str, Any] | None = None) -> HttpResponse:
        """Show the list, filled by the site."""
        context = {**self._context(request, "list"), **(extra_context or {})}
        return TemplateResponse(request, self.list_page, context)

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Mapping[str, Any] | None = None
    ) -> HttpResponse:
        """Show the row, filled by the site, with the ledger's entries about it."""
        subject = self.row(request, object_id)
        context = {"ledger": self.entries(subject), **self._context(request, "row", subject), **(extra_context or {})}
        return TemplateResponse(request, self.row_page, context)

    def entries(self, subject: Model) -> QuerySet[AuditEvent]:
        """Return the ledger's entries about a row, newest first."""
        return AuditEvent.objects.filter(subject=subject_of(subject)).newest_first()[:ENTRIES]

    def _context(self, request: HttpRequest, kind: str, *args: Any) -> dict[str, Any]:
        filled = self.admin_site.fill(f"{self.opts.label_lower}.{kind}", request, *args)  # type: ignore[attr-defined]
        return {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": str(self.opts.verbose_name_plural),
            **filled,
        }


class DecisionAdmin(ReadOnlyAdmin):
    """Rows about which people decide: each button posts a reason and calls one action."""

    buttons: tuple[Button, ...] = ()

    def get_urls(self) -> list[URLPattern]:
        """Add the address that the buttons post to."""
        press = self.admin_site.admin_view(require_POST(self.press))
        name = f"{self.opts.app_label}_{self.opts.model_name}_press"
        return [path("<str:pk>/press/<slug:event>/", press, name=name), *super().get_urls()]

    def buttons_for(self, user: Any, subject: Any) -> list[Pressable]:
        """Return what this person may do to this row now: the machine has the event, and the person may."""
        name = f"{self.admin_site.name}:{self.opts.app_label}_{self.opts.model_name}_press"
        return [
            Pressable(button, reverse(name, args=[subject.pk, button.event]))
            for button in self.buttons
            if button.is_possible(subject) and button.may(user, subject)
        ]

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Mapping[str, Any] | None = None
    ) -> HttpResponse:
        """Show the row with its buttons."""
        subject = self.row(request, object_id)
        context = {"buttons": self.buttons_for(request.user, subject), **(extra_context or {})}
        return super().change_view(request, object_id, form_url, context)

    def press(self, request: HttpRequest, pk: str, event: str) -> HttpResponse:
        """Do a deed: find the row, ask whether the person may, call the action, say how it went."""
        subject = self.row(request, pk)
        button = next((button for button in self.buttons if button.event == event), None)
        if button is None:
            raise Http404(f"there is no such deed: {event}")
        if not button.may(request.user, subject):
            raise PermissionDenied
        because = request.POST.get("because", "").strip()
        if not because:
            messages.error(request, f"{button.label}: say why. The reason is written to the ledger.")
            return self._back(request, subject)
        given = {name: request.POST.get(name, "") for name in button.fields}
        try:
            said = button.action(subject, by=person(request.user), because=because, **given)
        except Refused as refusal:
            messages.error(request, refusal_sentence(refusal))
        else:
            messages.success(
                request, said if isinstance(said, str) else f"{button.label}: done, and written to the ledger."
            )
        return self._back(request, subject)

    def _back(self, request: HttpRequest, subject: Any) -> HttpResponse:
        wanted = request.POST.get("next", "")
        if wanted.startswith("/") and url_has_allowed_host_and_scheme(
            wanted, {request.get_host()}, request.is_secure()
        ):
            return redirect(wanted)
        name = f"{self.admin_site.name}:{self.opts.app_label}_{self.opts.model_name}"
        return redirect(
            reverse(f"{name}_change", args=[subject.pk]) if self.row_page else reverse(f"{name}_changelist")
        )
