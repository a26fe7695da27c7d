"""Run jobs as sandboxed processes of this machine.

Each job is a folder below `jobs_dir`: what to run (job.json), who runs it (identity), how it ended (exit), what it printed
(log…). A detached supervisor per job owns all of it but the marker of a kill; this module only reads, and starts supervisors.
So nothing is held in memory, and a server that was killed finds its jobs, running or ended.
"""

import hashlib
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

from runtime.backend import Backend, BackendSettings, LimitInForce, NoCapacity, Strength, SubmitFailed
from runtime.core.jobs import NAME, Ended, JobSpec, Phase, Seen
from runtime.places import NotPublished, choose_interpreter, publish_file, publish_packages, publish_requirements
from runtime.sandbox import cgroups, command, identity, log, probe
from runtime.sandbox.filter import filter_program

ROOT = Path(__file__).resolve().parent.parent.parent
# -I and -S: nothing of the environment, the folder it starts in or site-packages gets into the process that holds the limits.
SUPERVISOR = "import sys; sys.path.insert(0, sys.argv.pop(1)); from runtime.sandbox.supervisor import main; main()"
# The outer shell puts the supervisor into the background and ends at once: the supervisor becomes a child of the system's first
# process, so that it neither dies with the server nor stays behind as its zombie.
DETACH = '"$@" </dev/null >/dev/null 2>>supervisor.log &'
START_S = 20.0
STUBBORN_S = 5.0
# The supervisor keeps the time; timeout ends it when it is this much late, and kills it when it does not end then.
LATE_S = 5
UID_POOL = {"locks": "/run/worka/users", "first": 62000, "count": 256}
SANDBOX_GOOD_FOR_S = 300.0


