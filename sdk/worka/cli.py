"""The command line `worka`: ask for runs, see why they wait, and answer approvals.

Exit codes: 0 done, 1 refused (or the watched run did not succeed), 2 used wrongly or not configured, 3 not reached.
"""

import time
from typing import Annotated

import typer
from rich.live import Live

from worka import cli_outside
from worka.cli_config import client_from
from worka.cli_options import REFUSED, As, AsJson, Because, Url, err, out, reported
from worka.cli_screens import (
    approval_screen,
    approvals_table,
    event_line,
    outcome_text,
    print_json,
    run_screen,
    runs_table,
    spend_of,
    spend_screen,
    text,
)
from worka.client import Client
from worka.errors import ApiError, Unreachable
from worka.rows import Approval, Run

LOOK_AGAIN_S = 3.0

app = typer.Typer(help="Ask for governed runs and answer their approvals.", no_args_is_help=True, add_completion=False)
runs_app = typer.Typer(help="Runs: one per request.", no_args_is_help=True)
approvals_app = typer.Typer(help="What waits for your answer.", no_args_is_help=True)
app.add_typer(runs_app, name="runs")
app.add_typer(approvals_app, name="approvals")
for name, group in cli_outside.GROUPS.items():
    app.add_typer(group, name=name)

RunName = Annotated[str, typer.Argument(help="The run's number or id.", metavar="RUN")]
GateName = Annotated[str, typer.Argument(help="The approval's id, or the number of its run.", metavar="APPROVAL")]


@runs_app.command("start")
@reported
def start_run(
    request: Annotated[str, typer.Argument(help="What you want, in a sentence.")],
    key: Annotated[str, typer.Option("--key", help="Idempotency key: starting twice with one key starts once.")] = "",
    watch: Annotated[bool, typer.Option("--watch", help="Stay and show what happens until the run ends.")] = False,
    url: Url = "", person: As = "", as_json: AsJson = False,
) -> None:  # fmt: skip
    """Ask for a run."""
    with client_from(url=url, person=person) as client:
        run = client.runs.create(request, idempotency_key=key or None)
        if watch:
            _watch(client, run.id, as_json=as_json)
        elif as_json:
            print_json(out, run.raw)
        else:
            out.print(text(f"run #{run.number} is {run.state}"))


@runs_app.command("list")
@reported
def list_runs(
    state: Annotated[str, typer.Option("--state", help="Only runs in this state.")] = "",
    limit: Annotated[int, typer.Option("--limit", min=1, max=10_000)] = 20,
    url: Url = "", person: As = "", as_json: AsJson = False,
) -> None:  # fmt: skip
    """List runs, newest first."""
    with client_from(url=url, person=person) as client:
        runs = list(client.runs.list(state=state or None, limit=limit))
    if as_json:
        print_json(out, [run.raw for run in runs])
    else:
        out.print(runs_table(runs) if runs else "There are no runs.")


@runs_app.command("show")
@reported
def show_run(run: RunName, url: Url = "", person: As = "", as_json: AsJson = False) -> None:
    """Show a run, its steps and its outcome."""
    with client_from(url=url, person=person) as client:
        found = client.runs.get(run)
        steps = client.runs.steps(found.id)
    if as_json:
        print_json(out, {**found.raw, "steps": [step.raw for step in steps]})
    else:
        out.print(run_screen(found, steps))


@runs_app.command("why")
@reported
def why_run(run: RunName, url: Url = "", person: As = "", as_json: AsJson = False) -> None:
    """Say in one sentence why a run is where it is."""
    with client_from(url=url, person=person) as client:
        why = client.runs.why(run)
    if as_json:
        print_json(out, {"code": why.code, "sentence": why.sentence})
    else:
        out.print(text(why.sentence), soft_wrap=True)


@runs_app.command("events")
@reported
def run_events(run: RunName, url: Url = "", person: As = "", as_json: AsJson = False) -> None:
    """Tell the whole story of a run, oldest first."""
    with client_from(url=url, person=person) as client:
        events = list(client.runs.events(run))[::-1]
    if as_json:
        print_json(out, [event.raw for event in events])
    else:
        for event in events:
            out.print(event_line(event), soft_wrap=True)


@runs_app.command("spend")
@reported
def run_spend(run: RunName, url: Url = "", person: As = "", as_json: AsJson = False) -> None:
    """Show what a run asked of models and what that cost, oldest first."""
    with client_from(url=url, person=person) as client:
        calls = list(client.runs.model_calls(run))[::-1]
    if as_json:
        print_json(out, {**spend_of(calls), "items": [call.raw for call in calls]})
    else:
        out.print(spend_screen(calls) if calls else "The run asked no model.")


@runs_app.command("watch")
@reported
def watch_run(run: RunName, url: Url = "", person: As = "", as_json: AsJson = False) -> None:
    """Show a run live until it ends; exits with 0 only if it succeeded."""
    with client_from(url=url, person=person) as client:
        _watch(client, run, as_json=as_json)


@runs_app.command("cancel")
@reported
def cancel_run(run: RunName, because: Because, url: Url = "", person: As = "", as_json: AsJson = False) -> None:
    """Cancel a run; its agents lose their tokens at once."""
    with client_from(url=url, person=person) as client:
        found = client.runs.cancel(run, because=because)
    if as_json:
        print_json(out, found.raw)
    else:
        out.print(text(f"run #{found.number} is {found.state}"))


