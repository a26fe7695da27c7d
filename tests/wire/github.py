"""GitHub's REST API as it is documented, as far as Worka asks it, and stricter: what is not documented is refused."""

import base64
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from django.test import override_settings

DOCS = "https://docs.github.com/rest"
TOKEN = "canary-7Qd2vX9mTz4Lw8Rk"
REPO = "/repos/acme/orders"


def issue(number: int, **more: Any) -> dict[str, Any]:
    return {
        "id": 1000 + number, "number": number, "title": f"Issue {number}", "state": "open", "user": {"login": "ada"},
        "labels": [{"id": 1, "name": "bug"}], "comments": 2, "created_at": "2026-11-01T08:00:00Z",
        "updated_at": "2026-11-02T08:00:00Z", "closed_at": None, "html_url": f"https://github.com/acme/orders/issues/{number}",
        "body": "It is broken.", **more,
    }  # fmt: skip


def pull(number: int, **more: Any) -> dict[str, Any]:
    return {
        "id": 2000 + number, "number": number, "title": f"Pull {number}", "state": "open", "user": None, "draft": False,
        "head": {"label": "ada:fix"}, "base": {"label": "acme:main"}, "created_at": "2026-11-01T08:00:00Z",
        "updated_at": "2026-11-02T08:00:00Z", "merged_at": None,
        "html_url": f"https://github.com/acme/orders/pull/{number}", "body": None, "merged": False, "commits": 1,
        "changed_files": 130, "additions": 4, "deletions": 2, **more,
    }  # fmt: skip


def file_of(path: str, content: bytes, **more: Any) -> dict[str, Any]:
    # Documented: the base64 of the contents comes in lines.
    return {
        "type": "file", "encoding": "base64", "size": len(content), "name": path.rpartition("/")[2], "path": path,
        "content": base64.encodebytes(content).decode(), "sha": "3d21ec53a331a6f037a91c368710b99387d012c1", **more,
    }  # fmt: skip


