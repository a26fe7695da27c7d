"""Run a program of a connector in a cage: bubblewrap, seccomp and resource limits.

Inside there is the system read-only, what the cage shows, and nothing else: no network, no `/proc`, no home, no
environment, no capabilities, its own process space. The program keeps the server's own user id, in a user namespace of
its own: so it can read what the server can read, as far as that is shown at all, and being root inside means nothing.
A program that may not start programs cannot fork either, whatever its configuration asks for: seccomp refuses it.
Bubblewrap and libseccomp are not optional here: without them nothing is run.
"""

import os
import selectors
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

PROGRAMS = "/usr/local/bin:/usr/bin:/bin"
SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/nix/store", "/etc/ld.so.cache")
STDERR_MOST = 16 * 1024
# What no connector's program has any business with; most are closed to it anyway, and are closed twice on purpose.
NEVER = (
    "add_key",
    "bpf",
    "fanotify_init",
    "fsconfig",
    "fsmount",
    "fsopen",
    "init_module",
    "finit_module",
    "io_uring_setup",
    "kcmp",
    "kexec_load",
    "keyctl",
    "mount",
    "mount_setattr",
    "move_mount",
    "name_to_handle_at",
    "open_by_handle_at",
    "open_tree",
    "perf_event_open",
    "pidfd_getfd",
    "pivot_root",
    "process_vm_readv",
    "process_vm_writev",
    "ptrace",
    "request_key",
    "setns",
    "swapon",
    "umount2",
    "unshare",
    "userfaultfd",
)
CLONE_THREAD = 0x00010000
EPERM, ENOSYS = 1, 38


class CageMissing(Exception):
    """The cage cannot be built on this machine, and nothing was run; the message says what to do about it."""


