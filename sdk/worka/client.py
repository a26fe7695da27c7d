"""The API for programs: ask for runs, answer approvals, follow what happens.

    with Client("http://127.0.0.1:8000", api_key) as worka:
        run = worka.runs.create("Report on the repository /srv/orders since v2.3.0")
        for event in worka.stream():
            print(event.type)

Refusals are `ApiError` with the server's code; a server that cannot be reached is `Unreachable`.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, Self
from uuid import UUID, uuid4

import httpx2

from worka.errors import ApiError, Misconfigured, Unreachable
from worka.rows import Approval, Event, Json, ModelCall, Run, Step, Why

REPEATS = 3
LONGEST_PAUSE_S = 30.0
PAGE = 100


class Client:
    """A connection to one Worka with one API key. Not for two threads at once."""

    def __init__(
        self,
        url: str,
        api_key: str,
        *,
        timeout_s: float = 30.0,
        transport: httpx2.BaseTransport | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        if not url.startswith(("http://", "https://")):
            raise Misconfigured(f"{url!r} is no URL of a Worka: it begins with https:// (or http:// on this machine)")
        if not api_key.isascii() or not api_key.isprintable() or not api_key:
            raise Misconfigured("the API key is empty or holds characters that no key has")
        headers = {"Authorization": f"Bearer {api_key}", "Accept": "application/json", "User-Agent": "worka-sdk"}
        self._http = httpx2.Client(base_url=url.rstrip("/"), headers=headers, timeout=timeout_s, transport=transport)
        self._sleep = sleep
        self.runs = Runs(self)
        self.approvals = Approvals(self)
        self.artifacts = Artifacts(self)
        self.policies = Policies(self)
        self.audit = Audit(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def health(self) -> Json:
        """Return how the deployment is; needs no key. An unhealthy one answers too."""
        return self.ask("GET", "/v1/health", healthy_or_not=True)

    def agents(self) -> list[Json]:
        """Return the agents of this workspace."""
        return list(self.pages("/v1/agents"))

    def skills(self) -> list[Json]:
        """Return the skills that exist, with their schemas."""
        return list(self.pages("/v1/skills"))

    def connections(self) -> list[Json]:
        """Return the accounts of services outside that this workspace has connected."""
        return list(self.pages("/v1/connections"))

    def model_spend(self, *, by: str = "day", days: int = 14) -> Json:
        """Return what models have cost, summed by `day`, `agent`, `model` or `run`; money is text."""
        return self.ask("GET", "/v1/models/spend", params={"by": str(by), "days": days})

    def memories(self, *, agent: str = "", words: str = "", limit: int | None = None) -> Iterator[Json]:
        """Yield what agents remember, newest first; for owners and admins."""
        filters = {"namespace": f"agent:{agent}" if agent else None, "q": words or None}
        return self.pages("/v1/memories", limit=limit, **filters)

    def forget(self, *, because: str, **about: str) -> int:
        """Erase what agents remember of a `run`, of a `person` or in a `namespace`; return how many memories that were."""
        return int(self.ask("POST", "/v1/memories/forget", json={**about, "because": because})["forgotten"])

    def settle(self, invocation_id: str, outcome: str, *, because: str, output: Any = None) -> Json:
        """Say what became of a call whose effect is not known: `succeeded` or `failed`."""
        body: dict[str, Any] = {"outcome": outcome, "because": because}
        if output is not None:
            body["output"] = output
        return self.ask("POST", f"/v1/invocations/{_uuid(invocation_id)}/settle", json=body)

    def stream(self, *, cursor: int | str | None = None, idle_s: float = 60.0, repeat: bool = True) -> Iterator[Event]:
        """Yield what happens, as it is sealed; a broken stream is taken up again where it ended, for ever with `repeat`.

        `cursor` is the position to go on after. A stream that says nothing for `idle_s` seconds is taken up again too;
        with `repeat=False` it ends. Raises ApiError and Unreachable.
        """
        failures = 0
        while True:
            parameters = {} if cursor is None else {"cursor": str(cursor)}
            timeout = httpx2.Timeout(30.0, read=idle_s)
            try:
                with self._http.stream(
                    "GET",
                    "/v1/events/stream",
                    params=parameters,
                    headers={"Accept": "text/event-stream"},
                    timeout=timeout,
                ) as response:
                    if not response.is_success:
                        raise ApiError.from_answer(response.status_code, response.headers, response.read())
                    for sent in httpx2.EventSource(response):
                        cursor = sent.id or cursor
                        data = sent.json() if sent.event == "change" else None
                        if isinstance(data, Mapping):
                            yield Event.from_json(data)
            except httpx2.ReadTimeout:
                pass
            except httpx2.TransportError as error:
                failures += 1
                if failures > REPEATS or not repeat:
                    raise Unreachable(f"the stream of events broke: {error}") from None
                self._sleep(min(5.0, 0.5 * 2**failures))
            else:
                # A server that ends each stream at once must not be asked in a circle.
                failures = 0
                self._sleep(0.5 if repeat else 0)
            if not repeat:
                return

    def pages(self, path: str, *, limit: int | None = None, **filters: Any) -> Iterator[Json]:
        """Yield the items of a list, newest first, page after page, at most `limit`."""
        left = limit
        cursor = ""
        while left is None or left > 0:
            parameters = {name: value for name, value in filters.items() if value not in (None, "")}
            parameters["limit"] = PAGE if left is None else min(PAGE, left)
            if cursor:
                parameters["cursor"] = cursor
            page = self.ask("GET", path, params=parameters)
            items = page.get("items") or []
            yield from items if left is None else items[:left]
            left = None if left is None else left - len(items)
            cursor = str(page.get("next_cursor") or "")
            if not cursor or not items:
                return

    def ask(
        self,
        method: str,
        path: str,
        *,
        json: Any = None,
        params: Mapping[str, Any] | None = None,
        idempotency_key: str = "",
        healthy_or_not: bool = False,
    ) -> Json:
        """Send one request and return the JSON object of its answer; raises ApiError and Unreachable."""
        response = self._send(method, path, json=json, params=params, idempotency_key=idempotency_key)
        if not response.is_success and not (healthy_or_not and response.status_code == 503):
            raise ApiError.from_answer(response.status_code, response.headers, response.content)
        if not response.content:
            return {}
        try:
            body = response.json()
        except ValueError:
            body = None
        if not isinstance(body, dict):
            raise Unreachable(f"{response.url} answered no JSON object: is that a Worka?")
        return body

    def content(self, path: str) -> bytes:
        """Return a body as it is; raises ApiError and Unreachable."""
        response = self._send("GET", path)
        if not response.is_success:
            raise ApiError.from_answer(response.status_code, response.headers, response.content)
        return response.content

    def _send(
        self,
        method: str,
        path: str,
        *,
        json: Any = None,
        params: Mapping[str, Any] | None = None,
        idempotency_key: str = "",
    ) -> httpx2.Response:
        # What was sent once may have been done: only a read, or a write under a key, is sent again after that.
        may_repeat = method == "GET" or bool(idempotency_key)
        headers = {"Idempotency-Key": idempotency_key} if idempotency_key else {}
        for attempt in range(REPEATS + 1):
            last = attempt == REPEATS
            try:
                response = self._http.request(method, path, json=json, params=params, headers=headers)
            except httpx2.TransportError as error:
                never_sent = isinstance(error, httpx2.ConnectError | httpx2.ConnectTimeout)
                if last or not (may_repeat or never_sent):
                    raise Unreachable(f"{self._http.base_url} cannot be reached: {error}") from None
                self._sleep(0.5 * 2**attempt)
                continue
            pause = _pause_s(response, attempt) if not last and path != "/v1/health" else None
            if pause is None:
                return response
            self._sleep(pause)
        raise AssertionError("the last attempt returns or raises")


class Runs:
    """Runs: one per request."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def create(
        self,
        request: str | None = None,
        *,
        workflow: str | None = None,
        input: Mapping[str, Any] | None = None,  # noqa: A002 (the API's word)
        deliver_to: Mapping[str, Any] | None = None,
        metadata: Mapping[str, Any] | None = None,
        idempotency_key: str | None = None,
    ) -> Run:
        """Ask for a run, in words or as a named workflow with its input. Asking twice with one key asks once."""
        given = {
            "request": request,
            "workflow": workflow,
            "input": input,
            "deliver_to": deliver_to,
            "metadata": metadata,
        }
        body = {name: value for name, value in given.items() if value is not None}
        return Run.from_json(
            self._client.ask("POST", "/v1/runs", json=body, idempotency_key=idempotency_key or str(uuid4()))
        )

    def list(
        self,
        *,
        state: str | None = None,
        requester: str | None = None,
        since: str | None = None,
        until: str | None = None,
        limit: int | None = None,
    ) -> Iterator[Run]:
        """Yield runs, newest first; `since` and `until` are times (RFC 3339) of being asked for."""
        filters = {"state": state, "requester": requester, "since": since, "until": until}
        return map(Run.from_json, self._client.pages("/v1/runs", limit=limit, **filters))

    def get(self, run: str | int) -> Run:
        """Return a run by its id, or by its number (`142` or `#142`)."""
        return Run.from_json(self._client.ask("GET", f"/v1/runs/{self.id_of(run)}"))

    def why(self, run: str | int) -> Why:
        """Return why a run is where it is."""
        return self.get(run).why

    def cancel(self, run: str | int, *, because: str) -> Run:
        """Cancel a run: its agents lose their tokens at once."""
        return Run.from_json(self._client.ask("POST", f"/v1/runs/{self.id_of(run)}/cancel", json={"because": because}))

    def steps(self, run: str | int) -> Sequence[Step]:
        """Return the steps of a run's plan, in order."""
        found = map(Step.from_json, self._client.pages(f"/v1/runs/{self.id_of(run)}/steps"))
        return sorted(found, key=lambda step: step.sequence)

    def plan(self, run: str | int) -> Json:
        """Return a run's plan."""
        return self._client.ask("GET", f"/v1/runs/{self.id_of(run)}/plan")

    def gates(self, run: str | int) -> Iterator[Json]:
        """Yield every decision of a run, newest first."""
        return self._client.pages(f"/v1/runs/{self.id_of(run)}/gates")

    def invocations(self, run: str | int) -> Iterator[Json]:
        """Yield every skill call of a run, newest first."""
        return self._client.pages(f"/v1/runs/{self.id_of(run)}/invocations")

    def model_calls(self, run: str | int) -> Iterator[ModelCall]:
        """Yield what the agents of a run asked of models and what it cost, newest first."""
        return map(ModelCall.from_json, self._client.pages(f"/v1/runs/{self.id_of(run)}/model-calls"))

    def artifacts(self, run: str | int) -> Iterator[Json]:
        """Yield what a run has produced, newest first."""
        return self._client.pages(f"/v1/runs/{self.id_of(run)}/artifacts")

    def burns(self, run: str | int) -> Iterator[Json]:
        """Yield the failures of a run that are worth a look, newest first."""
        return self._client.pages(f"/v1/runs/{self.id_of(run)}/burns")

    def events(self, run: str | int, *, limit: int | None = None) -> Iterator[Event]:
        """Yield the story of a run, newest first."""
        return map(Event.from_json, self._client.pages(f"/v1/runs/{self.id_of(run)}/events", limit=limit))

    def id_of(self, run: str | int) -> str:
        """Return what stands for a run in a path: its number or its id; raises ApiError `not_found` for anything else."""
        text = str(run).removeprefix("#")
        return text if text.isascii() and text.isdigit() else _uuid(text)