class GitHubStub:
    """What the server knows and was asked. `answers` replaces the next answers by (status, headers, body)."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.tokens = {TOKEN}
        self.asked: list[tuple[str, str]] = []
        self.created: list[dict[str, Any]] = []
        self.answers: list[tuple[int, dict[str, str], Any]] = []
        self.echoes = False
        self.issues = [issue(n, **({"pull_request": {}} if n % 2 else {})) for n in range(1, 251)]
        self.files = [
            {"filename": f"src/{n}.py", "status": "modified", "additions": 1, "deletions": 0, "patch": "@@ -1 +1 @@"}
            for n in range(130)
        ]
        self.contents: dict[str, Any] = {
            "README.md": file_of("README.md", b"# Orders\n"),
            "docs/a b.md": file_of("docs/a b.md", "Grüße\n".encode()),
            "logo.png": file_of("logo.png", b"\x89PNG\x00\xff"),
            "huge.bin": {**file_of("huge.bin", b""), "encoding": "none", "size": 5_000_000},
            "docs": [{"type": "file", "path": "docs/a b.md"}],
        }


ROUTES: tuple[tuple[str, str, set[str]], ...] = (
    ("GET", "/issues", {"state", "labels", "sort", "direction", "per_page", "page"}),
    ("GET", r"/issues/(\d+)", set()),
    ("POST", "/issues", {"title", "body", "labels"}),
    ("POST", r"/issues/(\d+)/comments", {"body"}),
    ("GET", "/pulls", {"state", "base", "sort", "direction", "per_page", "page"}),
    ("GET", r"/pulls/(\d+)", set()),
    ("GET", r"/pulls/(\d+)/files", {"per_page", "page"}),
    ("GET", "/contents/(.+)", {"ref"}),
)


class _Handler(BaseHTTPRequestHandler):
    stub: GitHubStub
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._answer(None)

    def do_POST(self) -> None:
        length = int(self.headers["Content-Length"])
        self._answer(self.rfile.read(length))

    def log_message(self, *args: Any) -> None:
        pass

    def _answer(self, body: bytes | None) -> None:
        self.stub.asked.append((self.command, self.path))
        if self.stub.answers:
            return self._say(*self.stub.answers.pop(0))
        if refusal := self._refusal(body):
            return self._say(refusal[0], {}, {"message": refusal[1], "documentation_url": DOCS, **refusal[2]})
        return self._routed(json.loads(body) if body else None)

    def _refusal(self, body: bytes | None) -> tuple[int, str, dict[str, Any]] | None:
        told = self.headers
        if not told.get("User-Agent"):
            return 403, "Request forbidden by administrative rules.", {}
        if told.get("X-GitHub-Api-Version") != "2022-11-28":
            return 400, "Unsupported API version", {}
        if told.get("Accept") != "application/vnd.github+json":
            return 415, "Unsupported 'Accept' header", {}
        scheme, _, token = (told.get("Authorization") or "").partition(" ")
        if scheme != "Bearer" or token not in self.stub.tokens:
            return 401, "Bad credentials", {"status": "401"}
        if body is not None and told.get("Content-Type") != "application/json":
            return 415, "Unsupported media type", {}
        return None

    def _routed(self, body: dict[str, Any] | None) -> None:
        parts = urlsplit(self.path)
        found = [
            (match, route, known)
            for method, route, known in ROUTES
            if method == self.command and (match := re.fullmatch(REPO + route, parts.path))
        ]
        if not found:
            return self._say(404, {}, {"message": "Not Found", "documentation_url": DOCS, "status": "404"})
        match, route, known = found[0]
        query = {name: values[-1] for name, values in parse_qs(parts.query, strict_parsing=bool(parts.query)).items()}
        unknown = set(body if body is not None else query) - known
        if unknown:
            return self._invalid([{"resource": "Request", "field": min(unknown), "code": "unknown_field"}])
        if body is not None:
            return self._created(match, route, body)
        return self._found(match, route, query)

    def _created(self, match: Any, route: str, body: dict[str, Any]) -> None:
        field = "title" if route == "/issues" else "body"
        if not body.get(field, "").strip():
            return self._invalid([{"resource": "Issue", "code": "missing_field", "field": field}])
        self.stub.created.append(body)
        number = len(self.stub.created)
        if route == "/issues":
            return self._say(201, {}, issue(1000 + number, title=body["title"], body=body.get("body")))
        return self._say(201, {}, {"id": number, "html_url": f"https://github.com/acme/orders/issues/{match[1]}#1", "body": body["body"]})  # fmt: skip

    def _found(self, match: Any, route: str, query: dict[str, str]) -> None:
        stub = self.stub
        if route == "/issues":
            return self._paged(stub.issues, query)
        if route == "/pulls":
            return self._paged([pull(n) for n in range(1, 4)], query)
        if route.endswith("/files"):
            return self._paged(stub.files, query)
        if route.startswith("/contents"):
            content = stub.contents.get(unquote(match[1]))
            return self._say(200, {}, content) if content is not None else self._missing()
        number = int(match[1])
        if number > 300:
            return self._missing()
        if route.startswith("/pulls"):
            return self._say(200, {}, pull(number))
        echoed = {"body": f"You sent {self.headers['Authorization']}"} if stub.echoes else {}
        return self._say(200, {}, issue(number, **echoed))

    def _paged(self, items: list[Any], query: dict[str, str]) -> None:
        size, page = int(query.get("per_page", "30")), int(query.get("page", "1"))
        if not 1 <= size <= 100 or query.get("state", "open") not in ("open", "closed", "all"):
            return self._invalid([{"resource": "Search", "field": "per_page", "code": "invalid"}])
        shown = items[(page - 1) * size : page * size]
        more = page * size < len(items)
        link = {"Link": f'<{self.stub.url}/evil?page={page + 1}>; rel="next", <x>; rel="last"'} if more else {}
        return self._say(200, link, shown)

    def _missing(self) -> None:
        token = f" for {self.headers['Authorization']}" if self.stub.echoes else ""
        self._say(404, {}, {"message": f"Not Found{token}", "documentation_url": DOCS, "status": "404"})

    def _invalid(self, errors: list[dict[str, str]]) -> None:
        self._say(422, {}, {"message": "Validation Failed", "errors": errors, "documentation_url": DOCS, "status": "422"})  # fmt: skip

    def _say(self, status: int, headers: dict[str, str], body: Any) -> None:
        if body is ...:  # hang up in the middle
            self.close_connection = True
            self.connection.shutdown(2)
            return
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        for name, value in {"Content-Type": "application/json; charset=utf-8", **headers}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


@contextmanager
def github_stub() -> Iterator[GitHubStub]:
    """Serve the stub on a port of this machine, which is inside the house: the operator has named it."""
    handler = type("Handler", (_Handler,), {})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    handler.stub = GitHubStub(f"http://127.0.0.1:{server.server_address[1]}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        with override_settings(WORKA_INTERNAL_HOSTS=("127.0.0.1",)):
            yield handler.stub
    finally:
        server.shutdown()
        thread.join(5)
        server.server_close()
