"""Read and end a tree of processes, through /proc."""

import os
import signal
import time
from contextlib import suppress

_HAS_CHILDREN = os.path.exists(f"/proc/self/task/{os.getpid()}/children")


def descendants(pid: int) -> list[int]:
    """Return the process's children, their children and so on, without itself."""
    found: list[int] = []
    level = [pid]
    while level:
        level = [child for parent in level for child in _children(parent)]
        found += level
    return found


def _children(pid: int) -> list[int]:
    if not _HAS_CHILDREN:
        return [int(each) for each in os.listdir("/proc") if each.isdigit() and _parent(int(each)) == pid]
    children: list[int] = []
    try:
        for task in os.listdir(f"/proc/{pid}/task"):
            with suppress(OSError), open(f"/proc/{pid}/task/{task}/children") as file:
                children += map(int, file.read().split())
    except OSError:
        return []
    return children


def _parent(pid: int) -> int:
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return int(file.read().rpartition(b")")[2].split()[1])
    except OSError:
        return 0


def memory_bytes(pids: list[int]) -> int:
    """Sum what the processes keep in memory or swap and no file backs. Pages that they share are counted for each."""
    return sum(_fields(pid, "status", (b"RssAnon:", b"RssShmem:", b"VmSwap:")) for pid in pids)


def shared_memory_bytes(pids: list[int]) -> int:
    """Sum the same with each shared page counted once; dearer, so asked only when the cheap sum is too much."""
    return sum(_fields(pid, "smaps_rollup", (b"Pss_Anon:", b"Pss_Shmem:", b"SwapPss:")) for pid in pids)


def _fields(pid: int, file_name: str, names: tuple[bytes, ...]) -> int:
    total = 0
    try:
        with open(f"/proc/{pid}/{file_name}", "rb") as file:
            for line in file:
                if line.startswith(names):
                    total += int(line.split()[1]) * 1024
    except OSError:
        return 0
    return total


def end_all(pid: int, patience_s: float = 5.0) -> None:
    """Kill all descendants until there are none, reaping those that became children of the caller."""
    until = time.monotonic() + patience_s
    while (left := descendants(pid)) and time.monotonic() < until:
        for each in left:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(each, signal.SIGKILL)
        with suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        time.sleep(0.002)
