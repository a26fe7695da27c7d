"""Hold memory and processes of a job by control groups, where this machine lets us make them."""

import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress

MOUNTS = "/proc/self/mounts"
OWN = "/proc/self/cgroup"
# What of the job is not the agent's: timeout, bubblewrap and its first process.
OVERHEAD_PIDS = 4


def _read(path: str) -> str:
    with open(path) as file:
        return file.read()


def _write(path: str, text: str) -> None:
    with open(path, "w") as file:
        file.write(text)


def find(mounts: str = MOUNTS, own: str = OWN) -> dict[str, str]:
    """Return the folders below which a job's groups can be made, as {"memory": …, "pids": …}; what cannot be is absent.

    Our own group is the parent, so that whatever bounds the server bounds its jobs too. With version 2 both are one folder.
    """
    where = {}
    for line in _read(own).splitlines():
        _, controllers, path = line.split(":", 2)
        for controller in controllers.split(","):
            where[controller] = path
    found = {}
    for line in _read(mounts).splitlines():
        _, folder, kind, options = line.split()[:4]
        if kind == "cgroup":
            for controller in {"memory", "pids"} & set(options.split(",")):
                parent = _usable(folder, where.get(controller, "/"))
                if parent and _try_limit(parent, _V1[controller]):
                    found[controller] = parent
        elif kind == "cgroup2" and "memory" not in found:
            parent = _usable(folder, where.get("", "/"))
            if parent and _delegated(parent):
                found.update({c: parent for c in ("memory", "pids") if _try_limit(parent, f"{c}.max")})
    return found


_V1 = {"memory": "memory.limit_in_bytes", "pids": "pids.max"}


def _usable(mount: str, own: str) -> str:
    for folder in (mount + own.rstrip("/"), mount):
        if os.access(folder, os.W_OK | os.X_OK):
            return folder
        if os.path.isdir(folder):
            break
    return ""


def _delegated(parent: str) -> bool:
    """Turn the controllers on for our children, which version 2 allows only in a group without processes of its own."""
    control = os.path.join(parent, "cgroup.subtree_control")
    if not {"memory", "pids"} <= set(_read(os.path.join(parent, "cgroup.controllers")).split()):
        return False
    if {"memory", "pids"} <= set(_read(control).split()):
        return True
    try:
        # The mark that systemd sets on what it gave away whole (Delegate=yes). Without it others' processes may be in the group
        # too, a person's shell say, and it is not ours to arrange.
        if not any(name.endswith(".delegate") for name in os.listxattr(parent)):
            return False
        leaf = os.path.join(parent, "worka-server")
        os.makedirs(leaf, exist_ok=True)
        for pid in _read(os.path.join(parent, "cgroup.procs")).split():
            with suppress(ProcessLookupError):
                _write(os.path.join(leaf, "cgroup.procs"), pid)
        _write(control, "+memory +pids")
    except OSError:
        return False
    return True


def _try_limit(parent: str, limit: str) -> bool:
    probe = os.path.join(parent, f"worka-probe-{os.getpid()}-{time.monotonic_ns()}")
    try:
        os.mkdir(probe)
    except OSError:
        return False
    try:
        return os.access(os.path.join(probe, limit), os.W_OK)
    finally:
        with suppress(OSError):
            os.rmdir(probe)


class JobGroups:
    """The control groups of one job; `memory` and `pids` say which of the two limits they hold."""

    def __init__(self, parents: dict[str, str], name: str, memory_bytes: int, pids: int) -> None:
        self.folders: list[str] = []
        self.memory = self._make(parents.get("memory"), name, lambda folder: self._limit_memory(folder, memory_bytes))
        self.pids = self._make(
            parents.get("pids"),
            name,
            lambda folder: _write(os.path.join(folder, "pids.max"), str(pids + OVERHEAD_PIDS)),
        )

    def _make(self, parent: str | None, name: str, limit: Callable[[str], None]) -> str:
        if not parent:
            return ""
        folder = os.path.join(parent, name)
        try:
            if folder not in self.folders:
                with suppress(FileExistsError):
                    os.mkdir(folder)
                self.folders.append(folder)
            limit(folder)
        except OSError:
            return ""
        return folder

    def _limit_memory(self, folder: str, memory_bytes: int) -> None:
        if os.path.exists(os.path.join(folder, "memory.max")):
            _write(os.path.join(folder, "memory.max"), str(memory_bytes))
            for name, value in (("memory.swap.max", "0"), ("memory.oom.group", "1")):
                with suppress(OSError):
                    _write(os.path.join(folder, name), value)
        else:
            _write(os.path.join(folder, "memory.limit_in_bytes"), str(memory_bytes))
            with suppress(OSError):
                _write(os.path.join(folder, "memory.memsw.limit_in_bytes"), str(memory_bytes))

    def join(self) -> None:
        """Move the calling process in; its children are born inside."""
        for folder in self.folders:
            _write(os.path.join(folder, "cgroup.procs"), "0")

    def oom_kills(self) -> int:
        """Count the processes that the kernel has killed here because the memory was used up."""
        if not self.memory:
            return 0
        for name in ("memory.events", "memory.oom_control"):
            with suppress(OSError):
                for line in _read(os.path.join(self.memory, name)).splitlines():
                    if line.startswith("oom_kill "):
                        return int(line.split()[1])
        return 0

    def peak(self) -> int | None:
        """Return the most bytes that were in use at once, where the kernel counts it."""
        for name in ("memory.peak", "memory.max_usage_in_bytes"):
            with suppress(OSError, ValueError):
                return int(_read(os.path.join(self.memory, name)))
        return None

    def remove(self, patience_s: float = 2.0) -> None:
        """Remove the groups; the last process may need a moment to leave them."""
        remove(self.folders, patience_s)


def end(folders: list[str], patience_s: float = 2.0) -> None:
    """Kill whatever is left in the groups and remove them: for a supervisor that could not do it itself."""
    for folder in folders:
        with suppress(OSError):
            for pid in _read(os.path.join(folder, "cgroup.procs")).split():
                with suppress(ProcessLookupError):
                    os.kill(int(pid), signal.SIGKILL)
    remove(folders, patience_s)


def remove(folders: list[str], patience_s: float = 2.0) -> None:
    """Remove empty groups, waiting for their last processes; what is gone already is fine."""
    until = time.monotonic() + patience_s
    for folder in folders:
        while True:
            try:
                os.rmdir(folder)
            except FileNotFoundError:
                break
            except OSError:
                if time.monotonic() > until:
                    break
                time.sleep(0.005)
            else:
                break
