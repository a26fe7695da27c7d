"""How the command line shows things. Texts are strangers': they are printed as they are, and never act on the terminal."""

import json
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.panel import Panel
from rich.table import Column, Table
from rich.text import Text

from worka.errors import ApiError
from worka.rows import Approval, Event, ModelCall, Run, Step

COLOURS = {
    "succeeded": "green", "approved": "green", "allowed": "green", "accepted": "green",
    "running": "cyan", "planning": "cyan", "ready": "cyan",
    "held": "yellow", "waiting": "yellow", "suspended": "yellow", "unknown": "yellow", "lost": "yellow",
    "failed": "red", "refused": "red", "rejected": "red", "denied": "red", "expired": "red",
}  # fmt: skip
LONGEST_CONTENT = 20_000


def plain(value: Any) -> str:
    """Return text without what a terminal would act upon or hide; line breaks stay."""
    return "".join(
        character
        if character == "\n" or unicodedata.category(character) not in {"Cc", "Cf", "Cs"}
        else "\N{REPLACEMENT CHARACTER}"
        for character in str(value)
    )


def text(value: Any, style: str = "") -> Text:
    """Return untrusted text for a cell or a line; nothing in it is markup."""
    return Text(plain(value), style=style)


def line(value: Any, style: str = "") -> Text:
    """Return untrusted text on one line."""
    return Text(" ".join(plain(value).split()), style=style)


def state(name: str) -> Text:
    """Return a state in its colour."""
    return text(name, COLOURS.get(name, ""))


def when(moment: str) -> Text:
    """Return a time of the API, to the minute."""
    return text(moment[:16].replace("T", " "), "dim")


def as_json(value: Any) -> str:
    """Return JSON in ASCII only, so that no byte of it acts on a terminal."""
    return json.dumps(value, indent=2)


def runs_table(runs: Iterable[Run]) -> Table:
    """Return runs, one a row."""
    table = Table("Run", "State", "Request", "By", "Asked at", box=None, pad_edge=False)
    for run in runs:
        table.add_row(
            f"#{run.number}",
            state(run.state),
            line(run.request[:120]),
            line(run.requester.removeprefix("user:")),
            when(run.created_at),
        )
    return table


def run_screen(run: Run, steps: Sequence[Step]) -> RenderableType:
    """Return one run: what it is, why it is where it is, and its steps."""
    head = Table.grid(padding=(0, 2))
    head.add_row(text(f"Run #{run.number}", "bold"), state(run.state))
    head.add_row("Asked", line(f"{run.request[:300]}"))
    if run.requester:
        head.add_row("By", line(run.requester.removeprefix("user:")))
    if run.why.sentence:
        head.add_row("Why", line(run.why.sentence))
    parts: list[RenderableType] = [head]
    if steps:
        table = Table("Step", "State", "Agent", "Objective", "Attempt", box=None, pad_edge=False)
        for step in steps:
            table.add_row(
                str(step.sequence), state(step.state), line(step.agent), line(step.objective), str(step.attempt or "")
            )
        parts += ["", table]
    outcome = outcome_text(run)
    if outcome:
        parts += ["", Panel(text(outcome), title="Outcome", title_align="left")]
    return Group(*parts)


def outcome_text(run: Run) -> str:
    """Return what a run answers to whoever asked, as text."""
    outcome = run.outcome
    output = outcome.get("output") if isinstance(outcome, Mapping) else None
    if isinstance(output, Mapping) and isinstance(output.get("text"), str):
        return str(output["text"])
    return "" if not outcome else outcome if isinstance(outcome, str) else as_json(outcome)


def spend_screen(calls: Sequence[ModelCall]) -> RenderableType:
    """Return what a run asked of models, oldest first, and what it cost together."""
    table = Table(
        "Asked at", "Agent", "Model", Column("In", justify="right"), Column("Out", justify="right"),
        Column("US dollars", justify="right"), "State", box=None, pad_edge=False,
    )  # fmt: skip
    for call in calls:
        table.add_row(
            when(call.created_at),
            line(call.agent),
            line(call.model),
            f"{call.tokens_in:,}",
            f"{call.tokens_out:,}",
            "" if call.state == "running" else f"{call.cost_usd:,.6f}",
            Text.assemble(state(call.state), line(f" {call.error}" if call.error else "")),
        )
    used = spend_of(calls)
    total = f"{used['calls']:,} {'call' if used['calls'] == 1 else 'calls'}"
    total += f", {used['tokens_in']:,} tokens in, {used['tokens_out']:,} out, ${Decimal(used['cost_usd']):,.6f}"
    if waiting := Decimal(used["reserved_usd"]):
        total += f", and at most ${waiting:,.6f} for what is being asked"
    return Group(table, "", text(total, "bold"))


def spend_of(calls: Sequence[ModelCall]) -> dict[str, Any]:
    """Return what calls of models have used together; money is text, so that no digit of it is lost."""
    return {
        "calls": len(calls),
        "tokens_in": sum(call.tokens_in for call in calls),
        "tokens_out": sum(call.tokens_out for call in calls),
        "cost_usd": str(sum((call.cost_usd for call in calls), Decimal(0))),
        "reserved_usd": str(sum((call.reserved_usd for call in calls if call.state == "running"), Decimal(0))),
    }


