"""An installation in a folder of its own, whose server is a real process."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from worka_site.env import PROJECT
from worka_site.postgres import Postgres

STARTS_WITHIN_S = 90
STOPS_WITHIN_S = 45


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Installation:
    """Start it, ask it, kill it."""

    program = ("manage.py", "up")

    def __init__(self) -> None:
        # Short: sockets lie in it.
        self.home = Path(tempfile.mkdtemp(prefix="wup-"))
        self.port = free_port()
        self.process: subprocess.Popen[bytes] | None = None
        self.output = self.home.with_suffix(".log")
        self.postgres = Postgres(self.home / "pg", self.home / "run" / "pg", self.home / "logs" / "postgres.log")

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def environment(self) -> dict[str, str]:
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("WORKA_", "DJANGO_", "DATABASE_", "PYTEST_"))
        }
        agents = {"WORKA_RUNTIME_FOLDER": os.environ["WORKA_RUNTIME_FOLDER"]}
        return kept | agents | {"WORKA_HOME": str(self.home), "PORT": str(self.port), "WORKA_LOG_LEVEL": "WARNING"}

    def command(self, *arguments: str, **extra: str) -> "subprocess.CompletedProcess[str]":
        """Run a management command to its end."""
        return subprocess.run(
            [sys.executable, "manage.py", *arguments],
            cwd=PROJECT, env=self.environment | extra, capture_output=True, text=True, check=False, timeout=STARTS_WITHIN_S,
        )  # fmt: skip

    def start(self, **extra: str) -> str:
        """Start `up`, wait until it serves, and return what it said."""
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, *self.program],
                cwd=PROJECT, env=self.environment | extra, stdout=output, stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip
        deadline = time.monotonic() + STARTS_WITHIN_S
        while "Ctrl-C stops everything" not in self.said():
            assert self.process.poll() is None, f"up ended:\n{self.said()}"
            assert time.monotonic() < deadline, f"up does not serve:\n{self.said()}"
            time.sleep(0.02)
        return self.said()

    def said(self) -> str:
        return self.output.read_text(encoding="utf-8") if self.output.exists() else ""

    def stop(self, number: int = signal.SIGINT) -> int:
        """Ask it to stop, as Ctrl-C does, and return its exit code."""
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(STOPS_WITHIN_S)

    def kill(self) -> None:
        """Kill the server as nothing can be caught."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def credentials(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.home / "credentials.json").read_text(encoding="utf-8"))
        return found

    def remove(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.kill()
        self.postgres.stop()
        shutil.rmtree(self.home, ignore_errors=True)
        self.output.unlink(missing_ok=True)
