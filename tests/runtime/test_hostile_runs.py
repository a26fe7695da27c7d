"""A hostile agent, from its first attempt to the run's end: a burn with its kind each time, the next attempt, a reason at last."""

import os
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.db import connection

from audit.models import AuditEvent
from gateway.models import Document
from governance.models import Agent, Burn, SkillInvocation, Step
from runtime import tasks
from runtime.models import AgentJob
from tests import desk
from tests.fakes import FakeBackend
from tests.journeys import Journey, journey
from tests.runtime.conftest import Listener, Workbench, processes_of

pytestmark = [pytest.mark.django_db, pytest.mark.sandbox]

ATTEMPTS, PATIENCE_S = 2, 60
POLICY = desk.POLICY.replace(
    "step: {attempts: 3, backoff: 1s}", f"step: {{attempts: {ATTEMPTS}, backoff: 0s, timeout: 20s}}"
)
MODEST = {"memory_bytes": 96 * 2**20, "pids": 24, "disk_bytes": 12 * 2**20}

AGENTS = {
    "hangs": ("import time; time.sleep(600)", "job_timeout", ""),
    "ignores every signal": (
        "import signal, time\nfor n in set(signal.Signals) - {9, 19}: signal.signal(n, signal.SIG_IGN)\ntime.sleep(600)",
        "job_timeout", "",
    ),
    "forks without end": ("import os\nwhile True: os.fork()", "job_failed", "BlockingIOError"),
    "eats memory": ("kept = []\nwhile True: kept.append(bytearray(8 * 2**20))", "oom", ""),
    "writes a gigabyte": (
        "import os\nwith open(os.path.expanduser('~/big'), 'wb') as big:\n    for _ in range(1024): big.write(bytes(2**20))",
        "job_failed", "OSError",
    ),
    "opens a socket to the world": (
        "import socket; socket.create_connection(('192.0.2.1', 443), 1)", "job_failed", "Address family not supported",
    ),
    "reads what is the host's": ("print(open('HOSTS_FILE').read())", "job_failed", "FileNotFoundError"),
    "talks to the data base": (
        "import socket; socket.socket(socket.AF_UNIX).connect('DATABASE_SOCKET')", "job_failed", "FileNotFoundError",
    ),
}  # fmt: skip


class Divided(FakeBackend):
    """Planners in memory, played by the test; whoever works on a step is a real process."""

    def __init__(self, real: Any) -> None:
        super().__init__()
        self.real = real

    def _of(self, name: str) -> Any:
        return super() if name in self.jobs else self.real

    def submit(self, spec: Any) -> None:
        (super() if "planner" in spec.argv else self.real).submit(spec)

    def observe(self, name: str) -> Any:
        return self._of(name).observe(name)

    def kill(self, name: str) -> None:
        self._of(name).kill(name)

    def logs(self, name: str) -> str:
        return str(self._of(name).logs(name))

    def forget(self, name: str) -> None:
        self._of(name).forget(name)

    def names(self) -> Any:
        return [*super().names(), *self.real.names()]

    def changed(self) -> bool:
        return True


@pytest.fixture
def hosts_file() -> Iterator[str]:
    with tempfile.NamedTemporaryFile("w", dir="/var/tmp", prefix="hosts-") as file:
        file.write("the host's own")
        file.flush()
        os.chmod(file.name, 0o644)
        yield file.name


def working(monkeypatch: pytest.MonkeyPatch, bench: Workbench, code: str) -> Journey:
    """Return a journey whose one step is at work, by a real process of this code."""
    j = journey(monkeypatch, policy=POLICY.replace("20s", "1s") if "sleep" in code else POLICY)
    j.backend = Divided(bench.backend)
    monkeypatch.setattr(tasks, "configured_backend", lambda: j.backend)
    Agent.objects.filter(name="hari").update(command=["planner"])
    Agent.objects.filter(name="ernest").update(command=["python", "-c", code])
    j.ask()
    j.propose(desk.step("look", ("a", "peek", "letters")))
    return j


@pytest.mark.parametrize(("code", "kind", "said"), AGENTS.values(), ids=AGENTS.keys())
def test_it_is_stopped_tried_again_and_ends_its_run_with_a_reason(
    monkeypatch: pytest.MonkeyPatch,
    bench: Workbench,
    listen: Callable[[str], Listener],
    hosts_file: str,
    settings: Any,
    code: str,
    kind: str,
    said: str,
) -> None:
    settings.WORKA_JOB_LIMITS = {**settings.WORKA_JOB_LIMITS, **MODEST}
    where = connection.settings_dict
    place = f"{where['HOST']}/.s.PGSQL.{where['PORT'] or 5432}"
    if not where["HOST"].startswith("/"):  # the data base of this run is on TCP: a socket that is there in its place
        place = listen(str(bench.home / "pg.sock")).path
    assert Path(place).is_socket()
    j = working(monkeypatch, bench, code.replace("HOSTS_FILE", hosts_file).replace("DATABASE_SOCKET", place))

    until = time.monotonic() + PATIENCE_S
    while j.run.state == "running":
        assert time.monotonic() < until, list(AgentJob.objects.values_list("name", "state", "log_tail"))
        j.tick()
        time.sleep(0.05)

    burns = list(Burn.objects.filter(run=j.run).order_by("created_at").values_list("kind", "agent_name"))
    assert burns == [(kind, "ernest")] * ATTEMPTS, list(AgentJob.objects.values_list("log_tail", flat=True))
    assert j.run.state == "failed" and j.run.reason
    step = Step.objects.get(run=j.run)
    assert (step.state, step.attempt) == ("failed", ATTEMPTS)
    jobs = AgentJob.objects.filter(step=step)
    assert jobs.count() == ATTEMPTS and not jobs.filter(state__in=("queued", "submitted", "running")).exists()
    assert all(said in log for log in jobs.values_list("log_tail", flat=True))
    assert "the host's own" not in "".join(jobs.values_list("log_tail", flat=True))
    assert not any(processes_of(job.name) for job in jobs)
    assert not SkillInvocation.objects.filter(run=j.run).exclude(state="requested").exists()
    assert not Document.objects.exists()
    told = list(AuditEvent.objects.filter(run=j.run.pk).order_by("id").values_list("type", flat=True))
    assert told.count("step.retry") == ATTEMPTS - 1 and told.count("run.fail") == told.count("step.fail") == 1
