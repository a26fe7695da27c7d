"""A web server of the tests' own on loopback, that answers with exact bytes, also with those no decent server sends."""

import socketserver
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any

from governance.core.egress import Egress, Target

Send = Callable[[bytes], None]


def answer(
    body: bytes | str, *headers: str, status: str = "200 OK", media_type: str = "text/html; charset=utf-8"
) -> bytes:
    """Return a whole answer as bytes."""
    content = body.encode() if isinstance(body, str) else body
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(content)}", *headers]
    if media_type:
        lines.append(f"Content-Type: {media_type}")
    return "\r\n".join([*lines, "", ""]).encode() + content


@dataclass
class Site:
    """What the server says by path: bytes, or a function that is given what sends. `asked` has each request's head."""

    port: int = 0
    pages: dict[str, bytes | Callable[[Send], None]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    names: list[str | None] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)

    @property
    def paths(self) -> list[str]:
        return [head.split(" ")[1] for head in self.asked]

    def url(self, path: str = "/", host: str = "127.0.0.1", scheme: str = "http") -> str:
        return f"{scheme}://{host}:{self.port}{path}"

    def egress(self, *hosts: str, private: bool = True, http: bool = True) -> Egress:
        """Both layers allow these hosts at the server's port, by default this machine."""
        targets = tuple(Target(host, http, private, (self.port,)) for host in hosts or ("127.0.0.1",))
        return Egress((("platform", targets), ("workspace", targets)))


@contextmanager
def serving_site(tls: ssl.SSLContext | None = None) -> Iterator[Site]:
    """Serve until the block ends."""
    site = Site()

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            try:
                with (
                    tls.wrap_socket(self.request, server_side=True) if tls else nullcontext(self.request) as connection
                ):
                    self.answer(connection)
            except OSError:
                pass

        def answer(self, connection: Any) -> None:
            head = b""
            while b"\r\n\r\n" not in head:
                if not (read := connection.recv(65536)):
                    return
                head += read
            site.asked.append(head.decode())
            page = site.pages.get(head.split(b" ")[1].decode(), answer("not here", status="404 Not Found"))
            page(connection.sendall) if callable(page) else connection.sendall(page)

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True
        block_on_close = False

    with Server(("127.0.0.1", 0), Handler) as server:
        site.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        yield site
        site.over.set()
        server.shutdown()
        thread.join(5)
