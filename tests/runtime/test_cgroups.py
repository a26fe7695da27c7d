"""Control groups of both versions, on folders that look like the kernel's; the real ones are tried by the hostile agents."""

import os
from pathlib import Path

import pytest

from runtime.sandbox import cgroups
from runtime.sandbox.cgroups import JobGroups

MIB = 2**20


class Tree:
    """A folder that answers like a control-group file system: a new group has its control files."""

    def __init__(self, root: Path, files: dict[str, str]) -> None:
        self.root, self.files = root, files

    def mkdir(self, path: str, *args: object) -> None:
        real_mkdir(path)
        for name, text in self.files.items():
            Path(path, name).write_text(text)

    def rmdir(self, path: str) -> None:
        # The kernel's files do not keep a group from being removed.
        for file in Path(path).iterdir():
            file.unlink()
        real_rmdir(path)


real_mkdir, real_rmdir = os.mkdir, os.rmdir
V2 = {
    "memory.max": "max",
    "memory.swap.max": "max",
    "memory.oom.group": "0",
    "pids.max": "max",
    "cgroup.procs": "",
    "memory.events": "low 0\noom 0\noom_kill 0\n",
    "memory.peak": "1048576\n",
}


@pytest.fixture
def second_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The group of a server that systemd has given a group of its own."""
    own = tmp_path / "system.slice" / "worka.service"
    own.mkdir(parents=True)
    for name, text in {
        **V2,
        "cgroup.controllers": "cpu memory pids",
        "cgroup.subtree_control": "",
        "cgroup.procs": "",
    }.items():
        (own / name).write_text(text)
    tree = Tree(tmp_path, V2)
    monkeypatch.setattr(os, "mkdir", tree.mkdir)
    monkeypatch.setattr(os, "rmdir", tree.rmdir)
    (tmp_path / "mounts").write_text(f"proc /proc proc rw 0 0\ncgroup2 {tmp_path} cgroup2 rw,nosuid 0 0\n")
    (tmp_path / "own").write_text("0::/system.slice/worka.service\n")
    return own


def find(folder: Path) -> dict[str, str]:
    return cgroups.find(str(folder / "mounts"), str(folder / "own"))


def test_a_group_that_was_given_away_whole_is_used(
    second_version: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(os, "listxattr", lambda path: ["user.delegate"])
    (second_version / "cgroup.procs").write_text(f"{os.getpid()}\n")

    assert find(tmp_path) == {"memory": str(second_version), "pids": str(second_version)}

    assert (second_version / "cgroup.subtree_control").read_text() == "+memory +pids"
    assert (second_version / "worka-server" / "cgroup.procs").read_text() == str(os.getpid())
    assert not list(second_version.glob("worka-probe-*"))


def test_a_group_of_the_system_that_nobody_gave_away_is_left_alone(
    second_version: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(os, "listxattr", lambda path: [])

    assert find(tmp_path) == {}

    assert (second_version / "cgroup.subtree_control").read_text() == ""
    assert not (second_version / "worka-server").exists()


def test_a_group_without_the_controllers_is_not_used(second_version: Path, tmp_path: Path):
    (second_version / "cgroup.controllers").write_text("hugetlb")

    assert find(tmp_path) == {}


def test_a_job_gets_its_limits_in_one_group_of_version_two(second_version: Path):
    groups = JobGroups({"memory": str(second_version), "pids": str(second_version)}, "worka-a-1", 64 * MIB, 20)

    group = second_version / "worka-a-1"
    assert groups.folders == [str(group)]
    assert (group / "memory.max").read_text() == str(64 * MIB)
    assert (group / "memory.swap.max").read_text() == "0"
    assert (group / "memory.oom.group").read_text() == "1"
    assert (group / "pids.max").read_text() == str(20 + cgroups.OVERHEAD_PIDS)
    assert (groups.oom_kills(), groups.peak()) == (0, MIB)
    (group / "memory.events").write_text("oom 3\noom_kill 2\n")
    assert groups.oom_kills() == 2
    groups.join()
    assert (group / "cgroup.procs").read_text() == "0"
    groups.remove()
    assert not group.exists()


def test_a_limit_that_cannot_be_set_is_not_said_to_be_held(tmp_path: Path):
    groups = JobGroups({"memory": str(tmp_path / "not there")}, "worka-a-1", MIB, 20)

    assert (groups.memory, groups.pids, groups.folders) == ("", "", [])
    assert (groups.oom_kills(), groups.peak()) == (0, None)


def test_the_first_version_is_found_by_its_controllers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for controller, limit in (("memory", "memory.limit_in_bytes"), ("pids", "pids.max")):
        (tmp_path / controller / "mine").mkdir(parents=True)
        (tmp_path / controller / "mine" / limit).write_text("")
    tree = Tree(tmp_path, {"memory.limit_in_bytes": "", "pids.max": ""})
    monkeypatch.setattr(os, "mkdir", tree.mkdir)
    monkeypatch.setattr(os, "rmdir", tree.rmdir)
    (tmp_path / "mounts").write_text(
        "".join(f"cgroup {tmp_path}/{name} cgroup rw,{name} 0 0\n" for name in ("cpu", "memory", "pids"))
    )
    (tmp_path / "own").write_text("9:pids:/mine\n4:memory:/mine\n1:cpu:/\n0::/\n")

    assert find(tmp_path) == {"memory": f"{tmp_path}/memory/mine", "pids": f"{tmp_path}/pids/mine"}


def test_removing_waits_for_the_last_process_and_gives_up_in_time(tmp_path: Path):
    (tmp_path / "busy").mkdir()
    (tmp_path / "busy" / "held").write_text("")

    cgroups.remove([str(tmp_path / "busy"), str(tmp_path / "gone")], patience_s=0.05)

    assert (tmp_path / "busy").exists()
