"""Playbooks: approved, reviewed ways to do a frequent thing, served to the planner with name and digest."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import structlog
import yaml
from django.conf import settings

from audit.core.canonical import digest
from audit.core.refusals import Refused

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class BrokenPlaybook:
    """A file that is no playbook, and why, for its author."""

    file: str
    why: str


def playbooks() -> list[dict[str, Any]]:
    """Return every shipped playbook as `{name, digest, text}`; `text` is its YAML as JSON, what the digest is over.

    A file that cannot be read is left out: one bad file must not stop the planning of every run.
    """
    return [each for each in _looked_at() if not isinstance(each, BrokenPlaybook)]


def broken_playbooks() -> list[BrokenPlaybook]:
    """Return the files that are left out."""
    return [each for each in _looked_at() if isinstance(each, BrokenPlaybook)]


def _looked_at() -> Iterator[dict[str, Any] | BrokenPlaybook]:
    names: dict[str, str] = {}
    for file in sorted(Path(settings.WORKA_PLAYBOOKS).glob("*.yaml")):
        try:
            found = _read(file, file.stat().st_mtime_ns)
        except OSError as error:
            found = BrokenPlaybook(file.name, f"it cannot be read: {error.strerror}")
        if not isinstance(found, BrokenPlaybook):
            first = names.setdefault(found["name"], file.name)
            if first != file.name:
                # A plan names its playbook: which of the two it was made from could not be told.
                found = BrokenPlaybook(file.name, f"{first} has the same name")
        yield found


@lru_cache(maxsize=64)
def _read(file: Path, changed: int) -> dict[str, Any] | BrokenPlaybook:
    """Read a file once per change, so that what is wrong with it is logged once, too."""
    content = file.read_bytes()
    try:
        text = yaml.safe_load(content.decode("utf-8"))
        if not isinstance(text, dict) or not isinstance(text.get("name"), str):
            raise ValueError("it is no mapping with a `name`")  # noqa: TRY004 - one kind of trouble for all
        return {"name": text["name"], "digest": digest(text), "text": text}
    except (ValueError, RecursionError, yaml.YAMLError, Refused) as error:
        broken = BrokenPlaybook(file.name, _why(error))
        log.warning("playbook_left_out", file=broken.file, why=broken.why)
        return broken


def _why(error: Exception) -> str:
    match error:
        case yaml.MarkedYAMLError(problem=problem, problem_mark=mark) if mark is not None:
            return f"it is no YAML: line {mark.line + 1}, {problem}"
        case yaml.YAMLError():
            return "it is no YAML"
        case UnicodeDecodeError():
            return "it is not UTF-8"
        case RecursionError():
            return "it is nested too deep"
        case _:
            return str(error)
