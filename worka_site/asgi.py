"""The web application: files that never change, the agents' door where it is wanted on TCP, and Django for the rest."""

import typing

from django.core.asgi import get_asgi_application
from starlette.middleware.exceptions import ExceptionMiddleware
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from worka_site.env import set_default

set_default("DJANGO_SETTINGS_MODULE", "worka_site.settings")
_django: ASGIApp = typing.cast(ASGIApp, get_asgi_application())

from django.conf import settings  # noqa: E402 - after set-up

STATIC_HEADERS = [(b"x-content-type-options", b"nosniff"), (b"cache-control", b"no-cache")]


class Site:
    """Send each request to what answers it, by its path."""

    def __init__(self) -> None:
        # Django under ASGI would hold each file in memory on a thread of its own; this streams it, and answers 304.
        packages: list[str | tuple[str, str]] = [
            ("django.contrib.admin", "static"),
            ("drf_spectacular_sidecar", "static"),
        ]
        self.files = ExceptionMiddleware(StaticFiles(directory=settings.STATICFILES_DIRS[0], packages=packages))
        self.door: ASGIApp | None = None
        if settings.WORKA_DOOR_ON_TCP:
            from gateway.door.app import app

            self.door = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path: str = scope.get("path", "")
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        elif path.startswith(settings.STATIC_URL) and scope["type"] == "http":
            await self._serve_file(scope, receive, send)
        elif self.door is not None and path.startswith("/agent/"):
            await self.door(scope, receive, send)
        else:
            await _django(scope, receive, send)

    async def _serve_file(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *STATIC_HEADERS]
            await send(message)

        inner = dict(scope, path=scope["path"].removeprefix(settings.STATIC_URL.rstrip("/")), root_path="")
        await self.files(inner, receive, with_headers)

    async def _live(self, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            await send({"type": f"{message['type']}.complete"})
            if message["type"] == "lifespan.shutdown":
                return


application = Site()
