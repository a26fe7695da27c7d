"""An installation that can be killed anywhere, and people who use it as anybody does: over HTTP."""

import contextlib
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.installation import Installation
from worka.client import Client
from worka.errors import Unreachable

PATIENCE_S = 120
TRAPS = ("run created", "plan stored", "call intended", "call performed", "result received", "result stored")


class Mortal(Installation):
    """An installation whose server has traps (see server.py). What it does is real: PostgreSQL, agents, sandbox."""

    program = ("tests/crash/server.py",)

    def __init__(self, repositories: Path) -> None:
        super().__init__()
        self.repositories = repositories
        self.clients: dict[str, Client] = {}

    @property
    def environment(self) -> dict[str, str]:
        return super().environment | {"WORKA_REPOSITORY_ROOTS": str(self.repositories), "WORKA_TICK_INTERVAL_S": "0.2"}

    def as_(self, who: str) -> Client:
        """Return the client of one of the seeded people; a server that is down is asked once."""
        if who not in self.clients:
            key = next(each["api_key"] for each in self.credentials()["people"] if each["username"] == who)
            self.clients[who] = Client(self.url, key, sleep=lambda _: None)
        return self.clients[who]

    def set_trap(self, point: str) -> None:
        (self.home / "die_at").write_text(point)

    def wait_for_death(self) -> None:
        """Wait until the server has killed itself at the trap, and see that it was killed."""
        assert self.process is not None
        try:
            ended = self.process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            raise AssertionError(
                f"it lives, and did not come to {(self.home / 'die_at').read_text()!r}: {self.whys()}"
            ) from None
        assert ended == -signal.SIGKILL, self.said()
        assert not (self.home / "die_at").exists()

    def letters(self) -> list[str]:
        box = self.home / "letters"
        return box.read_text().splitlines() if box.exists() else []

    def kill_everything(self) -> None:
        """Kill the server, every agent and PostgreSQL with all its children, as a power cut does."""
        self.kill()
        whole = psutil.Process(self.postgres.process().pid)
        agents = [
            each for each in psutil.process_iter(["cmdline"]) if str(self.home) in " ".join(each.info["cmdline"] or ())
        ]
        for process in [*agents, *whole.children(recursive=True), whole]:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()

    def until(self, what: Callable[[], Any]) -> Any:
        """Ask again and again until there is an answer that counts."""
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            with contextlib.suppress(Unreachable):
                if found := what():
                    return found
            time.sleep(0.15)
        raise AssertionError(f"it never came to that: {self.whys()}\n{self.said()}")

    def whys(self) -> list[str]:
        """Say for a failing test where every run stands."""
        return [f"#{run.number} {run.state}: {run.why.sentence}" for run in self.as_("owner").runs.list()]

    def gate(self, run: str) -> Any:
        """Wait for the approval that a run asks for, and return it as the approver sees it."""
        ask = self.as_("approver").ask
        listed = self.until(lambda: [each for each in ask("GET", "/v1/approvals")["items"] if each["run"] == run])
        return ask("GET", f"/v1/approvals/{listed[0]['id']}")

    def approve(self, gate: Any, *, may_die: bool = False) -> None:
        """Approve; with `may_die` the server may die of what the vote sets off before it has answered, or after."""
        with contextlib.suppress(*[Unreachable] * may_die):
            self.as_("approver").ask(
                "POST", f"/v1/approvals/{gate['id']}/vote",
                json={"verdict": "approve", "because": "looked at it", "payload_digest": gate["payload_digest"]},
            )  # fmt: skip

    def end_of(self, run: str) -> Any:
        """Wait until a run is over, and return it."""
        return self.until(lambda: (found := self.as_("requester").runs.get(run)).is_final and found)

    def calls(self, run: str) -> dict[str, Any]:
        return {each["call_id"]: each for each in self.as_("owner").pages(f"/v1/runs/{run}/invocations")}

    def verify(self) -> "subprocess.CompletedProcess[str]":
        return self.command("verify_ledger")


@pytest.fixture(scope="module")
def repository() -> Any:
    """A small repository with a history."""
    root = Path(tempfile.mkdtemp(prefix="wrepo-"))
    found = root / "orders"
    found.mkdir()

    def git(*arguments: str) -> None:
        about = ["-c", "user.name=Ann", "-c", "user.email=ann@example.org", "-c", "commit.gpgsign=false"]
        subprocess.run(["git", *about, *arguments], cwd=found, check=True, capture_output=True)

    git("init", "-q", "-b", "main")
    for number in range(3):
        (found / "a.txt").write_text(f"{number}\n")
        git("add", ".")
        git("commit", "-q", "-m", f"Change {number}")
        if not number:
            git("tag", "v1")
    root.chmod(0o755)
    return found


@pytest.fixture(scope="module")
def made(repository: Path) -> Any:
    installation = Mortal(repository.parent)
    yield installation
    for client in installation.clients.values():
        client.close()
    installation.remove()


@pytest.fixture
def installation(made: Mortal) -> Iterator[Mortal]:
    """The installation, serving; what its server said is shown with a failure."""
    (made.home / "die_at").unlink(missing_ok=True)
    if made.process is None or made.process.poll() is not None:
        made.start()
    (made.home / "letters").unlink(missing_ok=True)
    yield made
    print(made.said())