@dataclass(frozen=True, slots=True)
class Cage:
    """What a program sees and may do. `shows` and `writable` map a place outside to a place inside.

    `hides` are folders of the host that stay hidden wherever a shown folder contains them: an empty folder is there.
    `scratch_bytes` is the size of an empty, writable `/tmp` that is gone with the cage; 0 for none.
    """

    shows: Mapping[str, str] = field(default_factory=dict)
    writable: Mapping[str, str] = field(default_factory=dict)
    hides: tuple[Path, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    directory: str = "/"
    may_start_programs: bool = False
    memory_bytes: int = 4 * 1024**3
    scratch_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Ended:
    """How a caged program ended. `truncated`: it was stopped at the byte limit; `timed_out`: at the deadline."""

    status: int
    stdout: bytes
    stderr: bytes
    truncated: bool = False
    timed_out: bool = False


def run(command: Sequence[str], cage: Cage, *, deadline: float, most_bytes: int, stdin: bytes = b"") -> Ended:
    """Run `command` in the cage until it ends, `time.monotonic()` passes `deadline`, or it has written `most_bytes`.

    Raises `CageMissing` where there is no cage to be had.
    """
    with ExitStack() as stack:
        given = _memory_file(stdin, stack)
        process = stack.enter_context(start(command, cage, deadline=deadline, stdin=given))
        ended = _read(process, deadline, most_bytes)
    if reason := why_missing(ended.stderr) if ended.status != 0 else "":
        raise CageMissing(reason)
    return ended


@contextmanager
def start(
    command: Sequence[str], cage: Cage, *, deadline: float, stdin: int = subprocess.PIPE
) -> Iterator[subprocess.Popen[bytes]]:
    """Start `command` in the cage with its output in pipes, and let nothing of it outlive the block.

    Its processor time is bounded by `deadline`, a moment of `time.monotonic()`; whoever reads bounds the rest. Raises
    `CageMissing` where there is no cage to be had; one that cannot be built says so on stderr (`why_missing`).
    """
    with ExitStack() as stack:
        law = _memory_file(_law(cage.may_start_programs), stack)
        line = _command_line(cage, law, max(1, int(deadline - time.monotonic()) + 5))
        with subprocess.Popen(
            [*line, *command],
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={"PATH": PROGRAMS},
            cwd="/",
            pass_fds=(law,),
            start_new_session=True,
        ) as process:
            try:
                yield process
            finally:
                process.kill()  # the whole cage goes with it (--die-with-parent, and the end of its process space)


def why_missing(stderr: bytes) -> str:
    """Return why bubblewrap could not build the cage, by what it wrote; nothing when it could."""
    if not stderr.startswith(b"bwrap: "):
        return ""
    reason = stderr.decode("utf-8", "replace").strip()[:300]
    return f"bubblewrap cannot build the sandbox here ({reason}); allow user namespaces for it"


def _read(process: subprocess.Popen[bytes], deadline: float, most_bytes: int) -> Ended:
    kept: dict[str, bytearray] = {"stdout": bytearray(), "stderr": bytearray()}
    with selectors.DefaultSelector() as selector:
        for name in kept:
            selector.register(getattr(process, name), selectors.EVENT_READ, name)
        while selector.get_map():
            left = deadline - time.monotonic()
            if left <= 0:
                return _stopped(process, kept, timed_out=True)
            for key, _ in selector.select(left):
                chunk = os.read(key.fd, 65536)
                if not chunk:
                    selector.unregister(key.fileobj)
                kept[key.data] += chunk
            del kept["stderr"][STDERR_MOST:]
            if len(kept["stdout"]) > most_bytes:
                del kept["stdout"][most_bytes:]
                return _stopped(process, kept, truncated=True)
    try:
        status = process.wait(max(0.0, deadline - time.monotonic()))
    except subprocess.TimeoutExpired:  # it closed its output and stayed
        return _stopped(process, kept, timed_out=True)
    return Ended(status, bytes(kept["stdout"]), bytes(kept["stderr"]))


def _stopped(
    process: subprocess.Popen[bytes], kept: dict[str, bytearray], *, truncated: bool = False, timed_out: bool = False
) -> Ended:
    process.kill()
    return Ended(-signal.SIGKILL, bytes(kept["stdout"]), bytes(kept["stderr"]), truncated, timed_out)


def _command_line(cage: Cage, law: int, cpu_s: int) -> list[str]:
    bwrap, prlimit = (shutil.which(program, path=PROGRAMS) for program in ("bwrap", "prlimit"))
    if bwrap is None:
        raise CageMissing("bubblewrap is not installed; install the package bubblewrap")
    if prlimit is None:
        raise CageMissing("prlimit is not installed; install the package util-linux")
    line = [
        prlimit,
        f"--as={cage.memory_bytes}",
        f"--cpu={cpu_s}",
        "--core=0",
        "--nofile=1024",
        "--",
        bwrap,
        "--unshare-user",
        "--unshare-ipc",
        "--unshare-pid",
        "--unshare-net",
        "--unshare-uts",
        "--unshare-cgroup-try",
        "--hostname",
        "cage",
        "--die-with-parent",
        "--new-session",
        "--cap-drop",
        "ALL",
        "--seccomp",
        str(law),
        "--clearenv",
    ]
    for name, value in {"PATH": PROGRAMS, **cage.environment}.items():
        line += ["--setenv", name, value]
    system = {}
    for place in SYSTEM:
        if Path(place).is_symlink():  # /bin is usr/bin on most systems; a bind would show the same folder twice
            line += ["--symlink", str(Path(place).readlink()), place]
        elif Path(place).exists():
            system[place] = place
            line += ["--ro-bind", place, place]
    line += ["--dev", "/dev", "--remount-ro", "/dev"]
    if cage.scratch_bytes:
        line += ["--size", str(cage.scratch_bytes), "--tmpfs", "/tmp"]  # noqa: S108  # inside the cage
    for option, places in (("--ro-bind", cage.shows), ("--bind", cage.writable)):
        for outside, inside in places.items():
            line += [option, outside, inside]
    for outside, inside in {**system, **cage.shows, **cage.writable}.items():
        for hidden in cage.hides:
            if hidden.is_relative_to(outside) and hidden.exists():
                place = str(Path(inside, hidden.relative_to(outside)))
                line += ["--tmpfs", place, "--remount-ro", place]
    return [*line, "--remount-ro", "/", "--chdir", cage.directory, "--"]


@cache
def _law(may_start_programs: bool) -> bytes:
    """Compile the seccomp filter: everything but `NEVER`, sockets and, mostly, new processes."""
    try:
        import pyseccomp
    except (ImportError, OSError, RuntimeError) as error:
        raise CageMissing("libseccomp is not installed; install the package libseccomp2") from error
    law = pyseccomp.SyscallFilter(pyseccomp.ALLOW)
    refused = list(NEVER)
    if not may_start_programs:
        refused += ["fork", "vfork", "socket", "socketpair"]
        no_thread = pyseccomp.Arg(0, pyseccomp.MASKED_EQ, CLONE_THREAD, 0)
        try:
            law.add_rule(pyseccomp.ERRNO(EPERM), "clone", no_thread)
            law.add_rule(pyseccomp.ERRNO(ENOSYS), "clone3")  # its flags lie in memory; the C library then uses clone
        except (OSError, ValueError, RuntimeError) as error:
            raise CageMissing("libseccomp is too old to keep programs from being started; 2.5 is enough") from error
    for call in refused:
        try:
            law.add_rule(pyseccomp.ERRNO(EPERM), call)
        except (OSError, ValueError, RuntimeError):
            continue  # this processor or this libseccomp does not know the call
    with ExitStack() as stack:
        compiled = os.fdopen(_memory_file(b"", stack), "r+b", closefd=False)
        law.export_bpf(compiled)
        compiled.seek(0)
        return compiled.read()


def _memory_file(content: bytes, stack: ExitStack) -> int:
    """Return a descriptor of a file in memory, at its start: nothing to feed while the program runs."""
    descriptor = os.memfd_create("cage", os.MFD_CLOEXEC)
    stack.callback(os.close, descriptor)
    os.write(descriptor, content)
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor
