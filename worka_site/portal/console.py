"""The admin with our site instead of the stock one."""

from django.contrib.admin.apps import AdminConfig


class ConsoleConfig(AdminConfig):
    """Stands in `INSTALLED_APPS` where `django.contrib.admin` would."""

    default = False
    default_site = "worka_site.portal.site.ConsoleSite"
