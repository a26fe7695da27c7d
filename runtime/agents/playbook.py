"""Playbooks: approved ways to do a frequent thing. A sentence is matched, its values are read, a template is filled.

    name: repository-report
    description: …                      # one sentence for people
    match: ["Report on the repository {repository} since {since}", …]     # tried in this order
    parameters: {repository: {type: repository}, since: {type: revision_or_date}}
    plan: {summary: …, steps: […]}      # a plan as the door takes it

In the plan, `{"$param": "since"}` stands for a value, and `${since}` or `${repository|name|slug}` in a string for its
text. What is filled in is never read again: a value cannot hold a placeholder, a reference or a step.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from runtime.agents.matching import TYPES, BadPattern, Sentence, Surroundings, Unreadable

PLACEHOLDER = re.compile(r"\$\{([^}]*)\}")
NAME = re.compile(r"[a-z][a-z0-9-]{0,63}", re.ASCII)
DEEPEST = 32


class BadPlaybook(ValueError):
    """A playbook that cannot be used; the message says what is wrong with it, for its author."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What a playbook made of a request: the values, or why the sentence fits but a value does not."""

    values: Mapping[str, str]
    trouble: str = ""


@dataclass(frozen=True, slots=True)
class Playbook:
    """A playbook that was checked: every pattern, type, placeholder and filter in it is known."""

    name: str
    digest: str
    description: str
    sentences: tuple[Sentence, ...]
    parameters: Mapping[str, str]
    plan: Mapping[str, Any]

    def read(self, request: str, around: Surroundings) -> Reading | None:
        """Return what the request says by the first sentence that it is, or None when it is none of them.

        A later, looser sentence is not tried when a value cannot be read: it would take more words for the value.
        """
        for sentence in self.sentences:
            found = sentence.read(request)
            if found is None:
                continue
            try:
                return Reading({name: TYPES[self.parameters[name]](text, around) for name, text in found.items()})
            except Unreadable as error:
                return Reading({}, str(error))
        return None

    def plan_for(self, values: Mapping[str, str]) -> dict[str, Any]:
        """Return the plan for these values, with the playbook's name, digest and parameters kept on it."""
        plan: dict[str, Any] = _fill(self.plan, values)
        plan["playbook"] = {"name": self.name, "digest": self.digest, "parameters": dict(values)}
        return plan


def compile_playbook(source: Any, *, digest: str = "") -> Playbook:
    """Check a playbook's source (its YAML as JSON) and make it ready for use, or raise BadPlaybook."""
    if not isinstance(source, Mapping):
        raise BadPlaybook("a playbook is a mapping")
    unknown = sorted(set(source) - {"name", "description", "match", "parameters", "plan"})
    if unknown:
        raise BadPlaybook(f"unknown keys: {', '.join(map(str, unknown))}")
    name = source.get("name")
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise BadPlaybook("name must be lower-case words joined by hyphens")
    parameters = _parameters(source.get("parameters") or {})
    sentences = _sentences(source.get("match"), parameters)
    plan = source.get("plan")
    if not isinstance(plan, Mapping) or not isinstance(plan.get("steps"), list):
        raise BadPlaybook("plan must have steps")
    if "playbook" in plan:
        raise BadPlaybook("plan.playbook is written by the planner, not by the playbook")
    _fill(plan, dict.fromkeys(parameters, "1"))
    return Playbook(name, digest, str(source.get("description") or ""), sentences, parameters, plan)


def _parameters(source: Any) -> dict[str, str]:
    if not isinstance(source, Mapping):
        raise BadPlaybook("parameters must be a mapping of names")
    parameters = {}
    for name, about in source.items():
        kind = about.get("type") if isinstance(about, Mapping) else None
        if kind not in TYPES or set(about) - {"type", "description"}:
            raise BadPlaybook(f"parameter {name}: type must be one of {', '.join(TYPES)}")
        parameters[str(name)] = str(kind)
    return parameters


def _sentences(source: Any, parameters: Mapping[str, str]) -> tuple[Sentence, ...]:
    if not isinstance(source, list) or not source or not all(isinstance(pattern, str) for pattern in source):
        raise BadPlaybook("match must be a list of sentences")
    try:
        sentences = tuple(Sentence.parse(pattern) for pattern in source)
    except BadPattern as error:
        raise BadPlaybook(str(error)) from None
    for sentence in sentences:
        if set(sentence.slots.values()) != set(parameters):
            raise BadPlaybook(f"{sentence.pattern!r} must have exactly the slots {', '.join(sorted(parameters))}")
    return sentences


def slug(text: str) -> str:
    """Return the text as part of a file name: ASCII letters, digits, dot, hyphen and underscore; at most 48 of them."""
    joined = re.sub(r"[^0-9A-Za-z._-]+", "-", text)
    return re.sub(r"\.{2,}", ".", joined).strip("-.")[:48].rstrip("-.") or "unnamed"


def last_part(path: str) -> str:
    """Return what a path ends with, without `.git`."""
    return path.rstrip("/").rpartition("/")[2].removesuffix(".git") or path


def bare(url: str) -> str:
    """Return an address without its scheme, its query and the slash at its end."""
    return re.split(r"[?#]", url.partition("://")[2] or url)[0].rstrip("/")


FILTERS: Mapping[str, Callable[[str], str]] = {"bare": bare, "name": last_part, "slug": slug}


def _fill(template: Any, values: Mapping[str, str], depth: int = 0) -> Any:
    if depth > DEEPEST:
        raise BadPlaybook(f"plan is nested deeper than {DEEPEST} levels")
    match template:
        case str():
            return PLACEHOLDER.sub(lambda found: _placeholder(found[1], values), template)
        case Mapping():
            if "$param" in template:
                name = template["$param"]
                if len(template) != 1 or name not in values:
                    raise BadPlaybook(f"$param {name!r} names no parameter, or has other keys beside it")
                return values[name]
            return {key: _fill(value, values, depth + 1) for key, value in template.items()}
        case list():
            return [_fill(value, values, depth + 1) for value in template]
        case _:
            return template


def _placeholder(inside: str, values: Mapping[str, str]) -> str:
    name, *filters = (part.strip() for part in inside.split("|"))
    if name not in values:
        raise BadPlaybook(f"${{{inside}}} names no parameter")
    text = values[name]
    for wanted in filters:
        if wanted not in FILTERS:
            raise BadPlaybook(f"${{{inside}}}: filters are {', '.join(FILTERS)}")
        text = FILTERS[wanted](text)
    return text
