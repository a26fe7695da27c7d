"""Commands about what lies outside: what models have cost, what agents remember, what is connected."""

from enum import StrEnum
from typing import Annotated

import typer

from worka.cli_config import client_from
from worka.cli_options import As, AsJson, Because, Url, out, reported
from worka.cli_screens import connections_table, memories_table, print_json, sums_screen, text

models_app = typer.Typer(help="Models: what they have cost.", no_args_is_help=True)
memories_app = typer.Typer(help="What agents remember, and erasing it.", no_args_is_help=True)
connections_app = typer.Typer(help="The accounts that calls go out through.", no_args_is_help=True)
GROUPS = {"models": models_app, "memories": memories_app, "connections": connections_app}


class By(StrEnum):
    DAY = "day"
    AGENT = "agent"
    MODEL = "model"
    RUN = "run"


@models_app.command("spend")
@reported
def model_spend(
    by: Annotated[By, typer.Option("--by", help="What is summed by.")] = By.DAY,
    days: Annotated[int, typer.Option("--days", min=1, max=366, help="How many days back.")] = 14,
    url: Url = "", person: As = "", as_json: AsJson = False,
) -> None:  # fmt: skip
    """Show what models have cost, of the runs that you see."""
    with client_from(url=url, person=person) as client:
        told = client.model_spend(by=by, days=days)
    if as_json:
        print_json(out, told)
    else:
        out.print(sums_screen(told) if told["items"] else "No model was asked.")


@memories_app.command("list")
@reported
def list_memories(
    agent: Annotated[str, typer.Option("--agent", help="Only of this agent.")] = "",
    words: Annotated[str, typer.Option("--words", help="Only with these words in them.")] = "",
    limit: Annotated[int, typer.Option("--limit", min=1, max=10_000)] = 20,
    url: Url = "", person: As = "", as_json: AsJson = False,
) -> None:  # fmt: skip
    """List what agents remember, newest first; for owners and admins."""
    with client_from(url=url, person=person) as client:
        found = list(client.memories(agent=agent, words=words, limit=limit))
    if as_json:
        print_json(out, found)
    else:
        out.print(memories_table(found) if found else "Nothing is remembered.")


@memories_app.command("forget")
@reported
def forget_memories(
    because: Because,
    run: Annotated[str, typer.Option("--run", help="A run, by number or id.")] = "",
    of: Annotated[str, typer.Option("--person", help="A person, by user name.", metavar="USER")] = "",
    agent: Annotated[str, typer.Option("--agent", help="All that this agent remembers.")] = "",
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask again.")] = False,
    url: Url = "", person: As = "", as_json: AsJson = False,
) -> None:  # fmt: skip
    """Erase for good what agents remember of a run, of a person's runs, or all of one agent's."""
    named = {"run": run.removeprefix("#"), "person": of, "namespace": f"agent:{agent}" if agent else ""}
    about = {name: value for name, value in named.items() if value}
    if len(about) != 1:
        raise typer.BadParameter("name one of --run, --person and --agent")
    if not yes:
        typer.confirm("Erased memories do not come back. Go on?", abort=True, err=as_json)
    with client_from(url=url, person=person) as client:
        count = client.forget(because=because, **about)
    if as_json:
        print_json(out, {"forgotten": count})
    else:
        out.print(text(f"{count} {'memory is' if count == 1 else 'memories are'} erased"))


@connections_app.command("list")
@reported
def list_connections(url: Url = "", person: As = "", as_json: AsJson = False) -> None:
    """List which accounts of which services are connected."""
    with client_from(url=url, person=person) as client:
        found = client.connections()
    if as_json:
        print_json(out, found)
    else:
        out.print(connections_table(found) if found else "Nothing is connected.")
