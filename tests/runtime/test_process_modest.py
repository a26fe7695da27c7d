"""The process backend where it has less: an ordinary user, no bubblewrap, no control groups."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from runtime import places
from runtime.backend import BackendSettings, LimitInForce, Strength, SubmitFailed
from runtime.backends.process import Process
from runtime.core.jobs import Ended, JobSpec, Phase
from runtime.sandbox import command, identity, probe
from tests.runtime.conftest import Workbench, gone, settings_in

pytestmark = pytest.mark.sandbox
ROOT = Path(__file__).parent.parent.parent
AS_ROOT = os.geteuid() == 0


@pytest.fixture
def open_home():
    """A folder that any user may walk to; pytest's own are private."""
    folder = Path("/var/tmp") / f"worka-test-{os.getpid()}-{time.time_ns()}"
    folder.mkdir()
    folder.chmod(0o755)
    yield folder
    subprocess.run(["rm", "-rf", str(folder)], check=True)


ORDINARY = """
import json, sys, time
sys.path[:0] = [sys.argv[1]]
from pathlib import Path
from runtime.backend import BackendSettings
from runtime.backends.process import Process
from runtime.core.jobs import JobSpec, Limits, Phase
home = Path(sys.argv[2])
(home / "door").mkdir()
backend = Process.from_settings(BackendSettings(home / "jobs", home / "runtime", home / "door" / "door.sock"))
assert backend.unavailable() == "", backend.unavailable()
out = {"limits": {limit.what: limit.strength for limit in backend.limits_in_force()}}
agents = {
    "exit": "import os; print(os.getuid(), open(os.environ['WORKA_TOKEN_FILE']).read()); raise SystemExit(3)",
    "hang": "import time; time.sleep(600)",
    "eat": "kept = []\\nwhile True: kept.append(bytearray(8 * 2**20))",
    "fork": "import os, time\\nn = 0\\ntry:\\n  while True:\\n    if os.fork() == 0: time.sleep(600)\\n    n += 1\\nexcept OSError: print(n)",
}
for name, code in agents.items():
    backend.submit(JobSpec(name, ("python", "-c", code), token="tok", limits=Limits(memory_bytes=96 * 2**20, pids=20, wall_s=3)))
for name in agents:
    while (seen := backend.observe(name)).phase is not Phase.ENDED: time.sleep(0.01)
    out[name] = [seen.ended, seen.exit_code, backend.logs(name)]
    backend.forget(name)
print(json.dumps(out))
"""