class Approvals:
    """Gates that wait for people."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def list(self, *, limit: int | None = None) -> Iterator[Approval]:
        """Yield the gates that wait for the caller."""
        return map(Approval.from_json, self._client.pages("/v1/approvals", limit=limit))

    def get(self, approval: str) -> Approval:
        """Return one gate with its exact payload; that it was looked at goes into the ledger."""
        return Approval.from_json(self._client.ask("GET", f"/v1/approvals/{_uuid(approval)}"))

    def vote(self, approval: str, verdict: str, *, because: str, payload_digest: str) -> Approval:
        """Answer with `approve` or `reject`. The digest is that of the payload which the person has seen."""
        body = {"verdict": verdict, "because": because, "payload_digest": payload_digest}
        return Approval.from_json(self._client.ask("POST", f"/v1/approvals/{_uuid(approval)}/vote", json=body))


class Artifacts:
    """What runs have produced."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def content(self, artifact: str) -> bytes:
        """Return the content of an artifact."""
        return self._client.content(f"/v1/artifacts/{_uuid(artifact)}/content")


class Policies:
    """Manifests: what may happen."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def active(self) -> list[Json]:
        """Return the manifests that are in force: the platform's and the workspace's."""
        return list(self._client.pages("/v1/policies/active"))

    def check(self, source: str) -> Json:
        """Validate a manifest without storing it; raises ApiError `invalid_manifest` with line and column of each fault."""
        return self._client.ask("POST", "/v1/policies/check", json={"source": source})


class Audit:
    """The ledger and its proofs."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def events(self, *, limit: int | None = None, **filters: Any) -> Iterator[Event]:
        """Yield entries of the ledger, newest first."""
        return map(Event.from_json, self._client.pages("/v1/audit/events", limit=limit, **filters))

    def seals(self, *, limit: int | None = None) -> Iterator[Json]:
        """Yield the seals, newest first."""
        return self._client.pages("/v1/audit/seals", limit=limit)

    def proof(self, event: int) -> Json:
        """Return the proof that an entry is in the sealed ledger; `event` is the entry's `id`."""
        return self._client.ask("GET", f"/v1/audit/proof/{int(event)}")


def _uuid(text: str) -> str:
    try:
        return str(UUID(text))
    except ValueError:
        raise ApiError(404, {"code": "not_found", "detail": f"{text[:80]!r} is no id"}) from None


def _pause_s(response: httpx2.Response, attempt: int) -> float | None:
    if response.status_code not in {429, 503}:
        return None
    wanted = ApiError.from_answer(response.status_code, response.headers, b"").retry_after_s
    pause = 0.5 * 2**attempt if wanted is None else max(0.1, wanted)
    return pause if pause <= LONGEST_PAUSE_S else None
