"""Paths that lead elsewhere, repositories that point out of themselves, and the product's own home: all refused."""

import os
import time
from types import SimpleNamespace

import pytest

from audit.core.codes import Code
from gateway import cage
from gateway.connector import SkillFailed
from gateway.git import repository as repository_module
from tests.gateway.connectors.repositories import EVERY_SKILL, Repo

pytestmark = pytest.mark.sandbox


def test_a_repository_outside_the_roots_is_refused_whether_it_exists_or_not(tmp_path, roots, git):
    elsewhere = Repo(tmp_path / "elsewhere")
    elsewhere.commit("secret")
    (roots / "link").symlink_to(elsewhere.path)
    (roots / "folder").symlink_to(tmp_path)
    said = set()

    for path in (elsewhere.path, tmp_path / "nothing", roots / "link", roots / "folder" / "elsewhere", "/", "/etc"):
        with pytest.raises(SkillFailed) as failed:
            git("log", repository=str(path))
        assert failed.value.code is Code.BAD_INPUT
        said.add(str(failed.value).rpartition("' ")[2])

    assert said == {"is not in a folder whose repositories may be read"}


@pytest.mark.parametrize(
    "shape", ["{root}/../elsewhere", "{root}/repo/../repo", "repo", "./repo", "~/repo", "{root}/re\x00po"]
)
def test_a_path_with_dots_or_without_a_root_is_refused(roots, repo, git, shape):
    repo.commit("one")

    with pytest.raises(SkillFailed) as failed:
        git("log", repository=shape.format(root=roots))

    assert failed.value.code is Code.BAD_INPUT


def test_a_folder_that_is_no_repository_is_not_found_even_inside_one(repo, roots, git):
    repo.commit("one", {"sub/a": "1\n"})
    (roots / "empty").mkdir()

    for path in (repo.path / "sub", roots / "empty", roots / "nothing", repo.path / "sub" / "a", roots):
        with pytest.raises(SkillFailed) as failed:
            git("log", repository=str(path))
        assert failed.value.code is Code.NOT_FOUND


def test_a_link_inside_the_roots_is_followed(repo, roots, git):
    repo.commit("one")
    (roots / "alias").symlink_to(repo.path)

    assert git("log", repository=str(roots / "alias"))["total"] == 1


def outside_gitdir_file(repo, other):
    (repo.path / ".git").rename(repo.path / "old")
    (repo.path / ".git").write_text(f"gitdir: {other.path}/.git\n")


def relative_gitdir_file(repo, other):
    (repo.path / ".git").rename(repo.path / "old")
    (repo.path / ".git").write_text("gitdir: ../other/.git\n")


def outside_git_link(repo, other):
    (repo.path / ".git").rename(repo.path / "old")
    (repo.path / ".git").symlink_to(other.path / ".git")


def outside_objects_link(repo, other):
    (repo.path / ".git" / "objects").rename(repo.path / "old")
    (repo.path / ".git" / "objects").symlink_to(other.path / ".git" / "objects")


def outside_commondir(repo, other):
    (repo.path / ".git" / "commondir").write_text(f"{other.path}/.git\n")


def absolute_alternates(repo, other):
    (repo.path / ".git" / "objects" / "info" / "alternates").write_text(f"{other.path}/.git/objects\n")


def relative_alternates(repo, other):
    (repo.path / ".git" / "objects" / "info" / "alternates").write_text("../../../other/.git/objects\n")


def quoted_alternates(repo, other):
    (repo.path / ".git" / "objects" / "info" / "alternates").write_text(f'"{other.path}/.git/objects"\n')


def nested_alternates(repo, other):
    inner = repo.path / ".git" / "inner"
    (inner / "info").mkdir(parents=True)
    (inner / "info" / "alternates").write_text("../../../other/.git/objects\n")
    (repo.path / ".git" / "objects" / "info" / "alternates").write_text("# inner\n../inner\n")


def linked_alternates(repo, other):
    (other.path / "list").write_text("../../../other/.git/objects\n")
    (repo.path / ".git" / "objects" / "info" / "alternates").symlink_to(other.path / "list")


def endless_alternates_file(repo, other):
    os.mkfifo(repo.path / ".git" / "objects" / "info" / "alternates")


def linked_info(repo, other):
    (other.path / "info").mkdir()
    (other.path / "info" / "alternates").write_text("../../../other/.git/objects\n")
    (repo.path / ".git" / "objects" / "info").rmdir()
    (repo.path / ".git" / "objects" / "info").symlink_to(other.path / "info")


