"""Agents of a test, who speak to the door over its socket with the token of their job."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2

from governance.models import Gate
from runtime.models import AgentJob
from runtime.tokens import mint_token
from tests.journeys import Journey

PROBLEM = "application/problem+json"


@dataclass
class Visitor:
    """One agent at the door. Each denied request is checked for the shape of its refusal."""

    http: httpx2.Client
    token: str
    job: AgentJob
    headers: dict[str, str] = field(default_factory=dict)

    def ask(self, method: str, path: str, **more: Any) -> httpx2.Response:
        """Send a request as this agent."""
        headers = {"Authorization": f"Bearer {self.token}", **self.headers, **more.pop("headers", {})}
        answer = self.http.request(method, f"/agent/v1{path}", headers=headers, **more)
        if answer.is_error:
            problem = answer.json()
            assert answer.headers["content-type"] == PROBLEM
            assert problem["status"] == answer.status_code
            assert problem["correlation_id"] == answer.headers["x-correlation-id"] != ""
        return answer

    def get(self, path: str, **more: Any) -> httpx2.Response:
        return self.ask("GET", path, **more)

    def post(self, path: str, body: Any = None, **more: Any) -> httpx2.Response:
        return self.ask("POST", path, **({"json": body} if body is not None else {}), **more)

    def put(self, path: str, body: Any) -> httpx2.Response:
        return self.ask("PUT", path, json=body)

    def gates(self, **about: Any) -> list[Gate]:
        """Return this job's gates, oldest first."""
        return list(Gate.objects.filter(job_name=self.job.name, **about).order_by("created_at", "pk"))

    def denied(self, answer: httpx2.Response, status: int, code: str, action: str) -> Gate:
        """Check a refusal, and that it left one denied gate, its newest; return the gate."""
        assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text
        gate = self.gates()[-1]
        assert (gate.effect, gate.state, gate.action, gate.code) == ("deny", "denied", action, code)
        assert answer.json()["gate"] == str(gate.pk)
        return gate


def visit(socket: Path, j: Journey, ref: str = "") -> Visitor:
    """Return the agent of the live job of a step, or the planner."""
    job = j.job(j.step(ref) if ref else None)
    http = httpx2.Client(
        transport=httpx2.HTTPTransport(uds=str(socket), verify=False), base_url="http://door", timeout=30
    )
    return Visitor(http, mint_token(job), job)
