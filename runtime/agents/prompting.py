"""Prompts of the agents, and how data from others is put beside them: in marked blocks that it cannot close."""

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

PROMPTS = Path(__file__).parent / "prompts"


@dataclass(frozen=True, slots=True)
class Prompt:
    """A prompt and its version; both are told in the job's log."""

    name: str
    version: str
    text: str


@cache
def prompt_of(name: str) -> Prompt:
    """Read an agent's prompt; its first line names its version."""
    first, _, text = (PROMPTS / f"{name}.md").read_text(encoding="utf-8").partition("\n")
    return Prompt(name, first.removeprefix("version:").strip(), text.strip())


def block(mark: str, data: Any, most: int = 60_000) -> str:
    """Return data as JSON inside `<mark>`; no text in it can look like the end of the block, and it has at most `most` characters."""
    text = (
        json.dumps(data, ensure_ascii=False, indent=1)
        if not isinstance(data, str)
        else json.dumps(data, ensure_ascii=False)
    )
    text = text.replace("<", "\\u003c").replace(">", "\\u003e")
    if len(text) > most:
        text = f"{text[:most]} …cut: {len(text) - most:,} characters more"
    return f"<{mark}>\n{text}\n</{mark}>"
