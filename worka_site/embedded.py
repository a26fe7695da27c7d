"""The laptop: what production spreads over processes runs here in one: the web, the agents' door and the tick."""

import asyncio
import contextlib
import os
import signal
import socket
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog
import uvicorn
from django.db import close_old_connections, connections
from starlette.types import ASGIApp

from audit import correlation
from audit.signals import recorded
from worka_site.env import own_socket_folder

log = structlog.get_logger(__name__)

Task = Callable[[], Any]

# Between two rounds that a wake-up asked for: entries come in bursts, and one look serves them all.
SHORTEST_PAUSE_S = 0.01
STREAMS_END_WITHIN_S = 3
# Everything that reaches the folder of the door's socket may connect: jobs run under users of their own.
DOOR_FOLDER_MODE = 0o711
DOOR_SOCKET_MODE = 0o666


@dataclass(frozen=True, slots=True)
class Due:
    """A task of the tick and how many seconds lie at least between two of its turns (0: each round)."""

    task: Task
    every_s: float = 0

    @property
    def name(self) -> str:
        return f"{self.task.__module__}.{self.task.__qualname__}"


class Tick(threading.Thread):
    """Call tasks in turn, at least every `interval_s`, and at once when the ledger has a new entry.

    A task that fails is logged and tried again at the next turn; the others have theirs all the same.
    """

    def __init__(self, name: str, tasks: Sequence[Due], interval_s: float) -> None:
        super().__init__(name=f"tick-{name}", daemon=True)
        self.tasks = tuple(tasks)
        self.interval_s = interval_s
        self.last_round_at = 0.0
        self._bell = threading.Event()
        self._over = threading.Event()
        self._next_turn = dict.fromkeys(self.tasks, 0.0)
        self._put_off: set[Due] = set()

    def run(self) -> None:
        """Work until `stop`."""
        recorded.connect(self.ring, dispatch_uid=self.name)
        try:
            while not self._over.is_set():
                self._bell.clear()
                self.round()
                self._over.wait(SHORTEST_PAUSE_S)
                self._bell.wait(self._seconds_to_wait())
        finally:
            recorded.disconnect(dispatch_uid=self.name)
            connections.close_all()

    def round(self) -> None:
        """Give each task that is due its turn."""
        for due in self.tasks:
            if self._over.is_set():
                return
            if time.monotonic() < self._next_turn[due]:
                self._put_off.add(due)
                continue
            self._put_off.discard(due)
            self._next_turn[due] = time.monotonic() + due.every_s
            close_old_connections()
            try:
                with correlation.bind():
                    due.task()
            except Exception:
                log.exception("task_failed", task=due.name)
        close_old_connections()
        self.last_round_at = time.monotonic()

    def _seconds_to_wait(self) -> float:
        # A task that has just had its turn is not asked at every ring, but soon after its pause, and only if there was a ring.
        soonest = min((self._next_turn[due] for due in self._put_off), default=float("inf"))
        return min(self.interval_s, max(SHORTEST_PAUSE_S, soonest - time.monotonic()))

    def ring(self, **kwargs: Any) -> None:
        """Begin the next round now."""
        self._bell.set()

    def stop(self, within_s: float = 10) -> None:
        """End after the task at hand."""
        self._over.set()
        self._bell.set()
        if self.is_alive():
            self.join(within_s)


def all_ticks(interval_s: float) -> tuple[Tick, ...]:
    """Return the ticks of the work, of the ledger and of what goes elsewhere: neither a slow backend nor a slow sink may hold up sealing."""
    import audit.tasks
    import gateway.idempotency
    import gateway.remembering.writing
    import gateway.tasks
    import gateway.tracing.follow
    import governance.tasks
    import runtime.tasks

    work = [
        Due(governance.tasks.tick),
        Due(runtime.tasks.tick),
        Due(gateway.tasks.tick),
        Due(runtime.tasks.sweep, every_s=30),
        Due(gateway.idempotency.forget_old_answers, every_s=600),
    ]
    # A seal costs a signature and a write outside the data base: not one for each entry of a burst.
    ledger = [Due(audit.tasks.seal_ledger, every_s=0.1)]
    outside = [
        Due(audit.tasks.deliver_sinks, every_s=0.2),
        Due(gateway.tracing.follow.follow_ledger, every_s=1),
        Due(gateway.remembering.writing.remember_runs, every_s=5),
    ]
    return Tick("work", work, interval_s), Tick("ledger", ledger, interval_s), Tick("outside", outside, interval_s)


