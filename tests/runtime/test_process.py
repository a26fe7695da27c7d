"""The process backend: its jobs outlive the server, are known again, and hit nobody else."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from runtime.backend import NoCapacity, SubmitFailed
from runtime.backends.process import Process
from runtime.core.jobs import Ended, JobSpec, Phase
from runtime.sandbox import command, identity
from tests.runtime.conftest import Workbench, gone, processes_of

pytestmark = pytest.mark.sandbox
ROOT = Path(__file__).parent.parent.parent
AS_ROOT = os.geteuid() == 0

# A server of its own: submits one job, says so, and goes on.
SERVER = """
import sys, time
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from runtime.backend import BackendSettings
from runtime.backends.process import Process
from runtime.core.jobs import JobSpec
home = Path(sys.argv[2])
backend = Process.from_settings(BackendSettings(home / "jobs", home / "runtime", home / "door" / "door.sock"))
backend.submit(JobSpec("worka-orphan-1", ("python", "-c", sys.argv[3])))
print("submitted", flush=True)
time.sleep(600)
"""


def known(bench: Workbench, name: str) -> dict:
    return json.loads((bench.backend.jobs / name / "identity").read_text())


# --- The server dies ------------------------------------------------------------------------------------------------


@pytest.mark.crash
def test_a_job_outlives_a_killed_server_and_the_next_one_learns_how_it_ended(bench: Workbench):
    agent = "import time; print('begun', flush=True); time.sleep(1.5); print('done'); raise SystemExit(7)"
    server = subprocess.Popen([sys.executable, "-c", SERVER, str(ROOT), str(bench.home), agent], stdout=subprocess.PIPE)
    with server:
        assert server.stdout and server.stdout.readline() == b"submitted\n"
        bench.printed("worka-orphan-1", "begun")
        server.send_signal(signal.SIGKILL)
    assert server.returncode == -signal.SIGKILL

    assert bench.backend.observe("worka-orphan-1").phase is Phase.RUNNING
    supervisor = psutil.Process(known(bench, "worka-orphan-1")["pid"])
    assert server.pid not in [parent.pid for parent in supervisor.parents()]
    seen = bench.ended("worka-orphan-1")
    assert (seen.ended, seen.exit_code) == (Ended.EXITED, 7)
    assert bench.backend.logs("worka-orphan-1") == "begun\ndone\n"


@pytest.mark.crash
def test_a_job_of_a_killed_server_can_be_killed_by_the_next(bench: Workbench):
    server = subprocess.Popen(
        [sys.executable, "-c", SERVER, str(ROOT), str(bench.home), "import time; time.sleep(600)"],
        stdout=subprocess.PIPE,
    )
    with server:
        assert server.stdout and server.stdout.readline() == b"submitted\n"
        server.kill()

    bench.backend.kill("worka-orphan-1")

    assert bench.ended("worka-orphan-1").ended is Ended.KILLED


def test_a_job_is_no_child_and_leaves_no_zombie(bench: Workbench):
    name = bench.start("pass")
    pid = known(bench, name)["pid"]
    bench.ended(name)

    assert pid not in [child.pid for child in psutil.Process().children(recursive=True)]
    assert not [child for child in psutil.Process().children() if child.status() == psutil.STATUS_ZOMBIE]
    assert gone([pid])


def test_a_job_that_was_laid_out_but_never_started_is_started_by_the_next_submit(
    bench: Workbench, monkeypatch: pytest.MonkeyPatch
):
    spec = JobSpec("worka-half-1", ("sh", "-c", "echo once"))
    with monkeypatch.context() as patched:
        patched.setattr(bench.backend, "_supervise", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            bench.backend.submit(spec)
    assert bench.backend.observe(spec.name).phase is Phase.UNKNOWN
    assert bench.backend.names() == [spec.name]

    Process.from_settings(bench.backend.settings).submit(spec)

    assert bench.ended(spec.name).exit_code == 0
    assert bench.backend.logs(spec.name) == "once\n"


def test_two_servers_that_submit_at_once_start_one_job(bench: Workbench):
    bench.backend.prepare()
    servers = [
        subprocess.Popen(
            [sys.executable, "-c", SERVER, str(ROOT), str(bench.home), "print('once')"], stdout=subprocess.PIPE
        )
        for _ in range(3)
    ]
    for server in servers:
        with server:
            assert server.stdout and server.stdout.readline() == b"submitted\n"
            server.kill()

    assert bench.ended("worka-orphan-1").exit_code == 0
    assert bench.backend.logs("worka-orphan-1") == "once\n"


# --- The supervisor dies, and pids come back ------------------------------------------------------------------------


@pytest.mark.crash
def test_a_job_whose_supervisor_is_killed_ends_with_it_and_is_lost(bench: Workbench):
    name = bench.start("import time; print('up'); time.sleep(600)")
    bench.printed(name, "up")
    supervisor = psutil.Process(known(bench, name)["pid"])
    tree = [child.pid for child in supervisor.children(recursive=True)]
    assert len(tree) >= 3

    supervisor.kill()

    seen = bench.ended(name)
    assert (seen.ended, seen.exit_code) == (Ended.LOST, None)
    assert gone(tree)


@pytest.mark.crash
def test_no_agent_runs_on_whenever_its_supervisor_is_killed(bench: Workbench):
    for number in range(14):
        name = bench.start("import time; time.sleep(600)", name=f"worka-moment-{number}")
        time.sleep(number * 0.004)  # while the sandbox is being set up, at another moment each time
        os.kill(known(bench, name)["pid"], signal.SIGKILL)

        assert bench.ended(name).ended is Ended.LOST
        assert gone([process.pid for process in processes_of(name)]), f"{number}"


@pytest.mark.crash
def test_a_supervisor_that_was_told_to_stop_and_is_gone_had_its_job_killed(bench: Workbench):
    name = bench.start("import time; print('up'); time.sleep(600)")
    bench.printed(name, "up")
    pid = known(bench, name)["pid"]
    os.kill(pid, signal.SIGSTOP)  # too busy to listen
    bench.backend.kill(name)
    assert bench.backend.observe(name).phase is Phase.RUNNING
    marker = bench.backend.jobs / name / "kill"
    os.utime(marker, (time.time() - 6, time.time() - 6))

    bench.backend.kill(name)

    assert bench.ended(name).ended is Ended.KILLED
    assert gone([pid])


@pytest.fixture
def bystander():
    with subprocess.Popen(["sleep", "600"]) as process:
        yield process
        process.kill()


@pytest.mark.parametrize(
    "forged",
    [
        lambda pid: {**identity.identify(pid), "start": (identity.start_time(pid) or 0) - 1},
        lambda pid: {**identity.identify(pid), "boot": "00000000-0000-0000-0000-000000000000"},
        lambda pid: {**identity.identify(pid), "start": None},
    ],
    ids=["started at another time", "of another boot", "without a start"],
)
def test_somebody_elses_process_with_the_jobs_pid_is_neither_trusted_nor_killed(
    bench: Workbench, bystander: subprocess.Popen, forged: Callable[[int], dict]
):
    name = bench.start("import time; time.sleep(600)")
    file = bench.backend.jobs / name / "identity"
    real = json.loads(file.read_text())
    file.write_text(json.dumps({**forged(bystander.pid), "started_at": real["started_at"]}))

    assert bench.backend.observe(name).ended is Ended.LOST
    bench.backend.kill(name)
    bench.backend.forget(name)

    assert bystander.poll() is None
    identity.send(real, signal.SIGTERM)
    assert gone([real["pid"]])


def test_an_identity_hits_the_process_that_it_names(bystander: subprocess.Popen):
    assert identity.is_alive(identity.identify(bystander.pid))

    assert identity.send(identity.identify(bystander.pid), signal.SIGKILL)

    assert bystander.wait(10) == -signal.SIGKILL
    assert not identity.send(identity.identify(bystander.pid), signal.SIGKILL)


def test_a_process_that_is_only_a_zombie_is_not_alive():
    child = os.fork()
    if child == 0:
        os._exit(0)
    until = time.monotonic() + 10
    while psutil.Process(child).status() != psutil.STATUS_ZOMBIE and time.monotonic() < until:
        time.sleep(0.01)

    try:
        assert identity.start_time(child) is None
    finally:
        os.waitpid(child, 0)


# --- What is left, and what is touched ------------------------------------------------------------------------------


def test_a_forgotten_job_leaves_nothing(bench: Workbench):
    name = bench.start("import time; print('up'); time.sleep(600)")
    bench.printed(name, "up")
    groups = [
        Path(parent) / json.loads((bench.backend.jobs / name / "job.json").read_text())["group_name"]
        for parent in (bench.backend._groups or {}).values()
    ]
    assert all(group.is_dir() for group in groups)
    pid = known(bench, name)["pid"]
    tree = [pid, *(child.pid for child in psutil.Process(pid).children(recursive=True))]

    bench.backend.forget(name)

    assert gone(tree)
    assert not any(group.exists() for group in groups)
    assert [entry.name for entry in bench.backend.jobs.iterdir()] == [".bell"]


def test_an_ended_job_leaves_no_control_group_and_no_token(bench: Workbench):
    name = bench.start("pass")
    bench.ended(name)

    group = json.loads((bench.backend.jobs / name / "job.json").read_text())["group_name"]
    assert not any((Path(parent) / group).exists() for parent in (bench.backend._groups or {}).values())
    assert not (bench.backend.jobs / name / "token").exists()


def test_no_folder_outside_changes_its_mode_and_a_private_home_is_no_hindrance(
    tmp_path: Path, make_workbench: Callable[..., Workbench]
):
    home = tmp_path / "private" / "worka"
    home.mkdir(parents=True)
    (tmp_path / "private").chmod(0o700)
    home.chmod(0o700)
    (tmp_path / "package").mkdir(mode=0o700)
    (tmp_path / "package" / "__init__.py").write_text("word = 'imported'")
    (tmp_path / "package" / "__init__.py").chmod(0o600)
    outside = [
        tmp_path,
        tmp_path / "private",
        home,
        tmp_path / "package",
        tmp_path / "package" / "__init__.py",
        *home.parents,
    ]
    before = [path.stat().st_mode for path in outside]
    bench = make_workbench(home, packages={"deep.package": tmp_path / "package"})

    seen, log = bench.run("import deep.package; print(deep.package.word)")

    assert (seen.exit_code, log) == (0, "imported\n")
    assert [path.stat().st_mode for path in outside] == before


def test_when_all_users_are_taken_the_next_job_waits(tmp_path: Path, make_workbench: Callable[..., Workbench]):
    bench = make_workbench(options={"uid_locks": str(tmp_path / "locks"), "uid_first": "62900", "uid_count": "1"})
    if not AS_ROOT:
        # Without root there is one user, whom all jobs share; nothing is ever taken.
        assert bench.backend.users is None
        return
    first = bench.start("import time; time.sleep(600)")

    with pytest.raises(NoCapacity, match="all 1 users"):
        bench.start("print('second')", name="worka-second-1")
    assert bench.backend.observe("worka-second-1").phase is Phase.UNKNOWN

    bench.backend.kill(first)
    bench.ended(first)
    assert gone([known(bench, first)["pid"]])
    bench.start("print('second')", name="worka-second-1")
    assert bench.ended("worka-second-1").exit_code == 0


def test_a_server_whose_published_folder_was_cleared_publishes_it_again(bench: Workbench):
    bench.backend.prepare()
    subprocess.run(["rm", "-rf", str(bench.home / "runtime")], check=True)

    seen, log = bench.run("print('here')")

    assert (seen.exit_code, log) == (0, "here\n")


def test_a_command_that_is_too_long_is_no_start_and_says_so(bench: Workbench):
    name = "worka-long-1"
    bench.backend.submit(JobSpec(name, ("true",), token="t" * 100_000))

    seen = bench.ended(name)

    assert (seen.ended, seen.detail) == (
        Ended.NOT_STARTED,
        "the sandbox could not be set up: the command or the token is too long",
    )


def test_a_sandbox_that_cannot_be_set_up_is_told_apart_from_an_agent_that_failed(bench: Workbench):
    bench.backend.prepare()
    bench.backend._prepared = command.Layout(bench.home, None, bench.home / "not there", "/usr/bin/python3")
    bench.backend.submit(JobSpec("worka-walls-1", ("true",)))

    seen = bench.ended("worka-walls-1")

    assert seen.ended is Ended.NOT_STARTED
    assert "not there" in seen.detail


def test_a_supervisor_that_cannot_begin_is_no_job_and_says_why(bench: Workbench, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("runtime.backends.process.SUPERVISOR", "raise SystemExit('no room to begin')")
    spec = JobSpec("worka-begin-1", ("sh", "-c", "echo once"))
    with pytest.raises(SubmitFailed, match=r"did not start .*: no room to begin"):
        bench.backend.submit(spec)
    assert bench.backend.observe(spec.name).phase is Phase.UNKNOWN

    monkeypatch.undo()
    bench.backend.submit(spec)

    assert bench.ended(spec.name).exit_code == 0
    assert bench.backend.logs(spec.name) == "once\n"
