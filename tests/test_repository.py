"""Rules about the repository itself: what review would forget, this remembers."""

import ast
import re
import subprocess
import tomllib
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
APPS = ("audit", "governance", "runtime", "gateway", "worka_site")
LONGEST_FILE = 400
TEXT = {".py", ".html", ".css", ".js", ".md", ".yaml", ".yml", ".toml", ".in", ".cfg", ".sh", ""}
# Words of how this was made, which say nothing to who uses it, and paths of somebody's machine.
FOREIGN = re.compile(
    r"\bclaude code\b|\banthropic assistant\b|/work/(?:main|shared)|(?<!\w)/root/|/home/[a-z]+/(?!worka)|\bthis session\b|\bas an ai\b"
    r"|\bsub-?agents?\b|contracts\.md|\bskeleton/",
    re.IGNORECASE,
)
UNDONE = re.compile(r"\b(?:TODO|FIXME|XXX|HACK|NotImplementedError)\b")
VAGUE = {"utils", "util", "helpers", "helper", "common", "manager", "managers", "service", "services", "misc"}


@cache
def tracked() -> tuple[Path, ...]:
    """Every file that is (or would be) in the repository."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    names = subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout.decode().split("\0")
    return tuple(ROOT / name for name in names if name and (ROOT / name).is_file())


def python_files(*folders: str) -> list[Path]:
    wanted = folders or (*APPS, "sdk")
    return [path for path in tracked() if path.suffix == ".py" and path.relative_to(ROOT).parts[0] in wanted]


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def shown(path: Path, node: ast.AST | None = None) -> str:
    return f"{path.relative_to(ROOT)}{f':{node.lineno}' if hasattr(node, 'lineno') else ''}"


def is_migration(path: Path) -> bool:
    return "migrations" in path.parts


def is_vendored(path: Path) -> bool:
    return "vendor" in path.parts


def test_no_file_is_longer_than_four_hundred_lines():
    lengths = {
        shown(path): len(path.read_text(encoding="utf-8").splitlines())
        for path in tracked()
        if path.suffix in {".py", ".js", ".css", ".html"} and not is_migration(path) and not is_vendored(path)
    }

    assert {name: count for name, count in lengths.items() if count > LONGEST_FILE} == {}


def test_no_module_has_a_name_that_says_nothing():
    assert [shown(path) for path in python_files() if path.stem in VAGUE] == []


def test_every_module_says_what_it_is():
    silent = [
        shown(path)
        for path in python_files()
        if not is_migration(path)
        and path.stat().st_size
        and not (path.name == "__init__.py" and not tree_of(path).body)
        and ast.get_docstring(tree_of(path)) is None
        # A rule is one class whose docstring is what people read.
        and path.name != "apps.py"
        and path.parent != ROOT / "governance" / "core" / "rules"
    ]

    assert silent == []


def test_every_public_function_of_the_cores_and_the_sdk_has_a_docstring():
    silent = []
    for path in [*python_files("sdk"), *(path for path in python_files() if "core" in path.parts)]:
        for node in tree_of(path).body:
            # A class may say it all by its name and its fields: an enumeration, an empty exception.
            is_public = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not node.name.startswith("_")
            if is_public and ast.get_docstring(node) is None:
                silent.append(shown(path, node))

    assert silent == []


def test_state_is_written_by_the_one_door_only():
    """`x.state = …` and `.update(state=…)` outside audit.transition; a birth names its state in the constructor."""
    found = []
    for path in python_files(*APPS):
        if is_migration(path) or path == ROOT / "audit" / "transition.py":
            continue
        for node in ast.walk(tree_of(path)):
            match node:
                case ast.Assign(targets=targets):
                    found += [shown(path, node) for target in targets if _is_state_of_a_row(target)]
                case ast.AugAssign(target=target) | ast.AnnAssign(target=target) if _is_state_of_a_row(target):
                    found.append(shown(path, node))
                case ast.Call(func=ast.Attribute(attr="update" | "bulk_update" | "aupdate"), keywords=keywords):
                    found += [shown(path, node) for keyword in keywords if keyword.arg == "state"]
                case ast.Call(func=ast.Name(id="setattr"), args=[_, ast.Constant(value="state"), *_]):
                    found.append(shown(path, node))

    assert found == []


def _is_state_of_a_row(target: ast.expr) -> bool:
    return (
        isinstance(target, ast.Attribute)
        and target.attr == "state"
        and not (isinstance(target.value, ast.Name) and target.value.id == "self")
    )


def test_the_environment_is_read_in_one_place():
    """Agents and the SDK have no settings: what they are given is their environment."""
    allowed = {ROOT / "worka_site" / "env.py"}
    found = []
    for path in python_files(*APPS):
        if path in allowed or (ROOT / "runtime" / "agents") in path.parents:
            continue
        for node in ast.walk(tree_of(path)):
            match node:
                case ast.Attribute(value=ast.Name(id="os"), attr="environ" | "environb" | "getenv" | "putenv"):
                    found.append(shown(path, node))
                case ast.ImportFrom(module="os", names=names) if {"environ", "getenv"} & {name.name for name in names}:
                    found.append(shown(path, node))

    assert found == []


def test_every_setting_that_is_used_exists_and_every_one_that_exists_is_used():
    from django.conf import settings

    used: set[str] = set()
    for path in [*python_files(*APPS), *(path for path in tracked() if path.suffix == ".html")]:
        if path.name != "settings.py":
            used |= set(re.findall(r"\bsettings\.(WORKA_[A-Z_]+)", path.read_text(encoding="utf-8")))
    there = {name for name in dir(settings) if name.startswith("WORKA_")}

    assert used - there == set()
    assert there - used == set()


def test_only_commands_print():
    found = [
        shown(path, node)
        for path in python_files(*APPS)
        if "commands" not in path.parts
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
    ]

    assert found == []


def test_nothing_is_evaluated_as_code():
    """`eval`, `exec`, `pickle`, a shell, `yaml.load` without SafeLoader, and templates marked safe."""
    found = []
    for path in python_files():
        for node in ast.walk(tree_of(path)):
            match node:
                case ast.Call(func=ast.Name(id="eval" | "exec")):
                    found.append(shown(path, node))
                case ast.Call(func=ast.Attribute(value=ast.Name(id="yaml"), attr="load" | "unsafe_load" | "full_load")):
                    found.append(shown(path, node))
                case ast.Import(names=names) if {"pickle", "marshal", "shelve"} & {name.name for name in names}:
                    found.append(shown(path, node))
                case ast.Call(keywords=keywords) if any(
                    word.arg == "shell" and getattr(word.value, "value", None) is True for word in keywords
                ):
                    found.append(shown(path, node))

    assert found == []


def test_nothing_is_left_undone():
    found = [
        f"{shown(path)}:{number}"
        for path in tracked()
        if path.suffix in TEXT and not is_vendored(path) and path != Path(__file__)
        for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1)
        if UNDONE.search(line)
    ]

    assert found == []


def test_nothing_tells_of_how_it_was_made_or_of_somebodys_machine():
    found = [
        f"{shown(path)}:{number}: {line.strip()[:80]}"
        for path in tracked()
        if path.suffix in TEXT and not is_vendored(path) and path != Path(__file__)
        for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1)
        if FOREIGN.search(line)
    ]

    assert found == []


def test_no_page_has_inline_script_or_style():
    """The content security policy would stop it in the browser; here it is found before."""
    inline = re.compile(r"<script(?![^>]*\bsrc=)[^>]*>|<style\b|\sstyle=|\son[a-z]+=[\"']|javascript:", re.IGNORECASE)
    found = [
        f"{shown(path)}: {match.group(0)}"
        for path in tracked()
        if path.suffix == ".html" and "templates" in path.parts
        for match in inline.finditer(path.read_text(encoding="utf-8"))
        if 'type="application/json"' not in match.group(0)
    ]

    assert found == []


def test_no_page_loads_anything_from_elsewhere():
    loads = re.compile(r"""(?:src|href|url\()\s*=?\s*["'(]?(?:https?:)?//(?!127\.0\.0\.1)""", re.IGNORECASE)
    found = [
        shown(path)
        for path in tracked()
        if path.suffix in {".html", ".css", ".js"}
        and not is_vendored(path)
        and path.relative_to(ROOT).parts[0] in {"static", "templates"}
        if any(
            loads.search(line)
            for line in path.read_text(encoding="utf-8").splitlines()
            if "http-equiv" not in line and "<a " not in line
        )
    ]

    assert found == []


@pytest.mark.parametrize("name", ["base", "dev", "agent", "mem0", "setup"])
def test_every_locked_requirement_has_hashes_and_every_wanted_one_is_locked(name: str):
    locked = (ROOT / "requirements" / f"{name}.txt").read_text(encoding="utf-8")
    pins = re.split(r"\n(?=[A-Za-z0-9])", re.sub(r"^#.*\n", "", locked, flags=re.MULTILINE).strip())

    assert [pin.split("==")[0] for pin in pins if "==" not in pin or "--hash=sha256:" not in pin] == []
    names = {re.split(r"[=\[; ]", pin)[0].lower().replace("_", "-") for pin in pins}
    assert wanted(name) - names == set()


def wanted(name: str) -> set[str]:
    found: set[str] = set()
    for line in (ROOT / "requirements" / f"{name}.in").read_text(encoding="utf-8").splitlines():
        line = line.split("#")[0].strip()
        if line.startswith("-r"):
            found |= wanted(line.removeprefix("-r").strip().removesuffix(".in"))
        elif line:
            found.add(re.split(r"[=<>~!\[; ]", line)[0].lower().replace("_", "-"))
    return found


def test_every_target_of_the_makefile_is_listed_with_what_it_does():
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = re.findall(r"^([a-z][a-z-]*):", text, re.MULTILINE)
    listed = subprocess.run(
        ["make", "--no-print-directory"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout

    assert targets
    assert [target for target in targets if not re.search(rf"make {target} +\S", listed)] == []
    phony = re.search(r"^\.PHONY: (.*)$", text, re.MULTILINE)
    assert phony is not None
    assert sorted(phony.group(1).split()) == sorted(targets)


def test_the_continuous_run_is_the_two_commands_of_the_readme():
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")

    assert (ROOT / ".ci" / "run").stat().st_mode & 0o111
    assert "CI=true" in script
    assert [line for line in script.splitlines() if line.startswith("make ")] == ["make test", "make check"]


def test_a_plug_in_folder_holds_one_class_a_file():
    from audit.sink import all_sinks
    from gateway.connector import all_connectors
    from runtime.backend import all_backends

    assert {"process"} <= set(all_backends())
    assert {"git", "files"} <= set(all_connectors())
    assert {"stdout", "json_file"} <= set(all_sinks())


def test_the_generated_pages_are_what_the_code_says():
    from worka_site.reference import outdated

    assert outdated() == [], "run `make docs`"


def test_every_change_of_the_models_has_its_migration():
    from django.core.management import call_command

    call_command("check_migrations")


def test_the_import_contracts_name_every_app():
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]

    assert set(contracts["root_packages"]) == {*APPS, "worka"}
    assert contracts["contracts"][0]["layers"] == ["worka_site", "gateway", "runtime", "governance", "audit"]


def test_every_vendored_file_has_the_checksum_that_is_written_down():
    folder = ROOT / "static" / "vendor"
    sums = folder / "SHA256SUMS"
    files = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file() and path != sums)
    if not files:
        assert not sums.exists()
        return
    named = sorted(
        line.split(maxsplit=1)[1].lstrip("*") for line in sums.read_text(encoding="utf-8").splitlines() if line.strip()
    )
    checked = subprocess.run(
        ["sha256sum", "--check", "--quiet", "SHA256SUMS"], cwd=folder, capture_output=True, text=True, check=False
    )

    assert named == files
    assert checked.returncode == 0, checked.stdout