class PortTaken(Exception):
    """Something else listens on the address already."""


def listen_on_port(host: str, port: int) -> socket.socket:
    """Bind the web's port at once, so that a taken one is found before anything is started."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise PortTaken(
            f"{host}:{port} cannot be used: {error.strerror}. Choose another port: PORT={port + 1} make up"
        ) from None
    listener.listen(512)
    listener.setblocking(False)
    return listener


def listen_on_socket(path: Path) -> socket.socket:
    """Bind the door's socket, alone in its folder; one that a killed server has left is replaced."""
    own_socket_folder(path.parent, DOOR_FOLDER_MODE)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    # Bound beside and renamed: who connects meets either the old socket or one that has its mode and listens.
    fresh = path.with_name("new")
    fresh.unlink(missing_ok=True)
    listener.bind(str(fresh))
    fresh.chmod(DOOR_SOCKET_MODE)
    listener.listen(512)
    listener.setblocking(False)
    fresh.rename(path)
    return listener


class Server(uvicorn.Server):
    """A web server that leaves signals to whoever runs several of them."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture none."""
        yield


def server_for(app: ASGIApp, *, trusted_proxies: Sequence[str] = ()) -> Server:
    """Return a server for one application, to be given its listening socket."""
    return Server(
        uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            server_header=False,
            lifespan="on",
            proxy_headers=bool(trusted_proxies),
            forwarded_allow_ips=list(trusted_proxies),
            timeout_graceful_shutdown=STREAMS_END_WITHIN_S,
            h11_max_incomplete_event_size=64 * 1024,
        )
    )


async def serve(servers: Sequence[tuple[Server, socket.socket]], *, ready: Callable[[], None]) -> str:
    """Serve until SIGINT or SIGTERM, or until one server ends by itself; return why it ended."""
    async with _stop_signals() as stopped:
        works = [asyncio.create_task(server.serve(sockets=[listener])) for server, listener in servers]
        try:
            if await _all_started(servers, works):
                ready()
            waiting = asyncio.create_task(stopped.wait())
            await asyncio.wait([waiting, *works], return_when=asyncio.FIRST_COMPLETED)
            waiting.cancel()
            why = "asked to stop" if stopped.is_set() else "a server ended by itself"
        finally:
            for server, _ in servers:
                server.should_exit = True
            await asyncio.gather(*works, return_exceptions=True)
        return why


async def _all_started(servers: Sequence[tuple[Server, socket.socket]], works: "Sequence[asyncio.Task[None]]") -> bool:
    while not all(server.started for server, _ in servers):
        if any(work.done() for work in works):
            return False
        await asyncio.sleep(0.005)
    return True


@asynccontextmanager
async def _stop_signals() -> AsyncIterator[asyncio.Event]:
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    # What was told to outlive its terminal (nohup) does.
    wanted = [n for n in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP) if signal.getsignal(n) is not signal.SIG_IGN]

    def stop() -> None:
        # The second one ends at once: whoever presses Ctrl-C twice means it, and nothing is lost.
        if stopped.is_set():
            os._exit(130)
        stopped.set()

    for number in wanted:
        loop.add_signal_handler(number, stop)
    try:
        yield stopped
    finally:
        for number in wanted:
            loop.remove_signal_handler(number)


def backend_problem() -> str:
    """Say why no agent can run here, or nothing."""
    from runtime.dispatch import configured_backend

    return configured_backend().unavailable()


def prepare_agents() -> None:
    """Make ready what all agents run on, so that the first request does not wait for it; a failure is said again by each job."""
    from runtime.backend import SubmitFailed
    from runtime.dispatch import configured_backend

    try:
        configured_backend().prepare()
    except SubmitFailed as error:
        log.warning("agents_not_prepared", error=str(error))


def stop_agents(within_s: float) -> None:
    """Kill every agent that still runs and wait for them to be gone; their rows learn of it at the next start."""
    from runtime.core.jobs import Phase
    from runtime.dispatch import configured_backend

    backend = configured_backend()
    running = [name for name in backend.names() if backend.observe(name).phase is Phase.RUNNING]
    for name in running:
        backend.kill(name)
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline and any(backend.observe(name).phase is Phase.RUNNING for name in running):
        time.sleep(0.05)
