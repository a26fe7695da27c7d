"""The agent's side of Worka: read the job, ask for what it needs, report, and leave.

    with Agent.from_env() as agent:
        context = agent.context()
        outcome = agent.call("c1")
        if outcome.is_waiting:
            agent.suspend(waits_for=["c1"], state={"next": "c1"})
        agent.result("succeeded", summary="done", output=outcome.output)

Every call may be repeated: the gateway answers the same question with the same answer.
"""

import hashlib
import os
import sys
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

from worka.contract import ArtifactRef, Context, Message, Outcome, Proposal
from worka.errors import ApiError, JobOver, Misconfigured, WorkaError
from worka.wire import Answer, Wire, multipart

HEARTBEAT_S = 10.0
LONG_POLL_S = 20.0
MODEL_WAIT_S = 900.0
LINES_AT_ONCE = 100
LINE_LENGTH = 2000

EXIT_UNREACHABLE = 3
EXIT_JOB_OVER = 4


class Suspended(SystemExit):
    """The step sleeps: its checkpoint is stored, the gateway knows what it waits for, and the process ends with 0."""


class Agent:
    """One job's conversation with the gateway. `with` keeps a sign of life going from a thread of its own."""

    def __init__(self, wire: Wire, *, step_id: str = "", heartbeat_s: float = HEARTBEAT_S) -> None:
        self.step_id = step_id
        self._wire = wire
        self._heartbeat_s = heartbeat_s
        self._seq = 0
        self._lines: list[str] = []
        self._lines_lock = threading.Lock()
        self._leaving = threading.Event()
        self._last_word = threading.Event()

    @classmethod
    def from_env(cls, environ: Mapping[str, str] = os.environ) -> Self:
        """Build the agent from `WORKA_GATEWAY_URL` and `WORKA_TOKEN_FILE`, or raise Misconfigured."""
        url, token_file = environ.get("WORKA_GATEWAY_URL", ""), environ.get("WORKA_TOKEN_FILE", "")
        if not url or not token_file:
            missing = "WORKA_GATEWAY_URL" if not url else "WORKA_TOKEN_FILE"
            raise Misconfigured(f"{missing} is not set: an agent is started by Worka, not by hand")
        try:
            token = Path(token_file).read_text(encoding="ascii").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise Misconfigured(f"the token file {token_file} cannot be read: {error}") from None
        wire = Wire(url, token, traceparent=environ.get("TRACEPARENT", ""))
        return cls(wire, step_id=environ.get("WORKA_STEP_ID", ""))

    def __enter__(self) -> Self:
        threading.Thread(target=self._beat, name="heartbeat", daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._leaving.set()
        if kind is None or not issubclass(kind, WorkaError):
            self.flush()
        self._wire.close()

    # What the job is

    def context(self) -> Context:
        """Return the job's envelope: the request for a planner, else the step with all that it may use."""
        context = Context.from_json(self._json("GET", "/context"))
        if context.step is not None:
            self._seq = max(self._seq, context.step.checkpoint_seq)
        return context

    # Planning

    def propose(self, plan: Mapping[str, Any]) -> Proposal:
        """Hand in a plan. A refused one comes back with every fault; an accepted or held one ends the job."""
        self._last_word.set()
        answer = self._ask("POST", "/plan", json_body=dict(plan))
        if answer.is_success:
            return Proposal(str(answer.json().get("state", "")))
        self._last_word.clear()
        refusal = answer.refusal()
        if refusal.code in {"plan_refused", "policy_denied", "too_large", "invalid", "not_canonical"}:
            reason = str(refusal.body.get("reason") or refusal.detail)
            return Proposal("refused", reason, refusal.faults)
        raise refusal

    def no_plan(self, reason: str) -> None:
        """Say that the request cannot be planned, and why; the run ends with that sentence."""
        self._last_word.set()
        self._json("POST", "/plan", json_body={"no_plan": reason})

    # Skills

    def call(self, call_id: str) -> Outcome:
        """Make a call that the plan names; the gateway knows its input."""
        return self._skill({"call": call_id}, call_id)

    def skill(self, call_id: str, skill: str, input: Mapping[str, Any]) -> Outcome:  # noqa: A002 (the contract's word)
        """Make a call with an input of the agent's own."""
        return self._skill({"call_id": call_id, "skill": skill, "input": dict(input)}, call_id, skill)

    def wait_call(self, call_id: str, *, wait_s: float = LONG_POLL_S) -> Outcome:
        """Return the state of a call, after at most `wait_s` seconds when it is still under way."""
        path = f"/skills/{quote(call_id, safe='')}?wait={wait_s:g}"
        return self._outcome(self._ask("GET", path, wait_s=wait_s), call_id)

    # The model

    def message(self, **request: Any) -> Message:
        """Ask the model once, by the Messages API (`model`, `max_tokens`, `messages`, `system`, `tools` …), and return its turn.

        Raises ApiError when policy, budget or provider say no; the gateway has repeated what was safe to repeat.
        """
        answer = self._ask("POST", "/llm/v1/messages", json_body=request, wait_s=MODEL_WAIT_S)
        if not answer.is_success:
            raise answer.refusal()
        return Message.from_json(answer.json())

    # What is kept and shown

    def checkpoint(self, state: Mapping[str, Any]) -> None:
        """Store what the next attempt needs to go on; at most 1 MiB of JSON, replacing the last."""
        self._seq += 1
        self._json("PUT", "/checkpoint", json_body={"seq": self._seq, "state": dict(state)})

    def upload_artifact(self, name: str, media_type: str, content: bytes) -> ArtifactRef:
        """Store an output and return its reference."""
        fields = {"sha256": hashlib.sha256(content).hexdigest(), "media_type": media_type}
        body, content_type = multipart(fields, name=name, media_type=media_type, content=content)
        return ArtifactRef.from_json(self._json("POST", "/artifacts", body=body, content_type=content_type))

    def artifact(self, artifact_id: str) -> bytes:
        """Return the content of an artifact that this step may read."""
        answer = self._ask("GET", f"/artifacts/{quote(artifact_id, safe='')}")
        if not answer.is_success:
            raise answer.refusal()
        return answer.content

    def log(self, line: str) -> None:
        """Show a line of progress; lines travel together, with the next sign of life at the latest."""
        _say(line)
        with self._lines_lock:
            self._lines.append(line[:LINE_LENGTH])

    def flush(self) -> None:
        """Send the lines that are waiting; progress that cannot be told never stops the work."""
        self._send_lines(self._wire)

    # The end

    def result(
        self,
        status: str,
        *,
        summary: str,
        output: Any = None,
        artifacts: Iterable[ArtifactRef] = (),
        waits_for: Sequence[str] | str | None = None,
    ) -> None:
        """Report `succeeded`, `failed` or `suspended`. It is the last word: after it the token is dead."""
        self.flush()
        self._last_word.set()
        body: dict[str, Any] = {
            "status": status, "summary": summary, "output": output, "artifacts": [ref.id for ref in artifacts],
        }  # fmt: skip
        if waits_for is not None:
            body["waits_for"] = waits_for if isinstance(waits_for, str) else list(waits_for)
        self._json("POST", "/result", json_body=body)

    def suspend(self, *, waits_for: Sequence[str] | str, state: Mapping[str, Any], summary: str = "") -> None:
        """Store a checkpoint, tell what is waited for, and end the process: raises Suspended.

        `waits_for` is a list of call ids, a time (RFC 3339), or `frozen`.
        """
        self.checkpoint(state)
        self.result("suspended", summary=summary, waits_for=waits_for)
        raise Suspended(0)

    # Inside

    def _skill(self, body: dict[str, Any], call_id: str, skill: str = "") -> Outcome:
        return self._outcome(self._ask("POST", "/skills", json_body=body), call_id, skill)

    def _outcome(self, answer: Answer, call_id: str, skill: str = "") -> Outcome:
        if answer.is_success:
            return Outcome.from_json(answer.json(), call_id=call_id, skill=skill)
        refusal = answer.refusal()
        outcome = Outcome.from_refusal(refusal, call_id=call_id, skill=skill)
        if outcome is None:
            raise refusal
        return outcome

    def _json(self, method: str, path: str, **request: Any) -> dict[str, Any]:
        answer = self._ask(method, path, **request)
        if not answer.is_success:
            raise answer.refusal()
        return answer.json()

    def _ask(self, method: str, path: str, **request: Any) -> Answer:
        answer = self._wire.ask(method, f"/agent/v1{path}", **request)
        if answer.status == 401:
            raise answer.refusal()
        return answer

    def _send_lines(self, wire: Wire) -> None:
        while self._lines:
            with self._lines_lock:
                batch, self._lines = self._lines[:LINES_AT_ONCE], self._lines[LINES_AT_ONCE:]
            if batch:
                try:
                    wire.ask("POST", "/agent/v1/events", json_body={"lines": batch})
                except WorkaError as error:
                    _say(f"progress was not shown: {error}")

    def _beat(self) -> None:
        wire = self._wire.another()
        while not self._leaving.wait(self._heartbeat_s):
            try:
                answer = wire.ask("POST", "/agent/v1/heartbeat", json_body={})
                if answer.status == 401 and not self._last_word.is_set():
                    # The main thread may sit in a long poll, or in work that nobody wants any more. (Once the last
                    # word is said the token is dead because it was heard, and the main thread is about to leave.)
                    _say(f"stopping: {answer.refusal()}")
                    os._exit(EXIT_JOB_OVER)
                self._send_lines(wire)
            except WorkaError as error:
                _say(f"no sign of life could be given: {error}")
        wire.close()


def run_agent(work: Callable[[Agent], None]) -> int:
    """Run `work(agent)` for the job of this process and return its exit code; what is refused is told on stderr."""
    try:
        with Agent.from_env() as agent:
            work(agent)
    except JobOver as error:
        _say(f"stopping: {error}")
        return EXIT_JOB_OVER
    except ApiError as error:
        _say(f"refused: {error}")
        return 1
    except WorkaError as error:
        _say(str(error))
        return EXIT_UNREACHABLE
    return 0


def _say(line: str) -> None:
    # Standard error is what the backend keeps as the job's log.
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()
