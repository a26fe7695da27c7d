"""Find out what this machine can do, by doing it: start an empty sandbox, make a control group."""

import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from runtime.sandbox.command import Tools, system_folders
from runtime.sandbox.filter import FilterUnavailable, filter_program

# What bubblewrap says, and what it means to the person who has to mend it.
_KNOWN = (
    ("Unknown option", "bubblewrap here is too old: 0.8 or newer is needed"),
    (
        "setting up uid map",
        "this system lets no program make user namespaces: `sysctl kernel.apparmor_restrict_unprivileged_userns=0` allows it",
    ),
    (
        "namespace",
        "user namespaces are off: `sysctl user.max_user_namespaces=15000` (on old Debian `kernel.unprivileged_userns_clone=1`) allows them",
    ),
    (
        "Operation not permitted",
        "this system (a container?) forbids mounts and namespaces: run the server outside, or allow them",
    ),
)
_PACKAGES = {"bwrap": "bubblewrap", "prlimit": "util-linux", "timeout": "coreutils"}


def missing_tools(tools: Tools, *, sandboxed: bool) -> str:
    """Say which program is not installed and which package has it, or ""."""
    if sys.platform != "linux":
        return "The process backend needs Linux: run Worka in a virtual machine, or use the kubernetes backend."
    for name, package in _PACKAGES.items():
        if not getattr(tools, name) and (sandboxed or name != "bwrap"):
            return f"{name} is not installed: `apt install {package}` (or your system's way) brings it."
    return ""


def sandbox_fault(tools: Tools, users: Mapping[str, Any] | None) -> str:
    """Start an empty sandbox as a job would be started, and say in one sentence why it cannot be done, or ""."""
    if fault := missing_tools(tools, sandboxed=True):
        return fault
    try:
        program = filter_program()
    except FilterUnavailable as error:
        return f"The system-call filter cannot be made ({error}): `apt install libseccomp2` brings what it needs."
    become = {"user": users["first"], "group": users["first"], "extra_groups": []} if users else {}
    with tempfile.TemporaryFile() as file:
        file.write(program)
        file.seek(0)
        command = [
            tools.bwrap,
            "--seccomp",
            str(file.fileno()),
            "--unshare-user",
            "--unshare-pid",
            "--unshare-net",
            "--unshare-ipc",
            "--unshare-uts",
            "--die-with-parent",
            "--new-session",
            "--cap-drop",
            "ALL",
            "--disable-userns",
            "--assert-userns-disabled",
            *system_folders(),
            "--proc",
            "/proc",
            "--dev",
            "/dev",
            "--size",
            "65536",
            "--tmpfs",
            "/home",
            "--remount-ro",
            "/",
            "--",
            "/usr/bin/true",
        ]
        try:
            done = subprocess.run(
                command,
                pass_fds=[file.fileno()],
                capture_output=True,
                text=True,
                timeout=20,
                cwd="/",
                env={},
                stdin=subprocess.DEVNULL,
                check=False,
                **become,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            return f"An empty sandbox could not be started: {error}."
    return "" if done.returncode == 0 else explain(done.stderr)


def explain(said: str) -> str:
    """Turn what bubblewrap printed into one sentence with a remedy."""
    last = (said.strip().splitlines() or ["it said nothing"])[-1]
    remedy = next((meaning for words, meaning in _KNOWN if words in said), "")
    return f"An empty sandbox could not be started ({last})" + (f": {remedy}." if remedy else ".")


def out_of_reach(folders: Iterable[Path]) -> str:
    """Say which folder no other user may walk through; only jobs without a sandbox need that, and only under root."""
    for folder in folders:
        for part in (folder, *folder.parents):
            if part.is_dir() and not part.stat().st_mode & stat.S_IXOTH:
                return f"Jobs without a sandbox cannot reach {folder}, because {part} is private: set WORKA_HOME to another place."
    return ""
