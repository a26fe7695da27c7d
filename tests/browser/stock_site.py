"""The console with the stock pages of people and groups, and a desk of samples."""

from typing import Any

from django.contrib.auth.models import Group, User
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.urls import include, path

from tests.browser import sample_site, samples
from worka_site.portal.admin import PersonAdmin, PersonGroupAdmin
from worka_site.portal.site import ConsoleSite


class StockSite(ConsoleSite):
    """Signing in is real; what our own pages show is not."""

    def fill(self, name: str, request: HttpRequest, *args: Any) -> dict[str, Any]:
        return sample_site.FILLED[name]()

    def summary_for(self, request: HttpRequest) -> dict[str, Any]:
        return samples.summary()


def refuse(request: HttpRequest) -> HttpResponse:
    raise PermissionDenied


def break_down(request: HttpRequest) -> HttpResponse:
    raise RuntimeError("as a test")


site = StockSite()
site.register(User, PersonAdmin)
site.register(Group, PersonGroupAdmin)
for _model, _admin in sample_site.site._registry.items():
    if _model not in site._registry:
        site.register(_model, type(_admin))
urlpatterns = [
    path("admin/", site.urls),
    path("v1/", include([path("events/stream", sample_site.stream)])),
    path("403/", refuse),
    path("500/", break_down),
]
