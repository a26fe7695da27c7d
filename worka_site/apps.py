"""The site's own commands and checks."""

from django.apps import AppConfig


class SiteConfig(AppConfig):
    """The site: its checks run at start."""

    name = "worka_site"
    verbose_name = "Site"

    def ready(self) -> None:
        from audit import keys, restore
        from governance.actions.restoring import freeze_everything, thaw_what_the_restore_froze
        from governance.payloads import rewrap_data_keys
        from worka_site import checks, outward_checks  # noqa: F401 - registers them

        restore.register("workspaces", freeze=freeze_everything, thaw=thaw_what_the_restore_froze)
        keys.register_rewrap("data keys", rewrap_data_keys)
