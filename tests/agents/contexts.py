"""Contexts as the door sends them, and the figures of a small history."""

import hashlib
import json
from pathlib import Path
from typing import Any

import yaml

PLAYBOOKS = Path(__file__).resolve().parents[2] / "playbooks"
ROOTS = ["/srv/repos"]


def shipped(name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((PLAYBOOKS / f"{name}.yaml").read_text())
    return loaded


def digest_of(text: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(text, sort_keys=True).encode()).hexdigest()


def planning(
    request: str, *, roots: list[str] | None = None, playbooks: list[dict[str, Any]] | None = None, **more: Any
) -> dict[str, Any]:
    names = ("repository-report", "compare-revisions", "page-summary", "ask-documents")
    texts = [shipped(name) for name in names] if playbooks is None else playbooks
    return {
        "run": {"id": "run-1", "number": 7, "request": request},
        "planning": {
            "attempt": 1, "refused": [], "agents": [], "skills": [],
            "playbooks": [{"name": text.get("name", "?"), "digest": digest_of(text), "text": text} for text in texts],
            "repositories": ROOTS if roots is None else roots, "limits": {"steps": 20, "depth": 8, "attempts": 3}, **more,
        },
        "memories": [],
    }  # fmt: skip


def step(instruction: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "run": {"id": "run-1", "number": 7, "request": "Report"},
        "step": {
            "id": "step-1", "sequence": 1, "objective": "Work", "attempt": 1, "instruction": instruction,
            "allowed_skills": [], "results": {}, "checkpoint": None, "calls": [], **more,
        },
        "limits": {}, "memories": [],
    }  # fmt: skip


def commit(number: int, **more: Any) -> dict[str, Any]:
    return {
        "hash": f"{number:040x}", "short": f"{number:07x}", "author": "Ada", "email": "ada@example.org",
        "at": f"2026-11-{number % 28 + 1:02}T09:00:00+01:00", "subject": f"Change number {number}", "files": 1, "added": 5, "removed": 2,
        **more,
    }  # fmt: skip


def figures(commits: list[dict[str, Any]] | None = None, **more: Any) -> dict[str, Any]:
    commits = [commit(2), commit(9)] if commits is None else commits
    people = sorted({str(one["author"]) for one in commits})
    return {
        "name": "orders",
        "repository": "/srv/repos/orders",
        "since": "v2.3.0",
        "log": {"commits": commits, "total": len(commits), "truncated": False},
        "diffstat": {
            "files": [
                {"path": "orders/totals.py", "added": 1100, "removed": 900, "binary": False},
                {"path": "logo.png", "added": 0, "removed": 0, "binary": True},
            ],
            "files_changed": 2, "added": 2114, "removed": 987, "truncated": False,
        },
        "shortlog": {
            "people": [{"name": name, "email": "a@b.c", "commits": 2, "added": 10, "removed": 4} for name in people],
            "busiest_days": [{"date": "2026-11-10", "commits": 1}, {"date": "2026-11-03", "commits": 1}],
            "commits": len(commits), "first_at": "2026-11-03T09:00:00+01:00", "last_at": "2026-11-10T09:00:00+01:00",
            "truncated": False,
        },
        **more,
    }  # fmt: skip


def page(**more: Any) -> dict[str, Any]:
    return {
        "url": "https://example.com/orders", "status": 200, "media_type": "text/html", "title": "Orders of June",
        "text": "Orders of June\n\nThere were two. Read more.", "headings": [{"level": 1, "text": "Orders of June"}],
        "links": [{"text": "more", "href": "https://example.com/more"}], "truncated": False, **more,
    }  # fmt: skip
