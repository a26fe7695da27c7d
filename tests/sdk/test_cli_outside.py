"""The commands about what models cost, what agents remember and what is connected."""

import json

from tests.sdk.api_double import RUN_ID
from tests.sdk.command_line import api, worka

__all__ = ["api", "worka"]


def test_what_models_cost_is_told_by_what_it_is_summed_by(worka, api):
    shown = worka("models", "spend", "--by", "run", "--days", "30").stdout

    assert [line.split() for line in shown.splitlines()] == [
        ["Run", "Calls", "In", "Out", "US", "dollars"],
        ["#142", "3", "2,702", "40", "1,234.020600"],
        ["together", "3", "2,702", "40", "1,234.020600"],
    ]
    assert json.loads(worka("models", "spend", "--json").stdout)["by"] == "day"
    api.has_spent = False
    assert worka("models", "spend").stdout == "No model was asked.\n"
    worka("models", "spend", "--by", "weather", code=2)


MEMORY = {
    "id": RUN_ID, "namespace": "agent:hari", "text": "Asked: \x1b[31mletters", "run": RUN_ID, "run_number": 142,
    "requester": "user:requester", "taint": [], "created_at": "2026-11-21T08:00:00Z", "expires_at": None,
}  # fmt: skip


def test_memories_are_listed_and_erased_after_a_yes(worka, api):
    api.memories = [MEMORY, {**MEMORY, "namespace": "agent:ernest", "text": "Asked: figures"}]

    shown = worka("memories", "list").stdout

    assert "#142" in shown and "requester" in shown and "\x1b[31m" not in shown
    assert [each["text"] for each in json.loads(worka("memories", "list", "--agent", "ernest", "--json").stdout)] == [
        "Asked: figures"
    ]
    assert worka("memories", "list", "--words", "nothing").stdout == "Nothing is remembered.\n"
    assert (
        worka("memories", "forget", "--run", "#142", "--because", "asked", "--yes").stdout == "2 memories are erased\n"
    )
    assert api.bodies[-1] == {"run": "142", "because": "asked"}
    told = worka("memories", "forget", "--agent", "hari", "--because", "asked", "--yes", "--json").stdout
    assert (json.loads(told), api.bodies[-1]["namespace"]) == ({"forgotten": 2}, "agent:hari")
    sent_before = len(api.requests)
    worka("memories", "forget", "--because", "asked", "--yes", code=2)
    worka("memories", "forget", "--run", "1", "--person", "ada", "--because", "asked", "--yes", code=2)
    worka("memories", "forget", "--person", "ada", "--because", "asked", code=1)  # nobody says yes
    assert len(api.requests) == sent_before


def test_connections_are_listed(worka, api):
    assert worka("connections", "list").stdout == "Nothing is connected.\n"
    api.connections = [
        {"service": "github", "account": "acme-bot", "access": "write", "state": "connected", "last_used_at": None},
        {"service": "mcp.search", "account": "team", "access": "read", "state": "disabled", "last_used_at": "2026-11-21T08:00:00Z"},
    ]  # fmt: skip

    shown = worka("connections", "list").stdout

    assert [line.split() for line in shown.splitlines()[1:]] == [
        ["github", "acme-bot", "write", "connected", "never"],
        ["mcp.search", "team", "read", "disabled", "2026-11-21", "08:00"],
    ]
    assert json.loads(worka("connections", "list", "--json").stdout)[0]["service"] == "github"
