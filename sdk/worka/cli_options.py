"""What every command of the command line takes alike, where it prints, and how it ends when it is refused."""

from collections.abc import Callable
from functools import wraps
from typing import Annotated, ParamSpec

import typer
from rich.console import Console

from worka.cli_screens import error_lines, print_json, text
from worka.errors import ApiError, Misconfigured, Unreachable

REFUSED, USAGE, UNREACHABLE = 1, 2, 3

P = ParamSpec("P")

out = Console()
err = Console(stderr=True)

Url = Annotated[str, typer.Option("--url", help="Where Worka is. Default: WORKA_URL, else http://127.0.0.1:8000.")]
As = Annotated[str, typer.Option("--as", help="Act as this person of $WORKA_HOME/credentials.json.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
Because = Annotated[str, typer.Option("--because", help="The reason; it goes into the ledger.")]


def reported(command: Callable[P, None]) -> Callable[P, None]:
    """Turn the errors of a command into a sentence on stderr and an exit code."""

    @wraps(command)
    def run(*arguments: P.args, **options: P.kwargs) -> None:
        try:
            command(*arguments, **options)
        except ApiError as error:
            if options.get("as_json"):
                print_json(err, error.body)
            else:
                err.print(error_lines(error))
            raise typer.Exit(REFUSED) from None
        except Unreachable as error:
            err.print(text(error, "red"))
            raise typer.Exit(UNREACHABLE) from None
        except Misconfigured as error:
            err.print(text(error, "red"))
            raise typer.Exit(USAGE) from None
        except KeyboardInterrupt:
            raise typer.Exit(130) from None

    return run
