"""Each agent as the process that the backend starts: environment in, exit code out."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.agents.contexts import figures, planning, step

ROOT = Path(__file__).resolve().parents[2]


def run(arguments, environ):
    return subprocess.run(
        [sys.executable, "-m", "runtime.agents", *arguments], cwd="/", capture_output=True, text=True, timeout=30, check=False,
        env={"PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'sdk'}", **environ},
    )  # fmt: skip


def test_hari_plans(door, environ):
    door.context = planning("Report on the repository /srv/repos/orders since v2.3.0")

    done = run(["hari"], environ)

    assert (done.returncode, done.stderr) == (0, "the request is read by the playbook repository-report\n")
    assert door.plans[0]["summary"] == "Report on orders since v2.3.0"


def test_ernest_calls_and_renders_and_daneel_tells(door, environ):
    door.context = step({"kind": "direct", "calls": [{"call_id": "log", "skill": "git.log", "input": {}}]})
    door.calls["log"] = [(200, {"state": "succeeded", "output": {"total": 1}})]
    assert run(["ernest"], environ).returncode == 0

    door.is_over = False
    door.context = step(
        {
            "kind": "render",
            "template": "repository-report",
            "data": figures(),
            "artifact": {"name": "r.md", "media_type": "text/markdown"},
        }
    )
    assert run(["ernest"], environ).returncode == 0

    door.is_over = False
    door.context = step({"kind": "render", "template": "answer", "data": {**figures(), "document": "r.md"}})
    assert run(["daneel"], environ).returncode == 0

    assert [result["status"] for result in door.results] == ["succeeded"] * 3
    assert door.results[0]["output"] == {"log": {"total": 1}}
    assert [stored["name"] for stored in door.artifacts.values()] == ["r.md"]


def test_a_step_that_sleeps_ends_its_process_well(door, environ):
    door.context = step({"kind": "direct", "calls": [{"call_id": "w", "skill": "files.write", "input": {}}]})
    door.calls["w"] = [(202, {"state": "held", "gate": "g"})]

    done = run(["ernest"], environ)

    assert done.returncode == 0
    assert door.results[0]["waits_for"] == ["w"]


def test_the_token_is_in_no_line_that_an_agent_prints(door, environ):
    door.is_over = True

    done = run(["ernest"], environ)

    assert done.returncode == 4
    assert "payload" not in done.stderr + done.stdout


@pytest.mark.parametrize("arguments", [[], ["nobody"], ["hari", "ernest"]])
def test_only_our_agents_are_started(arguments):
    done = run(arguments, {})

    assert (done.returncode, "usage" in done.stderr) == (2, True)
