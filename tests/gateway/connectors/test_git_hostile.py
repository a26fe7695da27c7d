"""Repositories, paths and revisions made to do harm: refused or read harmlessly, and nothing is ever executed.

Each trap is first sprung by git outside the cage, so that a test here cannot pass on a trap that would never work.
"""

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from audit.core.codes import Code
from gateway import cage
from gateway.connector import SkillFailed
from gateway.git import repository as repository_module
from gateway.git.repository import Repository
from tests.gateway.connectors.repositories import ENVIRONMENT, EVERY_SKILL

pytestmark = pytest.mark.sandbox

SIGNATURE = b"gpgsig -----BEGIN PGP SIGNATURE-----\n \n iQ\n -----END PGP SIGNATURE-----"


def try_every_skill(git):
    """Call all skills; whether they answer or fail does not matter here."""
    answered = 0
    for verb, arguments in EVERY_SKILL:
        try:
            git(verb, **arguments)
            answered += 1
        except SkillFailed:
            continue
    return answered


class Trap:
    """A program that leaves a canary, and a repository whose configuration names it."""

    def __init__(self, repo, folder):
        self.repo = repo
        self.ran = folder / "ran"
        self.ran.mkdir()
        self.canary = self.ran / "canary"
        self.program = folder / "trap"
        self.program.write_text(f"#!/bin/sh\necho x > {self.canary}\n")
        self.program.chmod(0o755)
        repo.commit("one", {"a.txt": "a\n", ".gitattributes": "*.txt diff=evil filter=evil\n"})
        repo.commit("two", {"a.txt": "b\n"})
        repo.raw_commit([b"author A <a@x> 1700200000 +0000", b"committer C <c@x> 1700200000 +0000", SIGNATURE], b"s\n")

    def set(self, **settings):
        with (self.repo.path / ".git" / "config").open("a") as config:
            for name, value in settings.items():
                section, _, key = name.rpartition("__")
                parts = section.split("__")
                head = parts[0] if len(parts) == 1 else f'{parts[0]} "{parts[1]}"'
                config.write(f"[{head}]\n\t{key} = {value}\n")

    def spring(self, *command):
        """Let git outside the cage fall into the trap, and clean up."""
        subprocess.run(["git", *command], cwd=self.repo.path, env=ENVIRONMENT, capture_output=True, check=False)
        assert self.canary.exists(), "this trap does not work, so it proves nothing"
        self.canary.unlink()


@pytest.fixture
def trap(repo, tmp_path):
    folder = tmp_path / "trap"
    folder.mkdir()
    return Trap(repo, folder)


def arm_fsmonitor(trap):
    trap.set(core__fsmonitor=trap.program)
    return ["status"]


def arm_signature(trap):
    trap.set(log__showSignature="true", gpg__program=trap.program)
    return ["log", "-1"]


def arm_external_diff(trap):
    trap.set(diff__external=trap.program)
    return ["diff", "HEAD~2", "HEAD"]


def arm_diff_command(trap):
    trap.set(diff__evil__command=trap.program)
    return ["diff", "HEAD~2", "HEAD"]


def arm_textconv(trap):
    trap.set(diff__evil__textconv=trap.program)
    return ["log", "-p"]


def arm_filter(trap):
    trap.set(filter__evil__clean=trap.program, filter__evil__process=trap.program)
    (trap.repo.path / "a.txt").write_text("changed\n")
    return ["diff"]


def arm_include(trap):
    (trap.repo.path / "included").write_text(f"[core]\n\tfsmonitor = {trap.program}\n")
    trap.set(include__path="../included")
    return ["status"]


def arm_lazy_fetch(trap):
    trap.set(
        core__repositoryformatversion="1",
        extensions__partialClone="origin",
        remote__origin__promisor="true",
        remote__origin__url=f'"ext::{trap.program} %S"',
        protocol__ext__allow="always",
    )
    blob = trap.repo.run("rev-parse", "HEAD:a.txt")
    (trap.repo.path / ".git" / "objects" / blob[:2] / blob[2:]).unlink()
    return ["log", "-p"]


ARMS = [
    arm_fsmonitor,
    arm_signature,
    arm_external_diff,
    arm_diff_command,
    arm_textconv,
    arm_filter,
    arm_include,
    arm_lazy_fetch,
]


def open_the_cage(monkeypatch, trap, *, may_start_programs):
    """Let the trap be seen and its canary be written inside: what is left of the defence must hold alone."""
    real = Repository._cage
    folder, scratch = str(trap.program.parent), trap.program.parent / "scratch"
    scratch.mkdir()

    def weaker(self):
        writable = {
            str(scratch): "/tmp",
            folder: folder,
        }  # git hands files to programs in /tmp, which is not there else
        return replace(real(self), writable=writable, may_start_programs=may_start_programs)

    monkeypatch.setattr(Repository, "_cage", weaker)


@pytest.mark.parametrize("arm", ARMS)
def test_hostile_configuration_executes_nothing(trap, git, arm):
    trap.spring(*arm(trap))

    answered = try_every_skill(git)

    assert not trap.canary.exists()
    assert answered == (0 if arm is arm_lazy_fetch else 6)  # what is not there is not read as empty


@pytest.mark.parametrize("arm", ARMS)
def test_the_settings_alone_keep_hostile_configuration_from_executing(trap, git, monkeypatch, arm):
    trap.spring(*arm(trap))
    open_the_cage(monkeypatch, trap, may_start_programs=True)

    try_every_skill(git)

    assert not trap.canary.exists()


