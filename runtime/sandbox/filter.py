"""Make the filter of system calls that every sandboxed agent lives under."""

import errno
import socket
import tempfile
from functools import cache

# Refused with EPERM: the ways to get more privilege, to look into other processes or to reach the kernel's larger parts.
FORBIDDEN = (
    # namespaces and mounts
    "unshare",
    "setns",
    "mount",
    "umount",
    "umount2",
    "pivot_root",
    "chroot",
    "move_mount",
    "open_tree",
    "fsopen",
    "fsconfig",
    "fsmount",
    "fspick",
    "mount_setattr",
    "quotactl",
    "quotactl_fd",
    "swapon",
    "swapoff",
    # other processes
    "ptrace",
    "process_vm_readv",
    "process_vm_writev",
    "process_madvise",
    "kcmp",
    "pidfd_getfd",
    # keys, programs in the kernel, asynchronous rings, performance counters, page faults
    "keyctl",
    "add_key",
    "request_key",
    "bpf",
    "io_uring_setup",
    "io_uring_enter",
    "io_uring_register",
    "perf_event_open",
    "userfaultfd",
    "lookup_dcookie",
    "fanotify_init",
    "open_by_handle_at",
    "name_to_handle_at",
    # the machine itself
    "init_module",
    "finit_module",
    "delete_module",
    "kexec_load",
    "kexec_file_load",
    "reboot",
    "syslog",
    "acct",
    "settimeofday",
    "stime",
    "clock_settime",
    "clock_settime64",
    "clock_adjtime",
    "clock_adjtime64",
    "adjtimex",
    "iopl",
    "ioperm",
    "modify_ldt",
    "vhangup",
    "nfsservctl",
    "sethostname",
    "setdomainname",
    # memory that belongs to no process's resident set, so that no watcher would count it; programs without a file
    "memfd_create",
    "memfd_secret",
    "shmget",
    "shmat",
    "shmctl",
    "msgget",
    "semget",
    "ipc",
    "mq_open",
)
# clone(2) and its flags for new namespaces; clone3 passes them in memory, where a filter cannot look.
NAMESPACE_FLAGS = (0x00020000, 0x02000000, 0x04000000, 0x08000000, 0x10000000, 0x20000000, 0x40000000)
# Typing into the terminal of somebody else: TIOCSTI and TIOCLINUX.
TERMINAL_IOCTLS = (0x5412, 0x541C)
# System calls have had the same number on every architecture since 424 (Linux 5.1). What is newer than cachestat, fchmodat2 and
# map_shadow_stack was not looked at yet, so it does not exist for an agent; the C library falls back.
UNREVIEWED = range(454, 1024)


class FilterUnavailable(Exception):
    """The library that makes filters is not on this machine."""


@cache
def filter_program() -> bytes:
    """Return the compiled filter (BPF) for this machine's architecture, or raise `FilterUnavailable`."""
    try:
        # Imported here: finding libseccomp at import costs a subprocess, and its lack must be a sentence, not a crash.
        import pyseccomp as seccomp
    except (ImportError, RuntimeError, OSError) as error:
        raise FilterUnavailable(str(error)) from None

    rules = seccomp.SyscallFilter(seccomp.ALLOW)
    arch = seccomp.system_arch()
    forbid, unknown = seccomp.ERRNO(errno.EPERM), seccomp.ERRNO(errno.ENOSYS)
    for name in FORBIDDEN:
        # A negative number: not on this architecture, or newer than this libseccomp (then UNREVIEWED covers it).
        if seccomp.resolve_syscall(arch, name) >= 0:
            rules.add_rule(forbid, name)
    for number in UNREVIEWED:
        rules.add_rule(unknown, number)
    rules.add_rule(unknown, "clone3")
    for flag in NAMESPACE_FLAGS:
        rules.add_rule(forbid, "clone", seccomp.Arg(0, seccomp.MASKED_EQ, flag, flag))
    for request in TERMINAL_IOCTLS:
        rules.add_rule(forbid, "ioctl", seccomp.Arg(1, seccomp.MASKED_EQ, 0xFFFFFFFF, request))
    for call in ("socket", "socketpair"):
        rules.add_rule(seccomp.ERRNO(errno.EAFNOSUPPORT), call, seccomp.Arg(0, seccomp.NE, socket.AF_UNIX))
    # Only the question "which is it?" of personality(2): its answers switch protections of memory off.
    rules.add_rule(forbid, "personality", seccomp.Arg(0, seccomp.NE, 0xFFFFFFFF))
    with tempfile.TemporaryFile() as file:
        rules.export_bpf(file)
        file.seek(0)
        return file.read()