def sums_screen(told: Mapping[str, Any]) -> RenderableType:
    """Return what models have cost, line by line as it was summed, and together."""
    table = Table(
        str(told["by"]).capitalize(), *(Column(name, justify="right") for name in ("Calls", "In", "Out", "US dollars")),
        box=None, pad_edge=False,
    )  # fmt: skip
    for each in told["items"]:
        name = f"#{each['name']}" if told["by"] == "run" else each["name"]
        table.add_row(line(name), *_sums_of(each))
    table.add_row(text("together", "bold"), *_sums_of(told["total"]))
    return table


def _sums_of(used: Mapping[str, Any]) -> list[str]:
    counts = [f"{int(used[name]):,}" for name in ("calls", "tokens_in", "tokens_out")]
    return [*counts, f"{Decimal(str(used['cost_usd'])):,.6f}"]


def memories_table(memories: Iterable[Mapping[str, Any]]) -> Table:
    """Return what agents remember, one memory a row."""
    table = Table("Since", "Agent", "Run", "Asked by", "Memory", box=None, pad_edge=False)
    for each in memories:
        agent, asker = (str(each[name]).partition(":")[2] for name in ("namespace", "requester"))
        since = when(str(each["created_at"]))
        table.add_row(since, line(agent), f"#{each['run_number']}", line(asker), line(str(each["text"])[:300]))
    return table


def connections_table(connections: Iterable[Mapping[str, Any]]) -> Table:
    """Return connections, one a row."""
    table = Table("Service", "Account", "Access", "State", "Last used", box=None, pad_edge=False)
    for each in connections:
        used = when(str(each["last_used_at"])) if each.get("last_used_at") else text("never", "dim")
        cells = [line(each[name]) for name in ("service", "account", "access")]
        table.add_row(*cells, state(str(each["state"])), used)
    return table


def approvals_table(approvals: Iterable[Approval]) -> Table:
    """Return waiting approvals, one a row."""
    # An id that is cut cannot be answered.
    table = Table(
        Column("Approval", no_wrap=True, min_width=36), "Run", "What", "Because", "Until", box=None, pad_edge=False
    )
    for approval in approvals:
        number = f"#{approval.run_number}" if approval.run_number else ""
        table.add_row(
            line(approval.id), number, line(approval.subject), line(approval.reason[:120]), when(approval.expires_at)
        )
    return table


def approval_screen(approval: Approval) -> RenderableType:
    """Return one approval whole: the exact payload, what it refers to, who asked and why, and the digest."""
    head = Table.grid(padding=(0, 2))
    head.add_row(text(approval.subject, "bold"), state(approval.state))
    rows = {
        "Run": f"#{approval.run_number}" if approval.run_number else "", "Agent": approval.agent, "Because": approval.reason,
        "Has read": ", ".join(approval.taint), "Until": approval.expires_at,
    }  # fmt: skip
    for name, value in rows.items():
        if value:
            head.add_row(name, line(value))
    for rule in approval.rules:
        if rule.get("effect") == "allow":
            continue
        head.add_row("Rule", line(rule.get("because") or as_json(rule)))
    for lacking in approval.missing:
        group, needed, missing = (lacking.get(name) for name in ("group", "needed", "missing"))
        head.add_row("Asked", line(f"{group}: {missing} of {needed} approvals missing"))
    for vote in approval.votes:
        who, verdict, why = (vote.get(name) for name in ("voter", "verdict", "because"))
        head.add_row("Vote", line(f"{who}: {verdict}, {why}"))
    parts: list[RenderableType] = [
        head,
        "",
        Panel(text(as_json(approval.payload)), title="Exactly what will happen", title_align="left"),
    ]
    for artifact in approval.artifacts:
        content = artifact.get("content")
        title = line(f"{artifact.get('name', 'artifact')} · sha256 {artifact.get('sha256', '')}")
        if isinstance(content, str):
            is_cut = len(content) > LONGEST_CONTENT or artifact.get("truncated")
            cut = content[:LONGEST_CONTENT] + ("\n… (cut here; the digest is of all of it)" if is_cut else "")
            parts.append(Panel(text(cut), title=title, title_align="left"))
        else:
            parts.append(title)
    parts += [Text("payload digest ").append(plain(approval.payload_digest), style="bold")]
    return Group(*parts)


def event_line(event: Event) -> Text:
    """Return one entry of a story as a line."""
    return Text.assemble(when(event.at), "  ", line(event.sentence or f"{event.type} {event.because}"))


def error_lines(error: ApiError) -> Text:
    """Return a refusal: the sentence, its code, everything wrong, and the way out."""
    shown = Text.assemble(line(error.detail, "red"), f" ({plain(error.code)})")
    for fault in error.faults:
        shown.append("\n  ").append(line(fault))
    if error.recovery:
        shown.append("\n").append(line(error.recovery))
    return shown


def print_json(console: Console, value: Any) -> None:
    """Print JSON without any colour, wrapping or markup."""
    console.print(as_json(value), markup=False, highlight=False, soft_wrap=True)
