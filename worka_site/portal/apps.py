"""The portal as a Django application."""

from importlib import import_module
from pkgutil import iter_modules

from django.apps import AppConfig


class PortalConfig(AppConfig):
    """The portal's template tags and pages."""

    name = "worka_site.portal"
    label = "portal"
    verbose_name = "Portal"

    def ready(self) -> None:
        """Import every page, so that each has named itself."""
        pages = import_module("worka_site.portal.pages")
        for module in iter_modules(pages.__path__):
            import_module(f"{pages.__name__}.{module.name}")