@approvals_app.command("list")
@reported
def list_approvals(url: Url = "", person: As = "", as_json: AsJson = False) -> None:
    """List what waits for your answer."""
    with client_from(url=url, person=person) as client:
        approvals = list(client.approvals.list())
    if as_json:
        print_json(out, [approval.raw for approval in approvals])
    else:
        out.print(approvals_table(approvals) if approvals else "Nothing waits for you.")


@approvals_app.command("show")
@reported
def show_approval(approval: GateName, url: Url = "", person: As = "", as_json: AsJson = False) -> None:
    """Show exactly what would happen, who asked, and the digest that a vote binds to."""
    with client_from(url=url, person=person) as client:
        found = _approval(client, approval)
    if as_json:
        print_json(out, found.raw)
    else:
        out.print(approval_screen(found))


Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask again after showing the payload.")]
Digest = Annotated[str, typer.Option("--digest", help="Vote only if the payload still has this digest.")]


@approvals_app.command("approve")
@reported
def approve(
    approval: GateName, because: Because, yes: Yes = False, digest: Digest = "",
    url: Url = "", person: As = "", as_json: AsJson = False,
) -> None:  # fmt: skip
    """Show the exact payload, then approve that payload and no other."""
    _vote("approve", approval, because, yes=yes, digest=digest, url=url, person=person, as_json=as_json)


@approvals_app.command("reject")
@reported
def reject(
    approval: GateName, because: Because, yes: Yes = False, digest: Digest = "",
    url: Url = "", person: As = "", as_json: AsJson = False,
) -> None:  # fmt: skip
    """Show the exact payload, then reject it; the run ends refused."""
    _vote("reject", approval, because, yes=yes, digest=digest, url=url, person=person, as_json=as_json)


def _vote(
    verdict: str, approval: str, because: str, *, yes: bool, digest: str, url: str, person: str, as_json: bool
) -> None:  # fmt: skip
    if not because.strip():
        raise typer.BadParameter("a vote needs a reason", param_hint="--because")
    with client_from(url=url, person=person) as client:
        found = _approval(client, approval)
        # With --json the screen goes to stderr: stdout is for the program, and the person still sees what they answer.
        (err if as_json else out).print(approval_screen(found))
        if found.payload is None:
            raise ApiError(
                403,
                {
                    "code": "not_asked",
                    "detail": "you may not see the payload, so there is nothing that you could answer",
                },
            )
        if digest and digest != found.payload_digest:
            body = {
                "code": "payload_changed",
                "detail": f"the payload has the digest {found.payload_digest}, not {digest}",
            }
            raise ApiError(409, body)
        if not yes and not digest:
            typer.confirm(f"{verdict.capitalize()} exactly this?", abort=True, err=as_json)
        voted = client.approvals.vote(found.id, verdict, because=because, payload_digest=found.payload_digest)
    if as_json:
        print_json(out, voted.raw)
    else:
        out.print(text(f"your vote is in: the approval is {voted.state}"))


def _approval(client: Client, name: str) -> Approval:
    number = name.removeprefix("#")
    if not (number.isascii() and number.isdigit()):
        return client.approvals.get(name)
    waiting = [approval for approval in client.approvals.list() if approval.run_number == int(number)]
    if len(waiting) != 1:
        found = "nothing" if not waiting else "more than one approval"
        raise ApiError(
            404, {"code": "not_found", "detail": f"{found} of run #{number} waits for you; see `worka approvals list`"}
        )
    return client.approvals.get(waiting[0].id)


def _watch(client: Client, name: str, *, as_json: bool) -> None:
    run = client.runs.get(name)
    if as_json:
        said = ""
        while True:
            if run.why.sentence + run.state != said:
                print_json(out, {"number": run.number, "state": run.state, "why": run.raw.get("why")})
                said = run.why.sentence + run.state
            if run.is_final:
                break
            run = _next_look(client, run)
        print_json(out, run.raw)
    elif not out.is_terminal:
        said = ""
        while True:
            if run.why.sentence != said:
                out.print(text(f"#{run.number} {run.state}: {run.why.sentence}"), soft_wrap=True)
                said = run.why.sentence
            if run.is_final:
                break
            run = _next_look(client, run)
        if outcome := outcome_text(run):
            out.print(text(outcome), soft_wrap=True)
    else:
        with Live(console=out, auto_refresh=False) as live:
            while True:
                live.update(run_screen(run, client.runs.steps(run.id)), refresh=True)
                if run.is_final:
                    break
                run = _next_look(client, run)
    if run.state != "succeeded":
        raise typer.Exit(REFUSED)


def _next_look(client: Client, run: Run) -> Run:
    """Return the run again: as soon as something happens to it, and after three seconds at the latest."""
    until = time.monotonic() + LOOK_AGAIN_S
    try:
        for event in client.stream(idle_s=LOOK_AGAIN_S, repeat=False):
            if event.run == run.id or time.monotonic() >= until:
                break
    except (ApiError, Unreachable):
        time.sleep(min(1.0, max(0.0, until - time.monotonic())))
    return client.runs.get(run.id)


def main() -> None:
    """Run the command line."""
    app()
