"""Gateway: every door of Worka, and the tools that agents ask for."""

from django.apps import AppConfig


class GatewayConfig(AppConfig):
    name = "gateway"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from audit.keys import register_rewrap
        from gateway.connector import out_of_bounds
        from gateway.signing_in import listen
        from gateway.treasury.resolving import lacking, resolve
        from gateway.treasury.sealing import rewrap_secrets
        from governance.connections import register

        listen()
        register(resolve, out_of_bounds, lacking)
        register_rewrap("secrets", rewrap_secrets)
