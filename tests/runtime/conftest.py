"""A process backend of the test's own, with agents written in a few lines."""

import socket
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest

from runtime.backend import BackendSettings
from runtime.backends.process import Process
from runtime.core.jobs import JobSpec, Limits, Phase, Seen
from runtime.sandbox import identity

PATIENCE_S = 30
MIB = 2**20


@dataclass
class Workbench:
    """Starts agents written in a few lines of Python and waits for what becomes of them."""

    backend: Process
    home: Path
    door: Path
    started: list[str] = field(default_factory=list)

    def start(self, code: str, *, name: str = "", token: str = "the-token", **limits: int) -> str:
        name = name or f"worka-test-{len(self.started)}"
        self.started.append(name)
        argv = ("python", "-c", textwrap.dedent(code))
        self.backend.submit(JobSpec(name, argv, {"WORKA_JOB": name}, token, Limits(**limits)))
        return name

    def ended(self, name: str, backend: Process | None = None) -> Seen:
        until = time.monotonic() + PATIENCE_S
        while (seen := (backend or self.backend).observe(name)).phase is not Phase.ENDED:
            assert time.monotonic() < until, f"{name} never ended; it printed {self.backend.logs(name)[-2000:]}"
            time.sleep(0.01)
        return seen

    def run(self, code: str, **kwargs: int | str) -> tuple[Seen, str]:
        """Run an agent to its end, and return what was seen and what it printed."""
        name = self.start(code, **kwargs)  # type: ignore[arg-type]
        return self.ended(name), self.backend.logs(name)

    def printed(self, name: str, text: str) -> str:
        """Wait until the agent has printed the text."""
        until = time.monotonic() + PATIENCE_S
        while text not in (log := self.backend.logs(name)):
            assert time.monotonic() < until, f"{name} printed only {log[-2000:]!r}; {self.backend.observe(name)}"
            time.sleep(0.01)
        return log


def processes_of(name: str) -> list[psutil.Process]:
    """Return what runs on this machine with the job's name in its environment."""
    found = []
    for process in psutil.process_iter():
        try:
            if f"WORKA_JOB={name}" in "".join(f"{k}={v}\n" for k, v in process.environ().items()):
                found.append(process)
        except (psutil.Error, OSError):
            continue
    return found


def gone(pids: list[int]) -> bool:
    """Wait until none of the processes runs any more, and say whether that came to be."""
    until = time.monotonic() + 10
    while time.monotonic() < until:
        if not any(identity.start_time(pid) for pid in pids):
            return True
        time.sleep(0.01)
    return False


def settings_in(home: Path, **more: object) -> BackendSettings:
    (home / "door").mkdir(exist_ok=True)
    return BackendSettings(home / "jobs", home / "runtime", home / "door" / "door.sock", **more)  # type: ignore[arg-type]


@pytest.fixture
def make_workbench(tmp_path: Path) -> Iterator[Callable[..., Workbench]]:
    made: list[Workbench] = []

    def make(home: Path = tmp_path, **more: object) -> Workbench:
        settings = settings_in(home, **more)
        made.append(Workbench(Process.from_settings(settings), home, settings.door_socket))
        return made[-1]

    yield make
    for bench in made:
        for name in bench.backend.names():
            bench.backend.forget(name)


@pytest.fixture
def bench(make_workbench: Callable[..., Workbench]) -> Workbench:
    return make_workbench()


@pytest.fixture(params=["by control group, where there is one", "by a watching supervisor"])
def each_way(request: pytest.FixtureRequest, bench: Workbench) -> Workbench:
    """The same walls with memory and processes held in both ways that a machine may offer."""
    if "watching" in request.param:
        bench.backend.prepare()
        bench.backend._groups = {}
    return bench


@dataclass
class Listener:
    """A Unix socket that says hello to whoever connects, and remembers who it was."""

    path: str
    server: socket.socket
    peers: list[int] = field(default_factory=list)

    def serve(self) -> None:
        while True:
            try:
                peer, _ = self.server.accept()
            except OSError:
                return
            with peer:
                credentials = peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
                self.peers.append(int.from_bytes(credentials[4:8], "little"))
                peer.sendall(b"hello")


@pytest.fixture
def listen() -> Iterator[Callable[[str], Listener]]:
    listeners: list[Listener] = []

    def start(path: str) -> Listener:
        server = socket.socket(socket.AF_UNIX)
        server.bind(path)
        server.listen()
        if not path.startswith("\0"):
            Path(path).chmod(0o666)
        listener = Listener(path, server)
        listeners.append(listener)
        threading.Thread(target=listener.serve, daemon=True).start()
        return listener

    yield start
    for listener in listeners:
        # Closing alone does not wake a thread that waits in accept().
        listener.server.shutdown(socket.SHUT_RDWR)
        listener.server.close()
