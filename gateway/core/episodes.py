"""Word what an agent remembers of a run: what was asked, how it was planned, what was done with which tools, what came out."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from audit.core.canonical import canonical

LONGEST_PART = 1000
LONGEST_EPISODE = 4000


@dataclass(frozen=True, slots=True)
class StepStory:
    """A step as it went: `result` is what its agent handed in, masked; `skills` are those that it used."""

    agent: str
    objective: str
    skills: tuple[str, ...]
    result: Any


@dataclass(frozen=True, slots=True)
class RunStory:
    """A run that succeeded, in words that are masked already."""

    asked: str
    summary: str
    playbook: str
    planner: str
    outcome: Any
    steps: tuple[StepStory, ...]

    @property
    def agents(self) -> tuple[str, ...]:
        """Return who worked in it, the planner first, each once."""
        return tuple(dict.fromkeys((self.planner, *(step.agent for step in self.steps))))


def episode(story: RunStory, agent: str) -> str:
    """Return what one agent remembers: the planner every step by its objective, the others their own with what came of it."""
    lines = [f"Asked: {_cut(story.asked)}", f"Plan: {_cut(story.summary)}"]
    if story.playbook:
        lines.append(f"Playbook: {story.playbook}")
    for step in story.steps:
        tools = f" with {', '.join(step.skills)}" if step.skills else ""
        if step.agent == agent:
            lines.append(f"Done by {step.agent}{tools}: {_cut(step.objective)}: {_said(step.result)}")
        elif agent == story.planner:
            lines.append(f"Done by {step.agent}{tools}: {_cut(step.objective)}")
    lines.append(f"Outcome: {_said(story.outcome)}")
    return _cut("\n".join(lines), LONGEST_EPISODE)


def _said(value: Any) -> str:
    """Return a result in a line: its summary first, where it has one."""
    if isinstance(value, dict) and isinstance(value.get("summary"), str):
        rest = {key: item for key, item in value.items() if key not in ("summary", "status", "artifacts") and item}
        said: str = value["summary"]
        return _cut(f"{said} {canonical(rest).decode()}" if rest else said)
    return _cut(value if isinstance(value, str) else canonical(value).decode())


def _cut(text: str, most: int = LONGEST_PART) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"


def namespace_of(agent: str) -> str:
    """Return the namespace of an agent's memories."""
    return f"agent:{agent}"


def shortened(texts: Sequence[str], *, most: int, each: int) -> list[str]:
    """Return the first texts that fit into `most` characters together, each cut to `each`."""
    kept: list[str] = []
    left = most
    for text in texts:
        short = _cut(text, each)
        if len(short) > left:
            break
        kept.append(short)
        left -= len(short)
    return kept
