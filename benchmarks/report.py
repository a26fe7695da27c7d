"""A repository report from request to outcome, approved at once: real server, real sandboxed agents, real PostgreSQL.

`python -m benchmarks.report` starts `manage.py up` in a folder of its own, asks for the report as the requester would and
approves it as the approver would. The peer is the same work done by hand in one process: the three git commands, no plan, no
sandbox, no gate, no ledger. What lies between is what governing costs.
"""

import json
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
REPORTS, COMMITS = 5, 60
PAUSE_S, AT_MOST_S = 0.1, 120


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def make_repository(path: Path) -> Path:
    """Make a repository with some history; the project's own may be a worktree, which the cage of git does not open."""
    path.mkdir()

    def git(*arguments: str) -> None:
        about = ["-c", "user.name=Ada", "-c", "user.email=ada@example.org"]
        subprocess.run(["git", *about, *arguments], cwd=path, capture_output=True, check=True)

    git("init", "-q")
    for number in range(COMMITS):
        (path / f"{number % 7}.txt").write_text("line\n" * number)
        git("add", ".")
        git("commit", "-q", "-m", f"Change number {number}")
    return path


def start(home: Path, port: int, repository: Path) -> "subprocess.Popen[bytes]":
    """Start `up` on a home of the benchmark's own, and wait until it serves and its agents are ready to run."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("WORKA_", "DATABASE_"))}
    process = subprocess.Popen(
        [sys.executable, "manage.py", "up"],
        cwd=ROOT,
        env=kept
        | {
            "WORKA_HOME": str(home),
            "PORT": str(port),
            "WORKA_LOG_LEVEL": "WARNING",
            "WORKA_REPOSITORY_ROOTS": str(repository),
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    assert process.stdout is not None
    while line := process.stdout.readline():
        if b"Ctrl-C stops" in line:
            return process
    raise SystemExit("up ended before it served")


def by_hand(repository: Path) -> float:
    """Return how many seconds the git commands of a report take without anybody governing them."""
    began = time.perf_counter()
    for arguments in (["log", "--format=%H %an %s"], ["diff", "--numstat", "HEAD~1"], ["shortlog", "-sn", "HEAD"]):
        subprocess.run(["git", *arguments], cwd=repository, capture_output=True, check=True)
    return time.perf_counter() - began


def wait_for(look: Callable[[], Any]) -> Any:
    """Look until there is something, and return it."""
    until = time.monotonic() + AT_MOST_S
    while not (found := look()):
        if time.monotonic() > until:
            raise SystemExit(f"nothing came within {AT_MOST_S} s")
        time.sleep(PAUSE_S)
    return found


def report(url: str, keys: dict[str, str], repository: Path) -> tuple[float, float]:
    """Ask for a report and approve its document at once; return the seconds until it asked, and from the yes to the outcome."""
    from worka import Client

    with Client(url, keys["requester"]) as requester, Client(url, keys["approver"]) as approver:
        began = time.perf_counter()
        run = requester.runs.create(f"Report on the repository {repository} since HEAD~50")
        asked = wait_for(lambda: list(approver.approvals.list()))
        until_asked = time.perf_counter() - began
        approval = approver.approvals.get(asked[0].id)
        began = time.perf_counter()
        approver.approvals.vote(approval.id, "approve", because="a benchmark", payload_digest=approval.payload_digest)
        found = wait_for(lambda: run_if_final(requester, run.number))
        if found.state != "succeeded":
            raise SystemExit(f"the run {found.state}: {found.reason}")
        return until_asked, time.perf_counter() - began


def run_if_final(client: Any, number: int) -> Any:
    run = client.runs.get(number)
    return run if run.is_final else None


def main() -> None:
    home = Path(tempfile.mkdtemp(prefix="wb-"))
    port = free_port()
    repository = make_repository(home.with_suffix(".d"))
    process = start(home, port, repository)
    try:
        people = json.loads((home / "credentials.json").read_text(encoding="utf-8"))["people"]
        keys = {person["username"]: person["api_key"] for person in people}
        url = f"http://127.0.0.1:{port}"
        first = report(url, keys, repository)
        print(f"first report after the start   {sum(first):6.2f} s  (agents' packages are made ready meanwhile)")
        taken = [report(url, keys, repository) for _ in range(REPORTS)]
        for name, seconds in (
            ("request until people are asked", [one for one, _ in taken]),
            ("yes until the outcome", [other for _, other in taken]),
            ("request to outcome", [one + other for one, other in taken]),
            ("peer: git by hand, ungoverned", [by_hand(repository) for _ in range(REPORTS)]),
        ):
            print(f"{name:31}p50 {statistics.median(seconds):6.2f} s   max {max(seconds):6.2f} s")
        print("goal: request to outcome below 8 s")
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(60)
        for folder in (home, repository):
            shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
