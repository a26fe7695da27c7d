"""Build the command that puts an agent behind walls, as plain lists of words."""

import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from runtime.core.jobs import JobSpec, Limits
from runtime.sandbox import cage
from runtime.sandbox.supervisor import ARGS_FD, FILTER_FD, STATUS_FD, TOKEN_FD

# Where things are for the agent, whoever and wherever the host is.
HOME = "/home/agent"
CODE = "/opt/worka/code"
SITE = "/opt/worka/site"
BIN = "/opt/worka/bin"
DOOR = "/run/worka/door"
TOKEN = "/run/worka/token"  # noqa: S105 - a path
SHM_BYTES = 16 * 2**20
# Above the memory limit: a backstop for one process that grows faster than a watcher looks. Threads' stacks count too.
DATA_HEADROOM = 2**30
# Folders of the host's own Python packages and programs: not what an agent was given.
_MASKED = ("/usr/local", "/usr/lib/python3/dist-packages", "/usr/src", "/usr/share/doc")


@dataclass(frozen=True, slots=True)
class Tools:
    """The programs of the host that a job is started with; empty where one is missing."""

    bwrap: str
    timeout: str
    prlimit: str

    @classmethod
    def find(cls) -> "Tools":
        """Look the programs up in the system's own folders, never in the caller's PATH."""
        path = "/usr/bin:/bin:/usr/sbin:/sbin"
        return cls(*(shutil.which(name, path=path) or "" for name in ("bwrap", "timeout", "prlimit")))


@dataclass(frozen=True, slots=True)
class Layout:
    """What of the host is bound into the sandbox, all of it read-only: agents' code, packages, door, interpreter.

    `interpreter` is the program's path inside; `interpreter_folder` the host's folder to bind, and `interpreter_at` where,
    both empty when the interpreter is the system's own.
    """

    code: Path
    site: Path | None
    door: Path
    interpreter: str
    interpreter_folder: Path | None = None
    interpreter_at: str = ""

    def binds(self) -> list[tuple[str, str]]:
        """Return pairs of (folder of the host, place in the sandbox)."""
        pairs = [(str(self.code), CODE), (str(self.door), DOOR)]
        if self.site is not None:
            pairs.append((str(self.site), SITE))
        if self.interpreter_folder is not None:
            pairs.append((str(self.interpreter_folder), self.interpreter_at))
        return pairs


def agent_environment(
    spec: JobSpec, *, home: str, code: str, site: str, path: str, gateway: str, token: str
) -> dict[str, str]:
    """Return the whole environment of an agent; nothing of the host's is in it."""
    return {
        "PATH": path,
        "HOME": home,
        "TMPDIR": f"{home}/tmp",
        "LANG": "C.UTF-8",
        "TZ": "UTC",
        "PYTHONPATH": f"{code}:{site}" if site else code,
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONUNBUFFERED": "1",
        "PYTHONNOUSERSITE": "1",
        "PYTHONUTF8": "1",
        "PYTHONSAFEPATH": "1",
        "WORKA_GATEWAY_URL": f"http+unix://{gateway}",
        "WORKA_TOKEN_FILE": token,
        **spec.env,
    }


# Asks the supervisor for leave on its standard input; without one there is none, and no agent.
ASK_LEAVE = 'echo >&0; read leave && exec "$@" </dev/null'


def bounds(tools: Tools, limits: Limits) -> list[str]:
    """Return the shim that runs inside: it sets what must be counted there.

    Outside, all processes of a busy user would be counted against the job; inside, only those of the job's namespace are.
    """
    return [
        tools.prlimit,
        f"--nproc={limits.pids}",
        f"--nofile={limits.open_files}",
        f"--fsize={limits.disk_bytes}",
        f"--data={limits.memory_bytes + DATA_HEADROOM}",
        "--core=0",
        "--msgqueue=0",
        "--memlock=65536",
        "--",
    ]


def sandboxed_argv(tools: Tools, spec: JobSpec) -> list[str]:
    """Return the call of bubblewrap; its options come by descriptor, so that no list of processes shows them."""
    return [
        tools.bwrap,
        "--args",
        str(ARGS_FD),
        "--",
        "/bin/sh",
        "-c",
        ASK_LEAVE,
        "sh",
        *bounds(tools, spec.limits),
        *spec.argv,
    ]


def sandbox_options(layout: Layout, spec: JobSpec, environment: Mapping[str, str], *, staged: bool) -> list[str]:
    """Return bubblewrap's options: what the agent sees of the world, which is little, and all of it read-only but its home."""
    args = [
        "--seccomp",
        str(FILTER_FD),
        "--json-status-fd",
        str(STATUS_FD),
        "--unshare-user",
        "--unshare-pid",
        "--unshare-net",
        "--unshare-ipc",
        "--unshare-uts",
        "--unshare-cgroup-try",
        "--uid",
        "1000",
        "--gid",
        "1000",
        "--hostname",
        "agent",
        "--die-with-parent",
        "--new-session",
        "--cap-drop",
        "ALL",
        "--disable-userns",
        "--assert-userns-disabled",
        "--clearenv",
    ]
    for name, value in environment.items():
        args += ["--setenv", name, value]
    args += system_folders()
    for place, (source, target) in enumerate(layout.binds()):
        args += ["--ro-bind", f"{cage.STAGE}/{place}" if staged else source, target]
    for name in ("python", "python3"):
        args += ["--symlink", layout.interpreter, f"{BIN}/{name}"]
    args += [
        "--perms",
        "0400",
        "--ro-bind-data",
        str(TOKEN_FD),
        TOKEN,
        "--proc",
        "/proc",
        "--dev",
        "/dev",
        "--size",
        str(min(SHM_BYTES, spec.limits.disk_bytes)),
        "--perms",
        "1777",
        "--tmpfs",
        "/dev/shm",
        "--size",
        str(spec.limits.disk_bytes),
        "--perms",
        "0700",
        "--tmpfs",
        HOME,
        "--dir",
        f"{HOME}/tmp",
        "--symlink",
        f"{HOME}/tmp",
        "/tmp",
        # The sandbox's own root and /dev are in memory too: left writable they would be a disk without a limit.
        "--remount-ro",
        "/dev",
        "--remount-ro",
        "/",
        "--chdir",
        HOME,
    ]
    return args


def system_folders() -> list[str]:
    """Return the arguments that give the sandbox the system's programs and libraries, and none of its data."""
    args = ["--ro-bind", "/usr", "/usr"]
    for name in ("bin", "sbin", "lib", "lib32", "lib64", "libx32"):
        folder = f"/{name}"
        if os.path.islink(folder):
            args += ["--symlink", os.readlink(folder), folder]
        elif os.path.isdir(folder):
            args += ["--ro-bind", folder, folder]
    args += ["--ro-bind-try", "/etc/ld.so.cache", "/etc/ld.so.cache"]
    for folder in _MASKED:
        if os.path.isdir(folder) and not os.path.islink(folder):
            args += ["--tmpfs", folder, "--remount-ro", folder]
    return args


def unsandboxed_argv(tools: Tools, python: str, spec: JobSpec) -> list[str]:
    """Return the bare command with `python` put in; only the counts that need no sandbox bound it."""
    argv: Sequence[str] = spec.argv
    if argv[0] in ("python", "python3"):
        argv = (python, *argv[1:])
    # No process count: outside a namespace it would count every process of the user.
    shim = [part for part in bounds(tools, spec.limits) if not part.startswith("--nproc")]
    return ["/bin/sh", "-c", ASK_LEAVE, "sh", *shim, *argv]