@pytest.mark.parametrize(
    "point_out",
    [
        outside_gitdir_file,
        relative_gitdir_file,
        outside_git_link,
        outside_objects_link,
        outside_commondir,
        absolute_alternates,
        relative_alternates,
        quoted_alternates,
        nested_alternates,
        linked_alternates,
        endless_alternates_file,
        linked_info,
    ],
)
def test_a_repository_that_points_out_of_itself_is_refused(tmp_path, roots, repo, git, point_out):
    other = Repo(roots / "other")
    secret = other.commit("secret", {"secret": "the secret\n"})
    repo.commit("one", {"a.txt": "a\n"})
    point_out(repo, other)

    for verb, arguments in (*EVERY_SKILL, ("show", {"revision": secret, "path": "secret"})):
        with pytest.raises(SkillFailed) as failed:
            git(verb, **arguments)
        assert (failed.value.code, failed.value.effect) == (Code.BAD_INPUT, "none")


def test_linked_worktrees_and_submodules_are_refused(repo, roots, git):
    repo.commit("one", {"a": "1\n"})
    repo.run("worktree", "add", "-q", str(roots / "tree"))
    outer = Repo(roots / "outer")
    outer.commit("one")
    outer.run("-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(repo.path), "inner")

    for path in (roots / "tree", roots / "outer" / "inner"):
        with pytest.raises(SkillFailed, match="worktree or a submodule") as failed:
            git("log", repository=str(path))
        assert failed.value.code is Code.BAD_INPUT

    assert git("log", repository=str(outer.path))["total"] == 1


def test_links_out_of_the_git_folder_show_nothing(tmp_path, repo, git):
    """What no check looks at, the cage does not show: a branch that is a link to a file outside resolves to nothing."""
    head = repo.commit("one")
    (tmp_path / "outside").write_text(head + "\n")
    (repo.path / ".git" / "refs" / "heads" / "leak").symlink_to(tmp_path / "outside")

    with pytest.raises(SkillFailed) as failed:
        git("log", until="leak")

    assert failed.value.code is Code.NOT_FOUND


def test_a_pipe_in_place_of_the_configuration_ends_at_the_deadline(repo, git):
    repo.commit("one")
    (repo.path / ".git" / "config").unlink()
    os.mkfifo(repo.path / ".git" / "config")

    with pytest.raises(SkillFailed, match="in time"):
        git("log", seconds=0.5)


@pytest.fixture
def housed(repo, site):
    """A repository that holds the product's home, and has even committed it."""
    site.WORKA_HOME = str(repo.path / ".worka")
    repo.commit("one", {"a.txt": "needle\n", ".worka/credentials.json": "needle\n"})
    repo.commit("two", {"a.txt": "needle two\n", ".worka/credentials.json": "needle two\n"})
    return repo


def test_the_products_home_is_in_no_result(housed, git):
    assert [match["path"] for match in git("grep", pattern="needle")["matches"]] == ["a.txt"]
    assert "credentials" not in git("diff", since="HEAD~1")["patch"]
    assert [file["path"] for file in git("diffstat", since="2001-01-01")["files"]] == ["a.txt"]
    assert [file["path"] for file in git("show")["files"]] == ["a.txt"]
    assert git("log")["total"] == 2


@pytest.mark.parametrize("path", [".worka", ".worka/", ".worka/credentials.json"])
def test_the_products_home_cannot_be_named(housed, git, path):
    for verb, more in (("show", {}), ("diff", {}), ("diffstat", {}), ("grep", {"pattern": "needle"})):
        with pytest.raises(SkillFailed, match="belongs to the product") as failed:
            git(verb, path=path, **more)
        assert failed.value.code is Code.BAD_INPUT


def test_the_products_home_is_empty_inside_the_cage(housed, site):
    opened = repository_module.open_repository(str(housed.path), site)

    seen = cage.run(
        ["/bin/ls", "-A", "/repository/.worka"], opened._cage(), deadline=time.monotonic() + 10, most_bytes=1000
    )

    assert (seen.status, seen.stdout) == (0, b"")


def test_a_repository_in_the_products_home_is_refused(roots, site, git):
    home = roots / "home"
    home.mkdir()
    inner = Repo(home / "inner")
    inner.commit("one")
    Repo(home / "self").run("init", "-q", str(home))
    (roots / "link").symlink_to(inner.path)
    site.WORKA_HOME = str(home)

    for path in (home, inner.path, roots / "link"):
        with pytest.raises(SkillFailed, match="belongs to the product"):
            git("log", repository=str(path))


def test_a_home_that_is_reached_by_a_link_is_hidden_where_it_really_is(repo, roots, site, git):
    repo.commit("one", {"real/key": "needle\n"})
    (roots / "home").symlink_to(repo.path / "real")
    site.WORKA_HOME = str(roots / "home")

    assert git("grep", pattern="needle")["matches"] == []


def test_no_root_means_no_repository(repo, git, site):
    site.WORKA_REPOSITORY_ROOTS = []

    with pytest.raises(SkillFailed) as failed:
        git("log")

    assert failed.value.code is Code.BAD_INPUT


def test_a_context_without_roots_is_still_only_a_skill_failure(repo, git, site):
    site.__dict__.update(vars(SimpleNamespace(WORKA_REPOSITORY_ROOTS=None)))

    with pytest.raises(SkillFailed) as failed:
        git("log")

    assert failed.value.effect == "none"
