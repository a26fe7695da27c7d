"""The agent's door as the contract says it, strict about every field, on a Unix socket of the tests' own."""

import hashlib
import json
import re
import socket
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

TOKEN = "header.payload.signature"

BODIES: dict[str, tuple[set[str], set[str]]] = {
    # path: (required, allowed)
    "plan": ({"summary", "steps"}, {"summary", "steps", "playbook"}),
    "call": ({"call"}, {"call"}),
    "skill": ({"call_id", "skill", "input"}, {"call_id", "skill", "input"}),
    "checkpoint": ({"seq", "state"}, {"seq", "state"}),
    "events": ({"lines"}, {"lines"}),
    "heartbeat": (set(), set()),
    "result": ({"status", "summary", "output", "artifacts"}, {"status", "summary", "output", "artifacts", "waits_for"}),
}
STEP_FIELDS = {"step_ref", "agent_name", "objective", "instruction", "allowed_skills", "depends_on"}

Scripted = tuple[int, dict[str, Any]] | tuple[int, dict[str, Any], dict[str, str]]


def problem(status: int, code: str, detail: str = "", **more: Any) -> tuple[int, dict[str, Any]]:
    return status, {
        "type": "about:blank", "title": code, "status": status, "detail": detail or code, "code": code,
        "correlation_id": "c-1", **more,
    }  # fmt: skip


@dataclass
class DoorDouble:
    """A door whose answers a test writes down beforehand, and which keeps all that was said to it."""

    socket_path: Path
    context: dict[str, Any] = field(default_factory=dict)
    calls: dict[str, list[Scripted]] = field(default_factory=lambda: defaultdict(list))
    """What POST /skills answers for a call, in order; the last answer is kept."""
    polls: dict[str, list[Scripted]] = field(default_factory=lambda: defaultdict(list))
    plan_answers: list[Scripted] = field(default_factory=list)
    before: Callable[[str, str], Scripted | None] = lambda method, path: None
    heartbeat: Scripted = (200, {})

    requests: list[tuple[str, str]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    plans: list[dict[str, Any]] = field(default_factory=list)
    asked: list[dict[str, Any]] = field(default_factory=list)
    checkpoints: list[dict[str, Any]] = field(default_factory=list)
    artifacts: dict[str, dict[str, Any]] = field(default_factory=dict)
    contents: dict[str, bytes] = field(default_factory=dict)
    lines: list[str] = field(default_factory=list)
    results: list[dict[str, Any]] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)
    is_over: bool = False

    @property
    def url(self) -> str:
        return f"http+unix://{self.socket_path}"

    # The contract

    async def answer(self, request: Request) -> Response:
        path, method = request.path_params["path"], request.method
        self.requests.append((method, path))
        self.headers.append(dict(request.headers))
        body = await request.body()
        forced = self.before(method, path)
        if forced is not None:
            return _response(forced)
        if request.headers.get("authorization") != f"Bearer {TOKEN}":
            return _response(problem(401, "unauthorized"))
        repeats_result = path == "result" and self.results and body and json.loads(body) == self.results[-1]
        if self.is_over and not repeats_result:
            return _response(problem(401, "job_over", "this job is over"))
        try:
            return await self._route(method, path, body, request)
        except Violation as error:
            self.violations.append(f"{method} {path}: {error}")
            return _response(problem(422, "invalid", str(error)))

    async def _route(self, method: str, path: str, body: bytes, request: Request) -> Response:
        match method, path.split("/"):
            case "GET", ["context"]:
                return _response((200, self.context))
            case "POST", ["plan"]:
                return self._plan(_parsed(body, request))
            case "POST", ["skills"]:
                return self._skill(_parsed(body, request))
            case "GET", ["skills", call_id]:
                _demand(set(request.query_params) <= {"wait"}, "only `wait` may be asked")
                return _response(_next(self.polls, call_id))
            case "PUT", ["checkpoint"]:
                stored = _fields(_parsed(body, request), "checkpoint")
                _demand(isinstance(stored["seq"], int), "seq is a number")
                _demand(all(stored["seq"] > old["seq"] for old in self.checkpoints), "seq must grow")
                self.checkpoints.append(stored)
                return _response((200, {}))
            case "POST", ["artifacts"]:
                return await self._artifact(request)
            case "GET", ["artifacts", artifact_id]:
                if artifact_id not in self.contents:
                    return _response(problem(404, "not_found"))
                return Response(self.contents[artifact_id], media_type="application/octet-stream")
            case "POST", ["events"]:
                lines = _fields(_parsed(body, request), "events")["lines"]
                _demand(isinstance(lines, list) and all(isinstance(line, str) for line in lines), "lines are texts")
                self.lines.extend(lines)
                return _response((202, {}))
            case "POST", ["heartbeat"]:
                _fields(_parsed(body, request), "heartbeat")
                return _response(self.heartbeat)
            case "POST", ["result"]:
                return self._result(_parsed(body, request))
        raise Violation("there is no such call")

    def _plan(self, plan: dict[str, Any]) -> Response:
        if "no_plan" in plan:
            _demand(
                set(plan) == {"no_plan"} and isinstance(plan["no_plan"], str) and plan["no_plan"], "no_plan is a reason"
            )
            self.plans.append(plan)
            self.is_over = True
            return _response((200, {"state": "no_plan"}))
        _fields(plan, "plan")
        for step in plan["steps"]:
            _demand(set(step) == STEP_FIELDS, f"a step has the fields {sorted(STEP_FIELDS)}, not {sorted(step)}")
        if "playbook" in plan:
            _demand(set(plan["playbook"]) == {"name", "digest", "parameters"}, "playbook: name, digest and parameters")
            _demand(re.fullmatch("[0-9a-f]{64}", plan["playbook"]["digest"]), "a playbook is named with its SHA-256")
        self.plans.append(plan)
        answer = self.plan_answers.pop(0) if self.plan_answers else (201, {"state": "accepted"})
        self.is_over = answer[0] == 201
        return _response(answer)

    def _skill(self, body: dict[str, Any]) -> Response:
        _fields(body, "call" if "call" in body else "skill")
        self.asked.append(body)
        return _response(_next(self.calls, body.get("call") or body["call_id"]))

    async def _artifact(self, request: Request) -> Response:
        async with request.form() as form:
            return await self._stored(form)

    async def _stored(self, form: FormData) -> Response:
        _demand(
            set(form) == {"file", "sha256", "media_type"}, f"parts are file, sha256 and media_type, not {sorted(form)}"
        )
        upload = form["file"]
        assert not isinstance(upload, str)
        content = await upload.read()
        _demand(form["sha256"] == hashlib.sha256(content).hexdigest(), "the digest is not that of the content")
        stored = {
            "id": f"artifact-{len(self.artifacts) + 1}", "name": upload.filename, "sha256": form["sha256"],
            "media_type": form["media_type"], "size": len(content),
        }  # fmt: skip
        self.artifacts[stored["id"]] = stored
        self.contents[stored["id"]] = content
        return _response((201, stored))

    def _result(self, body: dict[str, Any]) -> Response:
        _fields(body, "result")
        _demand(body["status"] in {"succeeded", "failed", "suspended"}, "status")
        _demand((body["status"] == "suspended") == ("waits_for" in body), "waits_for belongs to suspended, always")
        _demand(all(ref in self.artifacts for ref in body["artifacts"]), "an artifact that was never stored")
        if not self.results or self.results[-1] != body:
            self.results.append(body)
        self.is_over = True
        return _response((200, {"accepted": True}))


