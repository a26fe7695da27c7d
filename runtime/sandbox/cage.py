"""What the supervisor's child does between fork and exec: join the control groups, lay out the folders, become the job's user."""

import ctypes
import os
from contextlib import suppress

CLONE_NEWNS = 0x00020000
MS_BIND, MS_REC, MS_PRIVATE, MS_NOSUID, MS_NODEV = 0x1000, 0x4000, 0x40000, 2, 4
PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER, PR_SET_NO_NEW_PRIVS = 1, 36, 38
SIGKILL = 9
# Where root lays out folders that the job's user could not reach by their own path. Seen by this job alone.
STAGE = "/mnt"


def _libc(name: str, *args: object) -> None:
    function = getattr(ctypes.CDLL(None, use_errno=True), name)
    if function(*args) != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{name}: {os.strerror(code)}")


def _mount(source: str, target: str, kind: str, flags: int, data: str = "") -> None:
    _libc("mount", source.encode(), target.encode(), kind.encode(), ctypes.c_ulong(flags), data.encode())


def adopt_orphans() -> None:
    """Become the parent of every descendant whose own parent ends, so that none escapes."""
    _libc("prctl", PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def become(uid: int | None, gid: int | None, parent: int) -> None:
    """Become the job's user, for good, and end when the parent ends.

    In this order: a change of user clears the wish to end with the parent. A parent that ended before the wish was made is found
    by asking who the parent is now.
    """
    if uid is not None and gid is not None:
        os.setgroups([])
        os.setresgid(gid, gid, gid)
        os.setresuid(uid, uid, uid)
    _libc("prctl", PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        raise OSError("the supervisor is gone")


def refuse_privileges() -> None:
    """Let no program that is started from here on gain more than the job has."""
    _libc("prctl", PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)


def stage(sources: list[str]) -> None:
    """Bind each source to STAGE/<its place in the list>, in a mount namespace of our own.

    A clone below a home of mode 0700 cannot be reached by the job's user, and no mode of anybody's folder may be changed.
    """
    _libc("unshare", CLONE_NEWNS)
    _mount("none", "/", "none", MS_REC | MS_PRIVATE)
    # Opened first: the empty folder that comes next may cover a source.
    handles = [os.open(source, os.O_PATH) for source in sources]
    _mount("tmpfs", STAGE, "tmpfs", MS_NOSUID | MS_NODEV, "mode=0755,size=1m")
    for place, handle in enumerate(handles):
        target = f"{STAGE}/{place}"
        os.mkdir(target, 0o755)
        _mount(f"/proc/self/fd/{handle}", target, "none", MS_BIND | MS_REC)
        os.close(handle)


def become_victim() -> None:
    """Let the kernel end agents first when the machine itself runs out of memory."""
    with suppress(OSError), open("/proc/self/oom_score_adj", "w") as file:
        file.write("500")