def take_the_settings_away(monkeypatch):
    plain = {name: value for name, value in repository_module.ENVIRONMENT.items() if not name.startswith("GIT_")}
    monkeypatch.setattr(repository_module, "ENVIRONMENT", {**plain, "GIT_CONFIG_COUNT": "0"})
    monkeypatch.setattr("gateway.connectors.git.NO_PROGRAMS", ("--ext-diff", "--textconv"))
    monkeypatch.setattr("gateway.connectors.git.LOG", ("log", "-z", "--date=raw", "--ext-diff", "--textconv"))


@pytest.mark.parametrize("arm", ARMS)
def test_the_cage_alone_keeps_hostile_configuration_from_executing(trap, git, monkeypatch, arm):
    trap.spring(*arm(trap))
    open_the_cage(monkeypatch, trap, may_start_programs=False)
    take_the_settings_away(monkeypatch)

    try_every_skill(git)

    assert not trap.canary.exists()


@pytest.mark.parametrize("arm", [arm_signature, arm_diff_command, arm_textconv, arm_lazy_fetch])
def test_with_neither_settings_nor_seccomp_the_trap_would_work(trap, git, monkeypatch, arm):
    """Guard of the two tests above: with both taken away the canary does appear inside the opened cage."""
    trap.spring(*arm(trap))
    open_the_cage(monkeypatch, trap, may_start_programs=True)
    take_the_settings_away(monkeypatch)

    try_every_skill(git)

    assert trap.canary.exists()


def test_the_servers_environment_does_not_reach_git(trap, git, monkeypatch):
    monkeypatch.setenv("GIT_EXTERNAL_DIFF", str(trap.program))
    monkeypatch.setenv("GIT_DIR", "/nonexistent")
    monkeypatch.setenv("GIT_TRACE", str(trap.ran / "trace"))
    monkeypatch.setenv("GIT_CONFIG_PARAMETERS", "'core.bare=broken'")
    open_the_cage(monkeypatch, trap, may_start_programs=True)

    answered = try_every_skill(git)

    assert answered == 6
    assert list(trap.ran.iterdir()) == []


@pytest.mark.parametrize(
    "revision",
    [
        "--output=stolen",
        "-p",
        "--exec=touch stolen",
        "HEAD..HEAD~1",
        "HEAD...HEAD~1",
        "^HEAD",
        "HEAD:a.txt",
        ":/one",
        "HEAD^{/one}",
        "HEAD --output=stolen",
        "HEAD\n--output=stolen",
        "HEAD\x00",
        "*",
        ".",
        "",
        "x" * 300,
    ],
)
def test_a_revision_that_is_no_name_is_refused(trap, git, revision):
    for field, verb in (("since", "log"), ("until", "diff"), ("until", "shortlog"), ("revision", "show")):
        with pytest.raises(SkillFailed) as failed:
            git(verb, **{field: revision})
        assert (failed.value.code, failed.value.effect) == (Code.BAD_INPUT, "none")
    with pytest.raises(SkillFailed):
        git("grep", pattern="x", revision=revision)

    assert not (trap.repo.path / "stolen").exists()
    assert not Path("stolen").exists()


def test_options_in_a_pattern_or_path_are_only_text(trap, git):
    for value in ("--output=stolen", "-O", "--open-files-in-pager=touch", "-f/etc/passwd", "--no-index"):
        assert git("grep", pattern=value)["matches"] == []
        assert git("grep", pattern="b", path=value)["matches"] == []
        assert git("diff", path=value)["patch"] == ""

    assert not (trap.repo.path / "stolen").exists()


@pytest.mark.parametrize("path", ["../a", "a/../../b", "/etc/passwd", "./a", "a//b", "a\x00b", "a\nb", "."])
def test_a_path_that_leaves_the_repository_is_refused(trap, git, path):
    for verb, more in (("show", {}), ("diff", {}), ("diffstat", {}), ("grep", {"pattern": "x"})):
        with pytest.raises(SkillFailed) as failed:
            git(verb, path=path, **more)
        assert failed.value.code is Code.BAD_INPUT


def test_magic_in_a_path_is_taken_literally(trap, git):
    assert git("diff", path=":(exclude)nothing", since="HEAD~2")["patch"] == ""
    assert git("grep", path="*.txt", pattern="b")["matches"] == []


def test_without_bubblewrap_git_is_not_run_at_all(trap, git, monkeypatch, tmp_path):
    trap.spring(*arm_signature(trap))
    monkeypatch.setattr(cage, "PROGRAMS", str(tmp_path / "nothing"))

    with pytest.raises(SkillFailed, match=r"sandbox or not at all.*bubblewrap is not installed") as failed:
        git("log")

    assert (failed.value.code, failed.value.effect) == (Code.UNAVAILABLE, "none")
    assert "doctor" in failed.value.recovery
    assert not trap.canary.exists()


def test_where_user_namespaces_are_forbidden_git_is_not_run_at_all(repo, git, monkeypatch, tmp_path):
    repo.commit("one")
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "prlimit").symlink_to("/usr/bin/prlimit")
    (programs / "bwrap").write_text("#!/bin/sh\necho 'bwrap: setting up uid map: Permission denied' >&2\nexit 1\n")
    (programs / "bwrap").chmod(0o755)
    monkeypatch.setattr(cage, "PROGRAMS", str(programs))

    with pytest.raises(SkillFailed, match="uid map") as failed:
        git("log")

    assert (failed.value.code, failed.value.effect) == (Code.UNAVAILABLE, "none")