class DoorServer:
    """Serves a double on its socket. One server can serve many doubles, one after the other: starting takes time."""

    def __init__(self, socket_path: Path) -> None:
        self.double = DoorDouble(socket_path)
        self._server: uvicorn.Server | None = None
        self._thread: threading.Thread | None = None

    def open(self) -> None:
        path = self.double.socket_path
        path.unlink(missing_ok=True)
        listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listening.bind(str(path))
        listening.listen(64)

        async def answer(request: Request) -> Response:
            return await self.double.answer(request)

        methods = ["GET", "POST", "PUT", "DELETE", "PATCH"]
        app = Starlette(routes=[Route("/agent/v1/{path:path}", answer, methods=methods)])
        config = uvicorn.Config(app, log_config=None, lifespan="off", timeout_graceful_shutdown=1)
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [listening]}, daemon=True)
        self._thread.start()
        deadline = time.monotonic() + 10
        while not self._server.started:
            assert time.monotonic() < deadline, "the door does not open"
            time.sleep(0.005)

    def close(self) -> None:
        if self._server is not None and self._thread is not None:
            self._server.should_exit = True
            self._thread.join(10)
            assert not self._thread.is_alive()
        self._server = self._thread = None
        self.double.socket_path.unlink(missing_ok=True)


class Violation(Exception):
    """The agent said something that the contract does not know."""


def _demand(condition: Any, message: str) -> None:
    if not condition:
        raise Violation(message)


def _parsed(body: bytes, request: Request) -> dict[str, Any]:
    _demand(request.headers.get("content-type") == "application/json", "a body is JSON, and says so")
    parsed = json.loads(body)
    _demand(isinstance(parsed, dict), "a body is an object")
    return dict(parsed)


def _fields(body: dict[str, Any], kind: str) -> dict[str, Any]:
    required, allowed = BODIES[kind]
    _demand(required <= set(body) <= allowed, f"{kind} has the fields {sorted(body)}")
    return body


def _next(scripts: dict[str, list[Scripted]], call_id: str) -> Scripted:
    script = scripts.get(call_id)
    if not script:
        return problem(404, "not_found", f"the plan has no call {call_id}")
    return script.pop(0) if len(script) > 1 else script[0]


def _response(scripted: Scripted) -> Response:
    status, body, *more = scripted
    kind = "application/problem+json" if status >= 400 else "application/json"
    return JSONResponse(body, status, headers=more[0] if more else None, media_type=kind)