class Process(Backend):
    """Run each job as a detached process behind the walls of bubblewrap."""

    def __init__(self, settings: BackendSettings) -> None:
        self.settings = settings
        self.jobs = settings.jobs_dir.absolute()
        self.bell = self.jobs / ".bell"
        self.tools = command.Tools.find()
        self.users = _user_pool(settings.options) if os.geteuid() == 0 else None
        self._rung_ns = -1
        self._probed_at = float("-inf")
        self._fault = ""
        self._prepared: command.Layout | None = None
        self._filter = Path()
        self._preparing = threading.Lock()
        self._groups: dict[str, str] | None = None

    @classmethod
    def from_settings(cls, settings: BackendSettings) -> Self:
        return cls(settings)

    def unavailable(self) -> str:
        fault = self._sandbox_fault()
        if not fault or not self.settings.allow_unsandboxed:
            return fault
        if fault := probe.missing_tools(self.tools, sandboxed=False):
            return fault
        needed = (
            self.jobs.parent,
            self.settings.runtime_dir.absolute().parent,
            self.settings.door_socket.absolute().parent,
        )
        return probe.out_of_reach(needed) if self.users else ""

    def is_sandboxed(self) -> bool:
        """Say whether jobs run behind walls here; where they do not they run only if that was allowed knowingly."""
        return not self._sandbox_fault()

    def _sandbox_fault(self) -> str:
        # A working sandbox is asked for again now and then, a missing one each time: somebody may just have installed it.
        if self._fault or time.monotonic() - self._probed_at > SANDBOX_GOOD_FOR_S:
            self._fault = probe.sandbox_fault(self.tools, self.users)
            self._probed_at = time.monotonic()
        return self._fault

    def prepare(self) -> None:
        """Publish code, packages and interpreter for agents; raises `SubmitFailed` with what is missing."""
        with self._preparing:
            # Somebody may have cleared the folder since; what is published again is the same.
            if self._prepared is None or not self._prepared.code.is_dir() or not self._filter.exists():
                self._prepared = self._publish()

    def _publish(self) -> command.Layout:
        settings, places = self.settings, self.settings.runtime_dir.absolute()
        self.jobs.mkdir(parents=True, exist_ok=True)
        places.mkdir(parents=True, exist_ok=True)
        self.bell.touch()
        try:
            interpreter = choose_interpreter(settings.python, places)
            # A copy is run from where it was copied from, so that compiled files fit it.
            runner = settings.python or (interpreter.path if Path(interpreter.path).exists() else sys.executable)
            code = publish_packages(settings.packages, places, runner)
            site = publish_requirements(settings.requirements, places, runner) if settings.requirements else None
        except NotPublished as error:
            raise SubmitFailed(f"agents cannot be started: {error}") from None
        layout = command.Layout(
            code, site, settings.door_socket.absolute().parent, interpreter.path, interpreter.folder, interpreter.home
        )
        self._filter = publish_file(filter_program(), "system-calls", places) if self.is_sandboxed() else places
        self._groups = cgroups.find()
        return layout

    def limits_in_force(self) -> Sequence[LimitInForce]:
        fault = self._sandbox_fault()
        groups = cgroups.find() if self._groups is None else self._groups
        inside = "by the sandbox" if not fault else "not at all: jobs run without a sandbox"
        walls = Strength.NONE if fault else Strength.HARD
        if "memory" in groups:
            memory = LimitInForce("memory", f"by control group {groups['memory']}", Strength.HARD)
        else:
            memory = LimitInForce("memory", "by a supervisor that sums up the tree and kills", Strength.SOFT)
        if "pids" in groups:
            pids = LimitInForce("processes", f"by control group {groups['pids']}", Strength.HARD)
        else:
            pids = LimitInForce("processes", "by a resource limit inside the sandbox" if not fault else inside, walls)
        if self.users:
            user = LimitInForce(
                "user", f"one of {self.users['count']} users of this machine for each job", Strength.HARD
            )
        else:
            user = LimitInForce("user", "the server's own, in a namespace", walls)
        return (
            LimitInForce("network", inside, walls),
            LimitInForce("files of this machine", inside, walls),
            LimitInForce("system calls", inside, walls),
            user,
            memory,
            pids,
            LimitInForce("disk", "by the size of a home in memory" if not fault else "by the size of one file", walls),
            LimitInForce(
                "wall clock", "by the supervisor, and by timeout around it; neither needs the server", Strength.HARD
            ),
            LimitInForce("log", "by the supervisor that writes it", Strength.HARD),
        )

    def submit(self, spec: JobSpec) -> None:
        folder = self._folder(spec.name)
        if not (folder / "identity").exists():
            if fault := self.unavailable():
                raise SubmitFailed(fault)
            self.prepare()
            if not folder.exists():
                self._lay_out(spec, folder)
            self._supervise(folder, spec.limits.wall_s)

    def _lay_out(self, spec: JobSpec, folder: Path) -> None:
        """Write down what to run beside, and move it into place whole: of two submits one is first, and that one counts."""
        staging = Path(tempfile.mkdtemp(prefix=".new-", dir=self.jobs))
        try:
            job = self._sandboxed_job(spec) if self.is_sandboxed() else self._unsandboxed_job(spec, folder, staging)
            job |= {
                "users": self.users,
                "limits": spec.limits.as_json(),
                "groups": self._groups,
                "bell": str(self.bell),
                "group_name": f"worka-{hashlib.sha256(str(self.jobs).encode()).hexdigest()[:8]}-{spec.name}",
            }
            _write_private(staging / "token", spec.token, 0o400)
            _write_private(staging / "job.json", json.dumps(job), 0o600)
            with suppress(OSError):
                staging.rename(folder)
        finally:
            shutil.rmtree(staging, ignore_errors=True)

    def _sandboxed_job(self, spec: JobSpec) -> dict[str, Any]:
        layout = self._layout()
        environment = command.agent_environment(
            spec,
            home=command.HOME,
            code=command.CODE,
            site=command.SITE if layout.site else "",
            token=command.TOKEN,
            path=f"{command.BIN}:/usr/bin:/bin",
            gateway=f"{command.DOOR}/{self.settings.door_socket.name}",
        )
        staged = self.users is not None
        return {
            "sandboxed": True,
            "argv": command.sandboxed_argv(self.tools, spec),
            "options": command.sandbox_options(layout, spec, environment, staged=staged),
            "stage": [source for source, _ in layout.binds()] if staged else [],
            "filter": str(self._filter),
            "env": {},
            "folder": "/",
        }

    def _unsandboxed_job(self, spec: JobSpec, folder: Path, staging: Path) -> dict[str, Any]:
        """Return the bare process that WORKA_ALLOW_UNSANDBOXED stands for: still detached, timed, and another user's as root."""
        layout = self._layout()
        # Only these two are opened, and only to be walked through: the job's user must reach its home and its token.
        for mine in (self.jobs, staging):
            mine.chmod(0o711)
        (staging / "home" / "tmp").mkdir(parents=True)
        (staging / "home" / "tmp").chmod(0o777)
        python = layout.interpreter
        if layout.interpreter_folder is not None:
            python = str(layout.interpreter_folder / Path(layout.interpreter).relative_to(layout.interpreter_at))
        return {
            "sandboxed": False,
            "argv": command.unsandboxed_argv(self.tools, python, spec),
            "stage": [],
            "filter": "",
            "env": command.agent_environment(
                spec,
                home=str(folder / "home"),
                code=str(layout.code),
                site=str(layout.site or ""),
                path="/usr/bin:/bin",
                gateway=str(self.settings.door_socket.absolute()),
                token=str(folder / "token"),
            ),
            "folder": str(folder / "home"),
        }

    def _layout(self) -> command.Layout:
        assert self._prepared is not None, "submit prepares first"
        return self._prepared

    def _supervise(self, folder: Path, wall_s: int) -> None:
        """Start the job's supervisor and wait until it is known by its identity; a second one leaves it to the first."""
        reader, writer = os.pipe()
        try:
            python = getattr(sys, "_base_executable", sys.executable)
            clock = [self.tools.timeout, "--signal=TERM", f"--kill-after={LATE_S}", str(wall_s + LATE_S)]
            supervisor = [python, "-I", "-S", "-c", SUPERVISOR, str(ROOT), str(folder), str(writer)]
            started = subprocess.run(
                ["/bin/sh", "-c", DETACH, "sh", *clock, *supervisor],
                cwd=folder,
                env={"PATH": "/usr/bin:/bin"},
                pass_fds=[writer],
                start_new_session=True,
                check=False,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                umask=0o077,
            )
            os.close(writer)
            writer = -1
            answer = _answer(reader)
        finally:
            os.close(reader)
            if writer >= 0:
                os.close(writer)
        until = time.monotonic() + START_S
        while answer == "taken" and not (folder / "identity").exists() and time.monotonic() < until:
            time.sleep(0.005)
        if answer == "full":
            raise NoCapacity(f"all {(self.users or {}).get('count')} users for jobs are taken on this machine")
        if answer not in ("started", "taken"):
            with suppress(OSError):
                answer = (folder / "supervisor.log").read_text(errors="replace").strip()[-500:]
            raise SubmitFailed(
                f"the job's supervisor did not start (shell {started.returncode}): {answer or 'no word from it'}"
            )

    def observe(self, name: str) -> Seen:
        folder = self._folder(name)
        known = _read_json(folder / "identity")
        if known is None:
            return Seen(Phase.UNKNOWN)
        # In this order: a supervisor that has just ended had written the exit before.
        alive = identity.is_alive(known)
        ended = _read_json(folder / "exit")
        if ended is not None:
            return Seen(
                Phase.ENDED,
                Ended(ended["ended"]),
                ended["exit_code"],
                ended["detail"],
                _moment(ended["started_at"]),
                _moment(ended["ended_at"]),
                ended["peak_memory_bytes"],
            )
        started_at = _moment(known["started_at"])
        if alive:
            return Seen(Phase.RUNNING, started_at=started_at)
        if (folder / "kill").exists():
            return Seen(Phase.ENDED, Ended.KILLED, detail="it was told to stop", started_at=started_at)
        return Seen(
            Phase.ENDED,
            Ended.LOST,
            detail="its supervisor is gone: killed, or the machine was started again",
            started_at=started_at,
        )

    def kill(self, name: str) -> None:
        folder = self._folder(name)
        known = _read_json(folder / "identity")
        if known is None or (folder / "exit").exists() or not identity.is_alive(known):
            return
        marker = folder / "kill"
        with suppress(FileExistsError, FileNotFoundError):
            marker.touch(exist_ok=False)
        with suppress(FileNotFoundError):
            # The supervisor ends the job and tells how. If it does not, the kernel ends the job with it.
            stubborn = time.time() - marker.stat().st_mtime > STUBBORN_S
            identity.send(known, signal.SIGKILL if stubborn else signal.SIGTERM)

    def logs(self, name: str) -> str:
        return log.read(str(self._folder(name))).decode(errors="replace")

    def forget(self, name: str) -> None:
        folder = self._folder(name)
        known = _read_json(folder / "identity")
        if known is not None:
            for signum in (signal.SIGTERM, signal.SIGKILL):
                until = time.monotonic() + STUBBORN_S
                identity.send(known, signum)
                while identity.is_alive(known) and time.monotonic() < until:
                    time.sleep(0.005)
        job = _read_json(folder / "job.json") or {}
        cgroups.end([f"{parent}/{job['group_name']}" for parent in {*(job.get("groups") or {}).values()}])
        shutil.rmtree(folder, ignore_errors=True)

    def names(self) -> list[str]:
        if not self.jobs.is_dir():
            return []
        return sorted(entry.name for entry in os.scandir(self.jobs) if NAME.fullmatch(entry.name) and entry.is_dir())

    def changed(self) -> bool:
        try:
            rung_ns = self.bell.stat().st_mtime_ns
        except FileNotFoundError:
            return False
        changed, self._rung_ns = rung_ns != self._rung_ns, rung_ns
        return changed

    def _folder(self, name: str) -> Path:
        if not NAME.fullmatch(name):
            raise ValueError(f"{name[:80]!r} is no name of a job")
        return self.jobs / name


def _user_pool(options: Mapping[str, str]) -> dict[str, Any]:
    return {
        "locks": options.get("uid_locks", UID_POOL["locks"]),
        "first": int(options.get("uid_first", UID_POOL["first"])),  # type: ignore[call-overload]
        "count": int(options.get("uid_count", UID_POOL["count"])),  # type: ignore[call-overload]
    }


def _answer(reader: int) -> str:
    """Read the supervisor's one word; the end of the pipe without a word means that it could not begin."""
    ready, _, _ = select.select([reader], [], [], START_S)
    return os.read(reader, 64).decode() if ready else ""


def _write_private(path: Path, text: str, mode: int) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(handle, "w") as file:
        file.write(text)


def _read_json(path: Path) -> dict[str, Any] | None:
    try:
        value = json.loads(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None
    return value if isinstance(value, dict) else None


def _moment(timestamp: float) -> datetime:
    return datetime.fromtimestamp(timestamp, UTC)
