"""Start one job, hold its limits and write down how it ended. Runs detached, outside the sandbox, one process per job.

If the server dies the job goes on; if this process dies the kernel ends the job with it (parent-death signals: this process →
bubblewrap → the sandbox's first process → everything in its process namespace). Those signals are in place once the shim inside
asks for leave to start the agent; it gets leave from a living supervisor only, so there is no moment without one. timeout(1) runs around this process and ends it
should it not keep the time itself.
"""

import fcntl
import json
import os
import select
import signal
import socket
import sys
import time
from contextlib import suppress

from runtime.sandbox import cage, cgroups, identity, tree
from runtime.sandbox.log import HEAD, BoundedLog

WATCH_S = 0.05  # how often memory is summed up where no control group holds it
OOM_LOOK_S = 0.2  # how often a control group is asked whether the kernel has killed in it
FLUSH_S = 0.1  # how old the end of the log may be that a reader sees
DRAIN_S = 1.0
MIB = 2**20
# The descriptors that the command names; `command` writes these numbers into bubblewrap's arguments.
ARGS_FD, TOKEN_FD, FILTER_FD, STATUS_FD = 10, 11, 12, 13
_ABOVE = 64


class Supervisor:
    def __init__(self, folder: str, ready: int) -> None:
        self.folder = folder
        self.ready = ready
        with open(self._path("job.json")) as file:
            self.job = json.load(file)
        self.limits = self.job["limits"]
        self.user: int | None = None
        self.status: int | None = None
        self.exit_code: int | None = None
        self.child = self.peak = 0
        self.reason = self.status_text = ""
        self.started_at = self.began = self.looked = 0.0
        self.log_pipe = self.status_pipe = -1

    def _path(self, name: str) -> str:
        return os.path.join(self.folder, name)

    def _write(self, name: str, value: dict[str, object]) -> None:
        """Write a file so that nobody ever reads half of it, and ring the bell."""
        with open(self._path(name + ".new"), "w") as file:
            json.dump(value, file)
        os.replace(self._path(name + ".new"), self._path(name))
        with suppress(OSError):
            os.utime(self.job["bell"])

    def run(self) -> None:
        lock = os.open(self._path("lock"), os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._tell("taken")
            return
        if os.path.exists(self._path("identity")):
            self._tell("taken")
            return
        if not self._take_user():
            self._tell("full")
            return
        signals, wake = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGTERM, lambda *_: self._end("timed_out" if self._time_left() <= 0 else "killed"))
        self.started_at, self.began = time.time(), time.monotonic()
        self._write("identity", {**identity.identify(os.getpid()), "user": self.user, "started_at": self.started_at})
        self._tell("started")
        try:
            self._start()
            self._watch(signals)
            outcome = self._outcome()
        except Exception as error:  # whatever it was: the job must end, and its end must be told
            tree.end_all(os.getpid())
            outcome = "not_started", f"the sandbox could not be set up: {error}"
        self._finish(*outcome)

    def _tell(self, word: str) -> None:
        with suppress(BrokenPipeError):
            os.write(self.ready, word.encode())
        os.close(self.ready)

    def _time_left(self) -> float:
        return self.began + self.limits["wall_s"] - time.monotonic() if self.began else self.limits["wall_s"]

    def _take_user(self) -> bool:
        """As root, take a user of the pool that no other job on this machine has; the lock goes when this process does."""
        pool = self.job["users"]
        if pool is None:
            return True
        os.makedirs(pool["locks"], mode=0o700, exist_ok=True)
        for uid in range(pool["first"], pool["first"] + pool["count"]):
            lock = os.open(os.path.join(pool["locks"], str(uid)), os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(lock)
            else:
                self.user = uid
                return True
        return False

    def _start(self) -> None:
        # Nothing that the job starts gets away: what loses its parent becomes a child of this process.
        cage.adopt_orphans()
        job = self.job
        self.groups = cgroups.JobGroups(
            job["groups"], job["group_name"], self.limits["memory_bytes"], self.limits["pids"]
        )
        self.log = BoundedLog(self.folder, self.limits["log_bytes"])
        self.log_pipe, log_end = os.pipe2(os.O_CLOEXEC)
        self.status_pipe, status_end = os.pipe2(os.O_CLOEXEC)
        self.leave, asking = socket.socketpair()
        handles = {STATUS_FD: status_end, 0: asking.detach()}
        if job["sandboxed"]:
            with open(self._path("token"), "rb") as file:
                handles[TOKEN_FD] = _filled(file.read())
            handles[ARGS_FD] = _filled(b"".join(os.fsencode(part) + b"\0" for part in job["options"]))
            handles[FILTER_FD] = os.open(job["filter"], os.O_RDONLY | os.O_CLOEXEC)
            # From here on the only copy is the sandbox's own.
            os.unlink(self._path("token"))
        elif self.user is not None:
            for name in ("token", "home"):
                os.chown(self._path(name), self.user, self.job["users"]["first"])
        if not self.reason:
            parent = os.getpid()
            self.child = os.fork()
            if self.child == 0:
                self._become(parent, log_end, handles)
        if self.reason:  # told to stop, perhaps between the question and the fork
            self._end(self.reason)
        for handle in (log_end, *handles.values()):
            os.close(handle)

    def _become(self, parent: int, log_end: int, handles: dict[int, int]) -> None:
        try:
            for number in (signal.SIGTERM, signal.SIGCHLD, signal.SIGINT, signal.SIGQUIT, signal.SIGPIPE):
                signal.signal(number, signal.SIG_DFL)
            log_end = fcntl.fcntl(log_end, fcntl.F_DUPFD_CLOEXEC, _ABOVE)
            os.dup2(log_end, 1)
            os.dup2(log_end, 2)
            # First out of the way, then into place: a descriptor may sit where another one has to go.
            apart = {place: fcntl.fcntl(handle, fcntl.F_DUPFD_CLOEXEC, _ABOVE) for place, handle in handles.items()}
            for place, handle in apart.items():
                os.dup2(handle, place)
            os.setsid()
            self.groups.join()
            cage.become_victim()
            if self.job["stage"]:
                cage.stage(self.job["stage"])
            cage.become(self.user, self.job["users"] and self.job["users"]["first"], parent)
            if not self.job["sandboxed"]:
                cage.refuse_privileges()
            os.chdir(self.job["folder"])
            os.execve(self.job["argv"][0], self.job["argv"], self.job["env"])
        except BaseException as error:
            os.write(2, f"the sandbox could not be set up: {error}\n".encode())
        finally:
            os._exit(126)

    def _end(self, reason: str) -> None:
        """Kill everything; the main loop sees the end and tells it."""
        self.reason = self.reason or reason
        if self.child:
            for pid in tree.descendants(os.getpid()):
                with suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, signal.SIGKILL)

    def _watch(self, signals: int) -> None:
        readers = {
            self.log_pipe: self._copy_log,
            self.status_pipe: self._read_status,
            signals: lambda: os.read(signals, 512),
            self.leave.fileno(): self._give_leave,
        }
        poll = select.poll()
        for handle in readers:
            poll.register(handle, select.POLLIN)
        every = OOM_LOOK_S if self.groups.memory else WATCH_S
        while self.child and self.status is None:
            wait_s = min(every, FLUSH_S if self.log.is_behind else every, max(self._time_left(), 0.001))
            for handle, _ in poll.poll(int(wait_s * 1000) + 1):
                if not readers[handle]():
                    poll.unregister(handle)
            now = time.monotonic()
            if now - self.looked >= every:
                self._look_at_memory()
                self.looked = now
            if self.log.is_behind and now - self.log.flushed_at >= FLUSH_S:
                self.log.flush()
            if self._time_left() <= 0:
                self._end("timed_out")
            pid, status = os.waitpid(self.child, os.WNOHANG)
            if pid:
                self.status = status
        tree.end_all(os.getpid())
        self._drain()

    def _give_leave(self) -> bool:
        with suppress(OSError):
            self.leave.recv(16)
            self.leave.send(b"go\n")
        return False

    def _copy_log(self) -> bool:
        data = os.read(self.log_pipe, 65536)
        self.log.write(data)
        return bool(data)

    def _read_status(self) -> bool:
        data = os.read(self.status_pipe, 4096)
        self.status_text += data.decode(errors="replace")
        return bool(data)

    def _drain(self) -> None:
        """Read what was printed last; everything that could print is gone, so the end of the pipe is near."""
        until = time.monotonic() + DRAIN_S
        for handle, read in ((self.log_pipe, self._copy_log), (self.status_pipe, self._read_status)):
            os.set_blocking(handle, False)
            with suppress(BlockingIOError):
                while time.monotonic() < until and read():
                    pass
        self.log.flush()

    def _look_at_memory(self) -> None:
        if self.groups.memory:
            if self.groups.oom_kills():
                self._end("oom")
            return
        pids = tree.descendants(os.getpid())
        used = tree.memory_bytes(pids)
        if used > self.limits["memory_bytes"]:
            used = tree.shared_memory_bytes(pids) or used
        self.peak = max(self.peak, used)
        if used > self.limits["memory_bytes"]:
            self._end("oom")

    def _outcome(self) -> tuple[str, str]:
        if self.status is None:
            return "killed", "it was killed before it began"
        code = os.waitstatus_to_exitcode(self.status)
        for line in self.status_text.splitlines():
            with suppress(ValueError):
                self.exit_code = json.loads(line).get("exit-code", self.exit_code)
        if not self.job["sandboxed"]:
            self.exit_code = code if code >= 0 else 128 - code
        if self.groups.oom_kills() or self.reason == "oom":
            return "oom", f"it used more than the {self.limits['memory_bytes'] // MIB} MiB of memory that it may"
        if self.reason == "killed":
            return "killed", "it was told to stop"
        if self.reason == "timed_out":
            return "timed_out", f"it ran longer than the {self.limits['wall_s']} seconds that it may"
        if self.exit_code is None:
            if code < 0:
                return "killed", f"its sandbox was ended from outside by {_signal_name(-code)}"
            return "not_started", f"the sandbox could not be started: {self._last_line() or f'exit code {code}'}"
        if self.exit_code > 128:
            return "signalled", f"it was ended by {_signal_name(self.exit_code - 128)}"
        return "exited", f"it exited with code {self.exit_code}"

    def _last_line(self) -> str:
        with open(self._path(HEAD), "rb") as file:
            lines = file.read(4096).decode(errors="replace").strip().splitlines()
        said = [line for line in lines if line.startswith("bwrap:")] or lines
        return said[-1][:300] if said else ""

    def _finish(self, ended: str, detail: str) -> None:
        peak = self.peak
        if hasattr(self, "groups"):
            peak = self.groups.peak() or peak
            self.groups.remove()
        with suppress(FileNotFoundError):
            os.unlink(self._path("token"))
        self._write(
            "exit",
            {
                "ended": ended,
                "exit_code": self.exit_code,
                "detail": detail,
                "peak_memory_bytes": peak or None,
                "started_at": self.started_at,
                "ended_at": time.time(),
            },
        )


def _filled(data: bytes) -> int:
    """Return the reading end of a pipe that holds the data; what does not fit into a pipe's buffer raises."""
    reader, writer = os.pipe2(os.O_CLOEXEC)
    os.set_blocking(writer, False)
    with open(writer, "wb", buffering=0) as file:
        if file.write(data) != len(data):
            raise OSError("the command or the token is too long")
    return reader


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def main() -> None:
    """Take the job's folder and the descriptor to answer on from the command line."""
    folder, ready = sys.argv[1], int(sys.argv[2])
    os.set_inheritable(ready, False)
    Supervisor(folder, ready).run()
