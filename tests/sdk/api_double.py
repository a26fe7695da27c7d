"""The REST API as its contract says it, strict about every field, as an application that httpx2 speaks to in this process."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

import httpx2

from tests.sdk.door_double import problem

KEY = "wk_test_0123456789"
RUN_ID = "01a1f854-c40e-72fb-af17-1aa3d0591bcf"
GATE_ID = "01a1f854-c932-7af9-bdc2-f84b6b2a4030"
DIGEST = "c4a7cc4052b462992442a716b4fa99ab66427c982ca06925939b8037f5b2ca94"

BODIES = {
    "/v1/runs": (set(), {"request", "workflow", "input", "deliver_to", "metadata"}),
    "cancel": ({"because"}, {"because"}),
    "vote": ({"verdict", "because", "payload_digest"}, {"verdict", "because", "payload_digest"}),
    "check": ({"source"}, {"source"}),
    "settle": ({"outcome", "because"}, {"outcome", "because", "output"}),
    "forget": ({"because"}, {"because", "run", "person", "namespace"}),
}
QUERIES = {"cursor", "limit", "state", "requester", "since", "until", "type", "run"}
QUERIES_OF = {"models": {"by", "days"}, "memories": {"cursor", "limit", "namespace", "q"}}
SPENT = {
    "calls": 3, "unanswered": 1, "tokens_in": 2702, "tokens_out": 40, "cost_usd": "1234.020600", "reserved_usd": "0", "last_at": None,
}  # fmt: skip


def a_run(number: int = 142, state: str = "running", **more: Any) -> dict[str, Any]:
    return {
        "id": RUN_ID if number == 142 else f"01a1f854-c40e-72fb-af17-{number:012d}", "number": number, "state": state,
        "source": "api", "request": "Report on the repository /srv/orders since v2.3.0", "requester": "user:requester",
        "created_at": "2026-11-21T08:00:00Z", "started_at": "2026-11-21T08:00:01Z", "finished_at": None, "outcome": None, "reason": "",
        "why": {
            "code": "awaiting_approval", "sentence": "Waits for operators to answer files.write.", "since": "2026-11-21T08:00:09Z",
            "detail": {},
        },
        "url": f"/v1/runs/{number}", **more,
    }  # fmt: skip


def a_model_call(number: int = 1, state: str = "succeeded", **more: Any) -> dict[str, Any]:
    return {
        "id": f"01a1f854-d000-72fb-af17-{number:012d}", "run": RUN_ID, "step": None, "gate": GATE_ID, "job": "worka-142-plan-1", "attempt": 1,
        "agent": "hari", "provider": "anthropic", "model": "claude-test", "streamed": False, "state": state, "input_tokens": 1000,
        "output_tokens": 20, "cache_write_tokens": 200, "cache_read_tokens": 34, "cost_usd": "0.010300", "reserved_usd": "0.050000",
        "reserved_tokens": 1500, "stop_reason": "end_turn", "error": None, "request_digest": DIGEST, "created_at": "2026-11-21T08:00:02Z",
        "state_changed_at": "2026-11-21T08:00:04Z", "finished_at": "2026-11-21T08:00:04Z", **more,
    }  # fmt: skip


def an_approval(**more: Any) -> dict[str, Any]:
    return {
        "id": GATE_ID, "state": "waiting", "run": RUN_ID, "run_number": 142, "step": None, "action": "skill.invoke",
        "subject": "files.write", "call_id": "write", "agent": "ernest", "effect": "hold", "code": "",
        "reason": "the run has read text that strangers wrote", "taint": ["untrusted_output"],
        "payload": {"v": 1, "input": {"path": "reports/orders-since-v2.3.0.md"}}, "payload_digest": DIGEST,
        "rules": [
            {"layer": "platform", "effect": "allow", "because": "ernest may invoke files.write"},
            {"layer": "platform", "effect": "hold", "because": "it has read strangers' text"},
        ],
        "thresholds": [{"group": "operators", "approve": 1, "reject": 1}], "votes": [],
        "missing": [{"group": "operators", "needed": 1, "missing": 1}], "you_may_answer": True, "unmeetable": "", "plan_hash": "",
        "artifacts": [{"name": "report.md", "sha256": "10cb", "content": "# Report on orders", "truncated": False}],
        "expires_at": "2026-11-21T12:00:00Z", "created_at": "2026-11-21T08:00:09Z", **more,
    }  # fmt: skip


@dataclass
class ApiDouble:
    runs: list[dict[str, Any]] = field(default_factory=lambda: [a_run()])
    later: list[dict[str, Any]] = field(default_factory=list)
    """What the first run becomes, look after look."""
    steps: list[dict[str, Any]] = field(default_factory=list)
    approvals: list[dict[str, Any]] = field(default_factory=lambda: [an_approval()])
    model_calls: list[dict[str, Any]] = field(default_factory=list)
    memories: list[dict[str, Any]] = field(default_factory=list)
    connections: list[dict[str, Any]] = field(default_factory=list)
    has_spent: bool = True
    events: list[dict[str, Any]] = field(default_factory=list)
    streams: list[str | Exception] = field(default_factory=list)
    before: Callable[[httpx2.Request], Any] = lambda request: None
    requests: list[tuple[str, str]] = field(default_factory=list)
    bodies: list[Any] = field(default_factory=list)
    headers: list[Any] = field(default_factory=list)
    created: dict[str, dict[str, Any]] = field(default_factory=dict)
    votes: list[dict[str, Any]] = field(default_factory=list)
    page: int = 2

    def transport(self) -> httpx2.MockTransport:
        return httpx2.MockTransport(self._answer)

    def _answer(self, request: httpx2.Request) -> httpx2.Response:
        self.requests.append((request.method, request.url.path))
        self.headers.append(request.headers)
        body = json.loads(request.content) if request.content else None
        self.bodies.append(body)
        forced = self.before(request)
        if isinstance(forced, Exception):
            raise forced
        if forced is not None:
            return _response(*forced)
        if request.headers.get("authorization") != f"Bearer {KEY}":
            return _response(*problem(401, "unauthorized", "this key is not known"))
        query = dict(parse_qsl(request.url.query.decode()))
        if set(query) - QUERIES_OF.get(request.url.path.split("/")[2], QUERIES):
            return _response(*problem(400, "bad_request", f"unknown: {sorted(query)}"))
        match request.method, request.url.path.strip("/").split("/")[1:]:
            case "POST", ["runs"]:
                return self._create(request, body)
            case "GET", ["runs"]:
                return self._page([run for run in self.runs if query.get("state") in (None, run["state"])], query)
            case "GET", ["runs", run_id]:
                if self.later:
                    self.runs[0] = self.later.pop(0)
                found = [run for run in self.runs if run_id in (run["id"], str(run["number"]))]
                return (
                    _response(200, found[0]) if found else _response(*problem(404, "not_found", "there is no such run"))
                )
            case "GET", ["runs", _, "steps"]:
                return self._page(self.steps, query)
            case "GET", ["runs", _, "model-calls"]:
                return self._page(self.model_calls, query)
            case "GET", ["runs", _, "events"]:
                return self._page(self.events, query)
            case "GET", ["runs", _, "gates" | "invocations" | "artifacts" | "burns"]:
                return self._page([], query)
            case "GET", ["runs", _, "plan"]:
                return _response(200, {"summary": "Report"})
            case "POST", ["runs", _, "cancel"]:
                return self._checked("cancel", body) or _response(200, a_run(state="cancelled"))
            case "GET", ["approvals"]:
                return self._page(self.approvals, query)
            case "GET", ["approvals", gate_id]:
                found = [gate for gate in self.approvals if gate["id"] == gate_id]
                return (
                    _response(200, found[0])
                    if found
                    else _response(*problem(404, "not_found", "there is no such approval"))
                )
            case "POST", ["approvals", _, "vote"]:
                return self._vote(body)
            case "GET", ["models", "spend"]:
                line = {"name": "142", "run": RUN_ID, **SPENT}
                return _response(
                    200, {"by": query["by"], "since": "", "total": SPENT, "items": [line] if self.has_spent else []}
                )
            case "GET", ["memories"]:
                found = [each for each in self.memories if query.get("namespace") in (None, each["namespace"])]
                return self._page([each for each in found if query.get("q", "") in each["text"]], query)
            case "POST", ["memories", "forget"]:
                return self._checked("forget", body) or _response(200, {"forgotten": len(self.memories)})
            case "GET", ["connections"]:
                return self._page(self.connections, query)
            case "GET", ["policies", "active"]:
                return self._page([{"scope": "platform", "version": 1, "state": "active"}], query)
            case "POST", ["policies", "check"]:
                return self._checked("check", body) or _response(200, {"valid": True})
            case "POST", ["invocations", _, "settle"]:
                return self._checked("settle", body) or _response(200, {"state": body["outcome"]})
            case "GET", ["audit", "events"]:
                return self._page(self.events, query)
            case "GET", ["artifacts", _, "content"]:
                return httpx2.Response(200, content=b"# Report\x00")
            case "GET", ["health"]:
                return _response(503, {"healthy": False, "version": "0.1.0", "checks": {}})
            case "GET", ["events", "stream"]:
                return self._stream()
        return _response(*problem(404, "not_found", "there is no such route"))

    def _create(self, request: httpx2.Request, body: Any) -> httpx2.Response:
        key = request.headers.get("idempotency-key")
        if not key:
            return _response(*problem(409, "idempotency_required"))
        refused = self._checked("/v1/runs", body)
        if refused is not None:
            return refused
        if key not in self.created:
            self.created[key] = {**a_run(state="received"), "_body": body}
        elif self.created[key]["_body"] != body:
            return _response(*problem(409, "idempotency_conflict", "the key was used for something else"))
        return _response(202, {name: self.created[key][name] for name in ("id", "number", "state", "url")})

    def _vote(self, body: Any) -> httpx2.Response:
        refused = self._checked("vote", body)
        if refused is not None:
            return refused
        if body["payload_digest"] != DIGEST:
            return _response(*problem(409, "payload_changed", "the payload has changed"))
        if body["verdict"] not in {"approve", "reject"} or not body["because"]:
            return _response(*problem(422, "invalid"))
        self.votes.append(body)
        return _response(200, an_approval(state="approved" if body["verdict"] == "approve" else "rejected"))

    def _checked(self, kind: str, body: Any) -> httpx2.Response | None:
        required, allowed = BODIES[kind]
        if not isinstance(body, dict) or not required <= set(body) <= allowed:
            return _response(*problem(422, "invalid", f"the body is {body}"))
        return None

    def _page(self, items: list[dict[str, Any]], query: dict[str, str]) -> httpx2.Response:
        start = int(query.get("cursor", "0"))
        end = start + min(self.page, int(query["limit"]))
        return _response(200, {"items": items[start:end], "next_cursor": str(end) if end < len(items) else None})

    def _stream(self) -> httpx2.Response:
        said = self.streams.pop(0) if self.streams else ""
        if isinstance(said, Exception):
            raise said
        return httpx2.Response(200, content=said.encode(), headers={"Content-Type": "text/event-stream"})


def _response(status: int, body: Any, headers: dict[str, str] | None = None) -> httpx2.Response:
    kind = "application/problem+json" if status >= 400 else "application/json"
    return httpx2.Response(status, content=json.dumps(body).encode(), headers={"Content-Type": kind, **(headers or {})})


def sent(position: int, kind: str = "run.plan", run: str = RUN_ID) -> str:
    event = {
        "position": position, "type": kind, "subject": f"run:{run}", "run": run, "at": "2026-11-21T08:00:00Z", "sentence": f"{kind}!",
    }  # fmt: skip
    hello = f"retry: 2000\nid: {position - 1}\nevent: hello\ndata: {{}}\n\n"
    return f"{hello}id: {position}\nevent: change\ndata: {json.dumps(event)}\n\n"
