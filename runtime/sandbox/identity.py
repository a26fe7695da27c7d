"""Know a process again: a pid is used twice, a pid with its start time and the machine's boot is not."""

import os
import signal

BOOT_ID = "/proc/sys/kernel/random/boot_id"
_DEAD = ("Z", "X", "x")


def boot_id() -> str:
    """Return the id that the kernel made when this machine was started."""
    with open(BOOT_ID) as file:
        return file.read().strip()


def start_time(pid: int) -> int | None:
    """Return when the process started, in clock ticks since boot (proc(5), field 22), or None when it runs no more."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            # The name in parentheses may hold spaces and parentheses of its own.
            after_name = file.read().decode(errors="replace").rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if after_name[0] in _DEAD else int(after_name[19])


def identify(pid: int) -> dict[str, object]:
    """Return what the process is known by, as JSON."""
    return {"pid": pid, "start": start_time(pid), "boot": boot_id()}


def is_alive(identity: dict[str, object]) -> bool:
    """Say whether that very process still runs; another one that has got its pid is not it."""
    pid, start = identity.get("pid"), identity.get("start")
    if not isinstance(pid, int) or start is None or identity.get("boot") != boot_id():
        return False
    return start_time(pid) == start


def send(identity: dict[str, object], signum: int) -> bool:
    """Send a signal to that very process, and say whether it was there to get it."""
    pid = identity.get("pid")
    if not isinstance(pid, int):
        return False
    try:
        handle = os.pidfd_open(pid)
    except OSError:  # no such process, or no such number
        return False
    try:
        # The handle stays with the process that had the pid when it was opened, so what is checked now is what is hit.
        if not is_alive(identity):
            return False
        signal.pidfd_send_signal(handle, signum)
    except ProcessLookupError:
        return False
    finally:
        os.close(handle)
    return True