def test_an_ordinary_user_has_the_same_walls(open_home: Path):
    import pyseccomp

    code = open_home / "server"
    for source in ("runtime/core", "runtime/sandbox", "runtime/backends", "audit/core"):
        subprocess.run(["mkdir", "-p", str((code / source).parent)], check=True)
        subprocess.run(["cp", "-r", str(ROOT / source), str(code / source)], check=True)
    for file in ("runtime/__init__.py", "runtime/backend.py", "runtime/places.py", "audit/__init__.py"):
        (code / file).write_text((ROOT / file).read_text())
    (code / "pyseccomp.py").write_text(Path(pyseccomp.__file__).read_text())
    subprocess.run(["chmod", "-R", "a+rX", str(code)], check=True)
    home = open_home / "home"
    home.mkdir()
    somebody: dict = {}
    if AS_ROOT:
        os.chown(home, 61999, 61999)
        somebody = {"user": 61999, "group": 61999, "extra_groups": []}

    python = places.SYSTEM_PYTHON if places._new_enough(places.SYSTEM_PYTHON) else sys.executable
    done = subprocess.run(
        [python, "-c", ORDINARY, str(code), str(home)],
        cwd="/",
        env={"PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        **somebody,
    )

    assert done.returncode == 0, done.stderr
    out = json.loads(done.stdout)
    assert out["exit"] == ["exited", 3, "1000 tok\n"]
    assert out["hang"][0] == "timed_out"
    assert out["eat"][0] == "oom"
    assert out["fork"][:2] == ["exited", 0]
    assert 5 < int(out["fork"][2].split()[0]) < 20
    assert (out["limits"]["network"], out["limits"]["processes"], out["limits"]["wall clock"]) == (
        "hard",
        "hard",
        "hard",
    )


@pytest.fixture
def no_bwrap(monkeypatch: pytest.MonkeyPatch):
    found = command.Tools.find()
    monkeypatch.setattr(command.Tools, "find", classmethod(lambda cls: command.Tools("", found.timeout, found.prlimit)))


def test_without_a_sandbox_no_job_runs(no_bwrap: None, tmp_path: Path):
    backend = Process.from_settings(settings_in(tmp_path))

    assert backend.unavailable() == "bwrap is not installed: `apt install bubblewrap` (or your system's way) brings it."
    with pytest.raises(SubmitFailed, match="bwrap is not installed"):
        backend.submit(JobSpec("worka-none-1", ("true",)))
    assert backend.observe("worka-none-1").phase is Phase.UNKNOWN
    assert backend.names() == []


def test_without_a_sandbox_jobs_run_only_where_it_was_allowed_knowingly(
    no_bwrap: None, open_home: Path, make_workbench: Callable[..., Workbench], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("ANTHROPIC_API_KEY", "a key of the server")
    bench = make_workbench(open_home, allow_unsandboxed=True)
    assert bench.backend.unavailable() == ""
    assert (
        LimitInForce("network", "not at all: jobs run without a sandbox", Strength.NONE)
        in bench.backend.limits_in_force()
    )

    seen, log = bench.run("""
        import os
        open(os.path.expanduser("~/mine"), "w").write("x")
        print(os.environ["WORKA_JOB"], "ANTHROPIC_API_KEY" in os.environ, os.getuid(), open(os.environ["WORKA_TOKEN_FILE"]).read())
        raise SystemExit(3)
    """)

    assert (seen.ended, seen.exit_code) == (Ended.EXITED, 3), (seen, log)
    job, has_key, uid, token = log.split()
    assert (job, has_key, token) == ("worka-test-0", "False", "the-token")
    assert int(uid) == os.getuid() or 62000 <= int(uid) < 62256
    assert int(uid) != 0


def test_a_job_without_a_sandbox_takes_its_runaways_along(
    no_bwrap: None, open_home: Path, make_workbench: Callable[..., Workbench]
):
    bench = make_workbench(open_home, allow_unsandboxed=True)
    name = bench.start(
        """
        import os, time
        if os.fork() == 0:
            os.setsid()
            if os.fork() == 0:
                print(f"runaway {os.getpid()}", flush=True)
                time.sleep(600)
            os._exit(0)
        time.sleep(600)
    """,
        wall_s=2,
    )
    runaway = int(bench.printed(name, "\n").split()[1])
    assert identity.start_time(runaway)

    assert bench.ended(name).ended is Ended.TIMED_OUT
    assert gone([runaway])


def test_a_private_home_is_named_when_a_job_without_a_sandbox_could_not_reach_it(no_bwrap: None, tmp_path: Path):
    tmp_path.chmod(0o700)
    backend = Process.from_settings(settings_in(tmp_path, allow_unsandboxed=True))

    assert (f"because {tmp_path} is private" in backend.unavailable()) == AS_ROOT


def test_a_machine_without_control_groups_says_that_memory_is_watched(bench: Workbench):
    bench.backend._groups = {}

    limits = {limit.what: limit for limit in bench.backend.limits_in_force()}

    assert limits["memory"] == LimitInForce("memory", "by a supervisor that sums up the tree and kills", Strength.SOFT)
    assert limits["processes"].strength is Strength.HARD
    assert limits["network"].strength is Strength.HARD


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        ("bwrap: setting up uid map: Permission denied", "kernel.apparmor_restrict_unprivileged_userns=0"),
        ("bwrap: No permissions to create new namespace, likely because", "user.max_user_namespaces"),
        ("bwrap: Unknown option --disable-userns", "0.8 or newer is needed"),
        ("bwrap: Can't mount proc on /newroot/proc: Operation not permitted", "a container?"),
        ("", "it said nothing"),
    ],
)
def test_what_bubblewrap_says_becomes_a_sentence_with_a_remedy(said: str, sentence: str):
    assert sentence in probe.explain(said)


def test_a_server_without_the_filter_library_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def absent() -> bytes:
        raise probe.FilterUnavailable("Unable to find libseccomp")

    monkeypatch.setattr(probe, "filter_program", absent)

    assert "apt install libseccomp2" in Process.from_settings(settings_in(tmp_path)).unavailable()


def test_settings_alone_touch_nothing(tmp_path: Path):
    Process.from_settings(BackendSettings(tmp_path / "jobs", tmp_path / "runtime", tmp_path / "door" / "s"))

    assert list(tmp_path.iterdir()) == []
