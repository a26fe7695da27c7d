"""Addresses for people and integrations. The agents' door is not here: see asgi.py."""

from django.contrib import admin
from django.urls import include, path
from django.views.generic import RedirectView

handler400 = "gateway.api.errors.bad_request"
handler500 = "gateway.api.errors.server_error"

urlpatterns = [
    path("", RedirectView.as_view(pattern_name="admin:index")),
    path("admin/", admin.site.urls),
    path("v1/", include("gateway.api.urls")),
]
