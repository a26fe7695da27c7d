"""What an agent hands in at the end: mended by fixed rules, or refused as `bad_output`."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Literal

import re2

from audit.core.canonical import NotCanonical, parse
from audit.core.codes import Code
from audit.core.refusals import Fault, Refused

Status = Literal["succeeded", "failed", "suspended"]

LONGEST_SUMMARY = 4000
MOST_ITEMS = 100
_MOST_TRIES = 50

_STATUSES: Mapping[str, Status] = {
    "succeeded": "succeeded", "success": "succeeded", "succeed": "succeeded", "ok": "succeeded", "done": "succeeded",
    "completed": "succeeded",
    "failed": "failed", "failure": "failed", "fail": "failed", "error": "failed",
    "suspended": "suspended", "suspend": "suspended", "waiting": "suspended",
}  # fmt: skip
_FIELDS = frozenset({"status", "summary", "output", "artifacts", "waits_for"})
_FENCE: Any = re2.compile(r"(?s)\s*(?:```|~~~)[A-Za-z0-9_+\-]*\s*(.*?)\s*(?:```|~~~)\s*")
_CALL_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.\-]{0,63}")


@dataclass(frozen=True, slots=True)
class StepResult:
    """A result in normal form. A suspended one waits for exactly one of: calls, a time (`until`), the end of a freeze."""

    status: Status
    summary: str = ""
    output: Any = field(default_factory=dict)
    artifacts: tuple[str, ...] = ()
    waits_for: tuple[str, ...] = ()
    until: datetime | None = None
    frozen: bool = False

    def as_json(self) -> dict[str, Any]:
        """Return the form that is stored and hashed; `waits_for` as agents send it."""
        normal: dict[str, Any] = {
            "status": self.status, "summary": self.summary, "output": self.output, "artifacts": list(self.artifacts),
        }  # fmt: skip
        if self.status == "suspended":
            until = self.until.isoformat() if self.until else ""
            normal["waits_for"] = "frozen" if self.frozen else until or list(self.waits_for)
        return normal


def read_result(content: bytes) -> Any:
    """Read the body of a result: JSON, also in a code fence or with text around it; else refuse with `bad_output`.

    Of several objects the first counts. What is JSON but not canonical stays refused with `not_canonical`.
    """
    try:
        return parse(content)
    except NotCanonical as refusal:
        found = _inside(content.decode("utf-8", "replace"))
        if found is None:
            raise _bad([Fault("", "bad_output", str(refusal))]) from None
        return found


def parse_result(body: Any) -> StepResult:
    """Bring a result into normal form, or refuse with `bad_output` and every fault at once.

    Mended are: the whole as text around JSON; a status in other words or case; a summary that is a number, a list of
    lines, missing or too long; an output that is fenced JSON; one artifact or one call where a list is expected; waits of
    a result that does not wait.
    """
    if isinstance(body, str):
        body = _inside(body)
    if not isinstance(body, dict):
        raise _bad([Fault("", "bad_output", "a result is an object with a status")])
    faults = [Fault(f"/{name[:80]}", "bad_output", "there is no such field") for name in body if name not in _FIELDS]
    result = StepResult(
        status=_status(body.get("status"), faults),
        summary=_summary(body.get("summary"), faults),
        output=_output(body.get("output")),
        artifacts=_artifacts(body.get("artifacts"), faults),
    )
    if result.status == "suspended":
        result = _with_waits(result, body.get("waits_for"), faults)
    if faults:
        raise _bad(faults)
    return result


def _bad(faults: Sequence[Fault]) -> Refused:
    first = f"{faults[0].path or 'the body'}: {faults[0].message}"
    return Refused(f"this is not a result: {first}", code=Code.BAD_OUTPUT, faults=faults)


def _inside(text: str) -> Any:
    """Return the first JSON object in a text that an agent wrote around it, or None."""
    fenced = _FENCE.search(text)
    text = fenced.group(1) if fenced else text
    start = -1
    for _ in range(_MOST_TRIES):
        start = text.find("{", start + 1)
        if start < 0:
            return None
        try:
            _, end = json.JSONDecoder().raw_decode(text, start)
        except (ValueError, RecursionError):
            continue
        return parse(text[start:end])
    return None


def _status(value: Any, faults: list[Fault]) -> Status:
    known = _STATUSES.get(value.strip().lower()) if isinstance(value, str) else None
    if known is None:
        faults.append(Fault("/status", "bad_output", "a status is succeeded, failed or suspended"))
    return known or "failed"


def _summary(value: Any, faults: list[Fault]) -> str:
    match value:
        case None:
            text = ""
        case str():
            text = value.strip()
        case bool() | int() | float():
            text = json.dumps(value)
        case list() if all(isinstance(line, str) for line in value):
            text = "\n".join(value).strip()
        case _:
            faults.append(Fault("/summary", "bad_output", "a summary is text"))
            text = ""
    return text if len(text) <= LONGEST_SUMMARY else text[: LONGEST_SUMMARY - 1] + "…"


def _output(value: Any) -> Any:
    if value is None:
        return {}
    fenced = _FENCE.fullmatch(value) if isinstance(value, str) else None
    if not fenced:
        return value
    try:
        return parse(fenced.group(1))
    except NotCanonical:
        return value


def _artifacts(value: Any, faults: list[Fault]) -> tuple[str, ...]:
    given = [] if value is None else value if isinstance(value, list) else [value]
    names = [each.get("id") if isinstance(each, dict) else each for each in given]
    wrong = [place for place, name in enumerate(names) if not isinstance(name, str)]
    faults += [
        Fault(f"/artifacts/{place}", "bad_output", "an artifact is named by its id") for place in wrong[:MOST_ITEMS]
    ]
    if len(names) > MOST_ITEMS:
        faults.append(Fault("/artifacts", "bad_output", f"a result has at most {MOST_ITEMS} artifacts"))
    return tuple(dict.fromkeys(name for name in names if isinstance(name, str)))


def _with_waits(result: StepResult, value: Any, faults: list[Fault]) -> StepResult:
    match value:
        case "frozen":
            return replace(result, frozen=True)
        case str() if _CALL_ID.fullmatch(value) and not value[:4].isdigit():
            return replace(result, waits_for=(value,))
        case str() if moment := _moment(value):
            return replace(result, until=moment)
        case [_, *_] if len(value) <= MOST_ITEMS and all(
            isinstance(each, str) and _CALL_ID.fullmatch(each) for each in value
        ):
            return replace(result, waits_for=tuple(dict.fromkeys(value)))
    wanted = 'a suspended result waits for a list of call ids, a time with its zone (RFC 3339), or "frozen"'
    faults.append(Fault("/waits_for", "bad_output", wanted))
    return result


def _moment(text: str) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text.strip())
        return moment.astimezone(UTC) if moment.tzinfo else None
    except (ValueError, OverflowError):
        return None
