"""The command line as a test runs it: against the double of the API, as whoever has its key."""

import pytest
from rich.console import Console
from typer.testing import CliRunner

from tests.sdk.api_double import KEY, ApiDouble
from worka import cli, cli_config
from worka.client import Client


@pytest.fixture
def api(monkeypatch):
    double = ApiDouble()
    made: list[tuple[str, str]] = []

    def client(url: str, key: str) -> Client:
        made.append((url, key))
        return Client(url, key, transport=double.transport(), sleep=lambda seconds: None)

    monkeypatch.setattr(cli_config, "Client", client)
    for name in ("WORKA_URL", "WORKA_API_KEY_FILE", "WORKA_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("WORKA_API_KEY", KEY)
    double.clients = made  # type: ignore[attr-defined]
    return double


@pytest.fixture
def worka(api, monkeypatch):
    monkeypatch.setattr("worka.cli.time.sleep", lambda seconds: None)

    def run(*arguments: str, answer: str = "", code: int = 0):
        # A console writes to the stream that was there when it was made.
        monkeypatch.setattr(cli, "out", Console(width=200))
        monkeypatch.setattr(cli, "err", Console(stderr=True, width=200))
        done = CliRunner().invoke(cli.app, arguments, input=answer)
        assert done.exit_code == code, (done.output, done.exception)
        return done

    return run
