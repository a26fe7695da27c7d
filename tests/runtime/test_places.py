"""What agents run on is published once, whole, readable by anybody, and made anew when it changes."""

import hashlib
import os
import shutil
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from runtime import places
from runtime.core.jobs import JobSpec
from runtime.places import NotPublished, choose_interpreter, publish_packages, publish_requirements
from tests.runtime.conftest import Workbench

OURS = getattr(sys, "_base_executable", sys.executable)


@pytest.fixture
def package(tmp_path: Path) -> Path:
    source = tmp_path / "source"
    (source / "prompts").mkdir(parents=True, mode=0o700)
    (source / "__init__.py").write_text("word = 'first'\n")
    (source / "prompts" / "hello.md").write_text("hello")
    (source / "prompts" / "hello.md").chmod(0o600)
    (source / "__pycache__").mkdir()
    (source / "__pycache__" / "old.pyc").write_text("")
    (source / ".secret").write_text("")
    return source


def test_a_published_copy_is_whole_readable_by_anybody_and_compiled(package: Path, tmp_path: Path):
    copy = publish_packages({"outer.inner": package}, tmp_path / "into", OURS)

    files = {str(path.relative_to(copy)) for path in copy.rglob("*") if path.is_file() and path.suffix != ".pyc"}
    assert files == {".published", "outer/__init__.py", "outer/inner/__init__.py", "outer/inner/prompts/hello.md"}
    assert all(path.stat().st_mode & 0o777 == (0o755 if path.is_dir() else 0o644) for path in (copy, *copy.rglob("*")))
    assert list(copy.rglob("outer/inner/__pycache__/__init__*.pyc"))
    out = subprocess.run(
        [
            OURS,
            "-I",
            "-c",
            f"import sys; sys.path.insert(0, {str(copy)!r}); import outer.inner; print(outer.inner.word)",
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    assert out.stdout == "first\n"


def test_the_same_content_is_published_once_and_a_change_makes_another(package: Path, tmp_path: Path):
    into = tmp_path / "into"
    first = publish_packages({"inner": package}, into, OURS)
    inode = first.stat().st_ino

    assert publish_packages({"inner": package}, into, OURS) == first
    assert first.stat().st_ino == inode

    (package / "__init__.py").write_text("word = 'second'\n")
    second = publish_packages({"inner": package}, into, OURS)
    assert second != first
    assert (first / "inner" / "__init__.py").read_text() == "word = 'first'\n"
    assert sorted(path.name for path in into.iterdir()) == sorted([first.name, second.name])


def test_a_copy_under_way_is_never_seen(package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def crash(*_: object) -> None:
        raise NotPublished("the disk is full")

    monkeypatch.setattr(places, "_compile", crash)

    with pytest.raises(NotPublished, match="the disk is full"):
        publish_packages({"inner": package}, tmp_path / "into", OURS)
    assert list((tmp_path / "into").iterdir()) == []


def test_a_module_that_does_not_compile_stops_no_other(package: Path, tmp_path: Path):
    (package / "broken.py").write_text("def :\n")

    copy = publish_packages({"inner": package}, tmp_path / "into", OURS)

    assert (copy / "inner" / "broken.py").exists()
    assert list(copy.rglob("inner/__pycache__/__init__*.pyc"))


def test_copies_that_nobody_asks_for_are_swept_after_a_week(package: Path, tmp_path: Path):
    into = tmp_path / "into"
    old = publish_packages({"inner": package}, into, OURS)
    (package / "__init__.py").write_text("word = 'second'\n")
    recent = publish_packages({"inner": package}, into, OURS)
    os.utime(old, (time.time() - 8 * 24 * 3600,) * 2)
    (package / "__init__.py").write_text("word = 'third'\n")

    newest = publish_packages({"inner": package}, into, OURS)

    assert sorted(into.iterdir()) == sorted([recent, newest])


def test_a_file_is_named_by_its_content_and_written_once(tmp_path: Path):
    first = places.publish_file(b"rules", "filter", tmp_path)
    again = places.publish_file(b"rules", "filter", tmp_path)
    other = places.publish_file(b"other rules", "filter", tmp_path)

    assert (first, first.read_bytes(), other.read_bytes()) == (again, b"rules", b"other rules")
    assert sorted(tmp_path.iterdir()) == sorted([first, other])


def test_a_package_that_is_not_there_is_named(tmp_path: Path):
    with pytest.raises(NotPublished, match=f"the agents' package worka is not at {tmp_path / 'worka'}"):
        publish_packages({"worka": tmp_path / "worka"}, tmp_path / "into", OURS)


def make_wheel(folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    wheel = folder / "tiny_thing-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("tiny_thing.py", "size = 1\n")
        archive.writestr("tiny_thing-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: tiny-thing\nVersion: 1.0\n")
        archive.writestr(
            "tiny_thing-1.0.dist-info/WHEEL",
            "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        )
        archive.writestr(
            "tiny_thing-1.0.dist-info/RECORD",
            "tiny_thing.py,,\ntiny_thing-1.0.dist-info/METADATA,,\n"
            "tiny_thing-1.0.dist-info/WHEEL,,\ntiny_thing-1.0.dist-info/RECORD,,\n",
        )
    return wheel


def test_packages_are_installed_by_their_hashes_and_reach_the_agent(
    tmp_path: Path, make_workbench: Callable[..., Workbench], pytestconfig: pytest.Config
):
    wheel = make_wheel(tmp_path / "wheels")
    requirements = tmp_path / "agent.txt"
    requirements.write_text(
        f"tiny-thing @ {wheel.as_uri()} --hash=sha256:{hashlib.sha256(wheel.read_bytes()).hexdigest()}\n"
    )

    site = publish_requirements(requirements, tmp_path / "into", OURS)

    assert (site / "tiny_thing.py").read_text() == "size = 1\n"
    assert publish_requirements(requirements, tmp_path / "into", OURS) == site


@pytest.mark.sandbox
def test_an_agent_imports_what_was_installed_for_it_and_nothing_of_the_hosts(
    tmp_path: Path, make_workbench: Callable[..., Workbench]
):
    wheel = make_wheel(tmp_path / "wheels")
    requirements = tmp_path / "agent.txt"
    requirements.write_text(
        f"tiny-thing @ {wheel.as_uri()} --hash=sha256:{hashlib.sha256(wheel.read_bytes()).hexdigest()}\n"
    )
    bench = make_workbench(requirements=requirements)

    seen, log = bench.run("""
        import importlib.metadata, sys, tiny_thing
        print(tiny_thing.size, sorted({each.name for each in importlib.metadata.distributions()}))
    """)

    assert (seen.exit_code, log) == (0, "1 ['tiny-thing']\n")


def test_a_package_with_another_hash_is_not_installed(tmp_path: Path):
    wheel = make_wheel(tmp_path / "wheels")
    requirements = tmp_path / "agent.txt"
    requirements.write_text(f"tiny-thing @ {wheel.as_uri()} --hash=sha256:{'0' * 64}\n")

    with pytest.raises(NotPublished, match="the agents' packages"):
        publish_requirements(requirements, tmp_path / "into", OURS)
    assert list((tmp_path / "into").iterdir()) == []


def test_a_list_of_packages_that_is_not_there_is_named(tmp_path: Path):
    with pytest.raises(NotPublished, match="the list of the agents' packages is not at"):
        publish_requirements(tmp_path / "agent.txt", tmp_path / "into", OURS)


def test_the_systems_interpreter_is_taken_where_it_is_new_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(places, "_new_enough", lambda python: True)

    chosen = choose_interpreter("", tmp_path)

    assert chosen.path == os.path.realpath("/usr/bin/python3")
    assert (chosen.folder, chosen.home) == (None, "")


def test_an_interpreter_that_is_too_old_or_absent_is_refused(tmp_path: Path):
    with pytest.raises(NotPublished, match=r"is no Python 3\.11 or newer"):
        choose_interpreter("/usr/bin/no-such-python", tmp_path)


@pytest.fixture
def private_interpreter(tmp_path: Path) -> str:
    """An interpreter below a private home: ours, or the system's taken apart where ours is the system's."""
    if not os.path.realpath(OURS).startswith("/usr/bin/"):
        return OURS
    home, version = tmp_path / "interpreter", f"python{sys.version_info[0]}.{sys.version_info[1]}"
    (home / "bin").mkdir(parents=True, mode=0o700)
    shutil.copy(os.path.realpath(OURS), home / "bin" / version)
    shutil.copytree(
        f"/usr/lib/{version}", home / "lib" / version, ignore=shutil.ignore_patterns("test", "__pycache__", "config-*")
    )
    return str(home / "bin" / version)


@pytest.mark.sandbox
def test_an_interpreter_from_a_private_home_is_copied_and_works_in_the_sandbox(
    private_interpreter: str, make_workbench: Callable[..., Workbench]
):
    bench = make_workbench(python=private_interpreter)
    bench.backend.submit(
        JobSpec("worka-own-1", ("python", "-c", "import sys, ssl, json; print(sys.version.split()[0], sys.prefix)"))
    )

    assert bench.ended("worka-own-1").exit_code == 0, bench.backend.logs("worka-own-1")
    version, prefix = bench.backend.logs("worka-own-1").split()
    assert version == ".".join(map(str, sys.version_info[:3]))
    assert not prefix.startswith("/usr/")
